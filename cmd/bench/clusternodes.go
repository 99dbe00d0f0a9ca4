package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

const (
	readySeconds = 1  // at most, from exec to /readyz 200 with all servers up
	idleMiB      = 64 // at most, of each role
	// idleFor is how long the nodes are left alone before they count as idle: some of
	// what they do for each other comes twice a minute.
	idleFor = 40 * time.Second
)

// everyRole is a node of each role but the gateway, which always comes last.
var everyRole = []string{roleMetadata, roleMonitor, roleTranscoder, roleUpload, roleStreaming}

// benchClusterNodes measures the nodes of a cluster with nothing to do: the resident
// memory of each role, and how long a streaming node takes to be ready, once as a new
// one, which asks for its certificate, and once as one that was stopped in order.
func benchClusterNodes(ctx context.Context, b *bench) ([]result, error) {
	resident := map[string]series{}
	var joined, again series
	for range b.runs(3, 1) {
		if err := b.lookAtNodes(ctx, resident, &joined, &again); err != nil {
			return nil, err
		}
	}
	results := []result{
		atMost("a new streaming node of a cluster, exec to `/readyz` 200", readySeconds, "s", joined),
		atMost("one that was there before", readySeconds, "s", again),
	}
	for _, role := range append(everyRole, roleGateway) {
		results = append(results, atMost("resident memory of a cluster's node when idle, "+role, idleMiB, "MiB", resident[role]))
	}
	return results, nil
}

// lookAtNodes starts a cluster of a node of each role, and adds what it sees.
func (b *bench) lookAtNodes(ctx context.Context, resident map[string]series, joined, again *series) error {
	c, err := b.startCluster(ctx, "", everyRole...)
	if err != nil {
		return err
	}
	defer c.stop()
	alone := idleFor
	if b.quick {
		alone = settle
	}
	if err := sleep(ctx, alone); err != nil {
		return err
	}
	for _, n := range c.nodes {
		size, err := residentMiB(n.pid())
		if err != nil {
			return err
		}
		b.logf("   %s %.1f MiB", n.role, size)
		resident[n.role] = append(resident[n.role], size)
	}
	for range b.runs(5, 2) {
		if err := c.startTwice(ctx, joined, again); err != nil {
			return fmt.Errorf("%w\n%s", err, c.said())
		}
	}
	return nil
}

// startTwice adds how many seconds a streaming node took, as a new one and again.
func (c *cluster) startTwice(ctx context.Context, joined, again *series) error {
	n, err := c.start(ctx, roleStreaming)
	if err != nil {
		return err
	}
	*joined = append(*joined, n.took.Seconds())
	if err := n.end(syscall.SIGTERM); err != nil {
		return err
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	*again = append(*again, n.took.Seconds())
	return c.remove(n)
}

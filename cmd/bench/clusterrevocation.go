package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	nodes "streamgate/node/cluster"
)

const (
	streamingNodes = 4
	// clusterSlip is what a cluster may take beyond a poll.
	clusterSlip = time.Second
	// askEvery is how often each player fetches a cell of each node: the measurement is
	// late by that much at most.
	askEvery = 200 * time.Millisecond
)

// benchClusterRevocation is benchRevocation on a cluster: from the receipt of the
// transfer to the refusal by the last of four streaming nodes. The gateway would send
// the viewers of a video to one of them, so the players ask the nodes themselves, with
// the gateway's certificate.
func benchClusterRevocation(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, megabytes28s)
	if err != nil {
		return nil, err
	}
	chain, err := startChain(ctx)
	if err != nil {
		return nil, err
	}
	defer chain.stop()
	roles := append([]string{roleMetadata, roleTranscoder, roleUpload}, slices.Repeat([]string{roleStreaming}, streamingNodes)...)
	c, err := b.startCluster(ctx, unlimitedYAML+chain.settings(revocationPoll), roles...)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	viewers, err := b.holders(ctx, c.front, chain, file)
	var took series
	if err == nil {
		took, err = c.revoke(ctx, chain, viewers)
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.said())
	}
	what := fmt.Sprintf("transfer mined → refused by every one of %d streaming nodes, %d sessions, chain polled every %v", streamingNodes, len(viewers), revocationPoll)
	return []result{atMostP99(what, float64((revocationPoll + clusterSlip).Milliseconds()), "ms", took)}, nil
}

// revoke is the bench's of that name; each viewer fetches from each streaming node.
func (c *cluster) revoke(ctx context.Context, chain *chain, viewers []*holder) (series, error) {
	limit := time.Duration(len(viewers))*transferEvery + refusedAtLast
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("not everybody was refused by every node"))
	defer cancel()
	client, err := c.asGateway(ctx, roleStreaming)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	refused := make([]time.Time, len(viewers)) // by the last node
	group, ctx := errgroup.WithContext(ctx)
	for i, v := range viewers {
		for _, n := range c.of(roleStreaming) {
			group.Go(func() error {
				at, err := v.play(ctx, client, "https://"+n.listen+strings.TrimPrefix(v.cell, c.front.url), askEvery)
				mu.Lock()
				defer mu.Unlock()
				if at.After(refused[i]) {
					refused[i] = at
				}
				return err
			})
		}
	}
	group.Go(func() error { return transferAll(ctx, chain, viewers) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return c.waits(viewers, refused), nil
}

// asGateway asks nodes of a role as the gateway does, with its certificate.
func (c *cluster) asGateway(ctx context.Context, role string) (*http.Client, error) {
	identity, err := nodes.NewIdentity(ctx, nodes.IdentityConfig{Roles: []string{roleGateway}, Dir: tlsDir(c.front)})
	if err != nil {
		return nil, fmt.Errorf("read the gateway's certificate: %w", err)
	}
	client := newClient()
	direct := client.Transport.(*http.Transport)
	direct.TLSClientConfig = identity.ClientTLS(role)
	client.Transport = signing{direct, identity, role}
	return client, nil
}

// tlsDir has a node's certificate.
func tlsDir(n *node) string { return filepath.Join(n.data(), "tls") }

// signing tells a node who asks.
type signing struct {
	*http.Transport
	identity *nodes.Identity
	role     string
}

// RoundTrip implements http.RoundTripper.
func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := s.identity.Sign(r, s.role); err != nil {
		return nil, err
	}
	return s.Transport.RoundTrip(r)
}

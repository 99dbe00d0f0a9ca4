package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	clusterSeconds = 2.0
	clusterWaiting = 100_000 // jobs, at least, when a measurement begins
	riverName      = "River"
	workTimes      = 1.3 // at least, of River's leases
	leaseMs        = 25  // at most, p99
)

// clusterPushes are the numbers of producers, and how many times River's enqueues
// must be reached; clusterWorkers those of nodes and of the workers that each has.
var (
	clusterPushes = []struct {
		parallel int
		times    float64
	}{{1, 1.3}, {16, 4}, {64, 6}}
	clusterWorkers = []struct{ nodes, parallel int }{{1, 1}, {1, 16}, {1, 64}, {4, 16}}
)

// benchClusterQueue compares the queue of a cluster with River, in two databases of the
// same PostgreSQL: durable enqueues by producers that wait for each acknowledgement,
// and jobs that are leased and finished by workers that do nothing. Each node is a
// process with the connections that a node has by default, which are as many as River's.
func benchClusterQueue(ctx context.Context, b *bench) ([]result, error) {
	peers, err := b.startPeers(ctx, riverName)
	if err != nil {
		return nil, err
	}
	defer peers.stop()
	d, err := b.startQueueDuel(ctx, peers)
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.results(ctx)
}

// queueDuel is both queues, side by side.
type queueDuel struct {
	*bench
	river   *peers
	address string    // of our database
	filler  *ownQueue // sees to it that jobs are waiting
	nodes   []*helper
	payload json.RawMessage
}

func (b *bench) startQueueDuel(ctx context.Context, river *peers) (d *queueDuel, err error) {
	d = &queueDuel{bench: b, river: river}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.payload, err = json.Marshal(queueJob(123_456)); err != nil {
		return nil, err
	}
	server := river.known[0].Postgres
	if err := execute(ctx, server, "CREATE DATABASE streamgate"); err != nil {
		return nil, err
	}
	d.address = strings.Replace(server, "dbname=postgres", "dbname=streamgate", 1)
	if d.filler, err = openPostgres(ctx, d.address, 0); err != nil {
		return nil, err
	}
	for range clusterWorkers[len(clusterWorkers)-1].nodes {
		h, _, err := startHelper(ctx, queueCommand)
		if err != nil {
			return nil, err
		}
		d.nodes = append(d.nodes, h)
	}
	return d, d.warm(ctx)
}

func (d *queueDuel) close() {
	for _, h := range d.nodes {
		h.stop()
	}
	if d.filler != nil {
		d.filler.close()
	}
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, address, statement string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// warm fills both and opens their connections; then the planner learns how large the
// tables are.
func (d *queueDuel) warm(ctx context.Context) error {
	const moment = 0.1
	for _, what := range []string{"push", "work"} {
		if _, _, err := d.ours(ctx, what, len(d.nodes), 1, moment); err != nil {
			return err
		}
		if _, err := d.theirs(what, 1, 1, moment); err != nil {
			return err
		}
	}
	return errors.Join(execute(ctx, d.address, "VACUUM ANALYZE"), execute(ctx, d.river.known[0].Postgres, "VACUUM ANALYZE"))
}

// ours is the rate of all nodes together, and what their leases took.
func (d *queueDuel) ours(ctx context.Context, what string, nodes, parallel int, seconds float64) (rate float64, leases series, err error) {
	if err := d.filler.fill(ctx, clusterWaiting); err != nil {
		return 0, nil, err
	}
	told := make([]queueTold, nodes)
	var group errgroup.Group
	for i, h := range d.nodes[:nodes] {
		group.Go(func() error {
			ask := queueAsk{d.address, int64(i + 1), what, parallel, seconds}
			if err := h.ask(ask, &told[i]); err != nil {
				return fmt.Errorf("node %d of the queue gave no answer: %w", i+1, err)
			}
			if told[i].Error != "" {
				return errors.New(told[i].Error)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, nil, err
	}
	for _, t := range told {
		rate += t.PerSecond
		leases = append(leases, t.Leases...)
	}
	return rate, leases, nil
}

func (d *queueDuel) theirs(what string, nodes, parallel int, seconds float64) (float64, error) {
	return d.river.measure(peerLoad{
		Peer: riverName, What: what, Parallel: parallel, Nodes: nodes, Seconds: seconds, Waiting: clusterWaiting, Payload: d.payload,
	})
}

// contest measures both in turns.
func (d *queueDuel) contest(ctx context.Context, what string, nodes, parallel int) (c comparison, leases series, err error) {
	c = comparison{unit: "/s", peer: riverName}
	for range d.runs(3, 1) {
		rate, took, err := d.ours(ctx, what, nodes, parallel, clusterSeconds)
		if err != nil {
			return c, nil, err
		}
		c.ours, leases = append(c.ours, rate), append(leases, took...)
		if rate, err = d.theirs(what, nodes, parallel, clusterSeconds); err != nil {
			return c, nil, err
		}
		c.them = append(c.them, rate)
	}
	d.logf("   %s, %d × %d: %s against %s", what, nodes, parallel, c.ours, c.them)
	return c, leases, nil
}

func (d *queueDuel) results(ctx context.Context) (all []result, err error) {
	var latencies []result
	for _, p := range clusterPushes {
		c, _, err := d.contest(ctx, "push", 1, p.parallel)
		if err != nil {
			return nil, err
		}
		c.what = fmt.Sprintf("durable enqueues on PostgreSQL, %d jobs waiting, %s", clusterWaiting, plural(p.parallel, "producer"))
		all = append(all, c.atLeast(p.times))
	}
	for _, w := range clusterWorkers {
		c, leases, err := d.contest(ctx, "work", w.nodes, w.parallel)
		if err != nil {
			return nil, err
		}
		who := plural(w.parallel, "worker")
		if w.nodes > 1 {
			who = fmt.Sprintf("%d nodes of %s", w.nodes, who)
		}
		c.what = "jobs leased and finished on PostgreSQL, " + who
		all = append(all, c.atLeast(workTimes))
		latencies = append(latencies, atMostP99("latency of a lease on PostgreSQL, "+who, leaseMs, "ms", leases))
	}
	all = append(all, latencies...)
	all[0].notes = []string{
		"The cluster's queue: PostgreSQL, in a database of the server that River has, and with as many connections a node; what gathers on a node while a commit runs shares the next; " +
			"a worker leases one job at a time and waits until its end is committed. Each node of ours is a process; River's nodes are clients in one process.",
		d.river.known[0].About + ".",
	}
	return all, nil
}

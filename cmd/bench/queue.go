package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// queueRounds are the numbers of producers and workers, each with the jobs
// that wait when its workers begin: more than are worked off in the time.
var queueRounds = []struct{ parallel, waiting int }{{1, 5_000}, {16, 20_000}, {256, 40_000}}

// queueSeconds is how long each queue is measured at a time.
const queueSeconds = 1.0

const (
	queueTimes = 2.0 // at least, of the best peer's enqueues with most producers
	queueMost  = 256 // producers
)

// benchQueue compares the node's queue with what people would take: durable
// enqueues by producers that wait for each acknowledgement, and jobs that are
// leased and finished by workers that do nothing. All have the same payload,
// the JSON of one of our jobs, on the same disk, and an acknowledged job is
// synced. The node's queue is measured in this process.
func benchQueue(ctx context.Context, b *bench) ([]result, error) {
	peers, err := b.startPeers(ctx, "")
	if err != nil {
		return nil, err
	}
	defer peers.stop()
	q, err := b.openQueue("queue")
	if err != nil {
		return nil, err
	}
	defer q.close()
	var pushes, leases []result
	for _, r := range queueRounds {
		c, err := b.queueContests(ctx, q, peers, r.parallel, r.waiting)
		if err != nil {
			return nil, err
		}
		pushes = append(pushes, judgePushes(c["push"], r.parallel))
		leases = append(leases, judgeLeases(c["work"], r.parallel))
	}
	return append(pushes, leases...), nil
}

func judgePushes(c contest, producers int) result {
	c.what = fmt.Sprintf("durable enqueues, %s", plural(producers, "producer"))
	if producers == queueMost {
		return c.atLeast(queueTimes)
	}
	return c.first()
}

func judgeLeases(c contest, workers int) result {
	c.what = fmt.Sprintf("jobs leased and finished, %s", plural(workers, "worker"))
	if workers == 1 {
		return c.shown()
	}
	return c.first()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// queueContests measures every queue in turns, by what was asked of it.
func (b *bench) queueContests(ctx context.Context, q *ownQueue, p *peers, parallel, waiting int) (map[string]contest, error) {
	payload, err := json.Marshal(queueJob(123_456))
	if err != nil {
		return nil, err
	}
	contests := map[string]contest{}
	for _, what := range []string{"push", "work"} {
		c := contest{unit: "/s", notes: queueNotes(p.known)}
		for _, known := range p.known {
			c.peers = append(c.peers, rival{name: known.Name})
		}
		for range b.runs(3, 1) {
			rate, err := q.measure(ctx, what, parallel, waiting)
			if err != nil {
				return nil, err
			}
			c.ours = append(c.ours, rate)
			for i := range c.peers {
				load := peerLoad{Peer: c.peers[i].name, What: what, Parallel: parallel, Seconds: queueSeconds, Payload: payload}
				if what == "work" {
					load.Waiting = waiting
				}
				rate, err := p.measure(load)
				if err != nil {
					return nil, err
				}
				c.peers[i].series = append(c.peers[i].series, rate)
			}
		}
		b.logf("   %s, %d: %s", what, parallel, c.shown().measured)
		contests[what] = c
	}
	return contests, nil
}

func queueNotes(known []peer) []string {
	notes := []string{"The node's queue: a bbolt file, fsync at each commit, which the changes that wait share; a worker leases one job at a time and finishes it; done jobs stay."}
	for _, k := range known {
		notes = append(notes, k.About+".")
	}
	return notes
}

// measure returns how many times per second.
func (q *ownQueue) measure(ctx context.Context, what string, parallel, waiting int) (float64, error) {
	call := q.push
	if what == "work" {
		call = q.work
		if err := q.fill(ctx, waiting); err != nil {
			return 0, err
		}
	}
	rate, err := perSecond(ctx, parallel, time.Duration(queueSeconds*float64(time.Second)), call)
	if errors.Is(err, errDrained) {
		err = nil
	}
	return rate, err
}

// perSecond is how often call succeeds on that many goroutines. It ends early
// at the first error, which it returns.
func perSecond(ctx context.Context, goroutines int, d time.Duration, call func(context.Context) error) (float64, error) {
	var (
		done  atomic.Int64
		stop  atomic.Bool
		once  sync.Once
		first error
		group sync.WaitGroup
	)
	began := time.Now()
	for range goroutines {
		group.Go(func() {
			for !stop.Load() && time.Since(began) < d {
				if err := call(ctx); err != nil {
					once.Do(func() { first = err })
					stop.Store(true)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), first
}

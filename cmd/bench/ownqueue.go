package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/postgres"
)

// ownQueue is the node's queue on a database of its own. Jobs are leased and
// finished one by one, as the node's workers do.
type ownQueue struct {
	db     *bolt.DB // nil of a cluster's
	queue  store.Queue
	shut   func()
	pushed atomic.Int64 // jobs so far: their numbers
}

func (b *bench) openQueue(name string) (*ownQueue, error) {
	db, err := bolt.Open(filepath.Join(b.dir, name+".db"), bolt.Options{})
	if err != nil {
		return nil, err
	}
	return &ownQueue{db: db, queue: db.Queue(), shut: func() { _ = db.Close() }}, nil
}

// openPostgres opens the queue of a cluster's node, whose jobs have the numbers from
// first on.
func openPostgres(ctx context.Context, address string, first int64) (*ownQueue, error) {
	db, err := postgres.Open(ctx, address, postgres.Options{})
	if err != nil {
		return nil, err
	}
	q := &ownQueue{queue: db.Queue(), shut: db.Close}
	q.pushed.Store(first)
	return q, nil
}

func (q *ownQueue) close() { q.shut() } // it is removed with all that is in it

// jobsPerTask is how many of the jobs of a bench belong to the same task.
const jobsPerTask = 10

// queueJob is a job like those of a film: one of the chunks of its task.
func queueJob(number int64) store.Job {
	task := number / jobsPerTask
	at := int(number % jobsPerTask)
	id := fmt.Sprintf("0199c6a0-6a3b-7b1e-8a30-%012d", task)
	return store.Job{
		ID: fmt.Sprintf("%s/%s/%06d", id, store.JobChunk, at), TaskID: id, VideoID: fmt.Sprintf("0199c6a0-5c11-7d42-9b5e-%012d", task),
		Kind: store.JobChunk, Rank: store.RankOrdinary, Priority: 50, Created: time.Unix(1_800_000_000+task, 0).UTC(),
		Ordinal: at, From: at, To: at + 6,
	}
}

func (q *ownQueue) next() store.Job { return queueJob(q.pushed.Add(1) - 1) }

// push adds one job.
func (q *ownQueue) push(ctx context.Context) error { return q.queue.Push(ctx, q.next()) }

// fill makes sure that so many jobs are waiting.
func (q *ownQueue) fill(ctx context.Context, waiting int) error {
	stats, err := q.queue.Stats(ctx)
	if err != nil {
		return err
	}
	const most = 5000 // in one step
	for n := stats.Ready; n < waiting; n += most {
		jobs := make([]store.Job, min(most, waiting-n))
		for i := range jobs {
			jobs[i] = q.next()
		}
		if err := q.queue.Push(ctx, jobs...); err != nil {
			return err
		}
	}
	return nil
}

// lease takes one job.
func (q *ownQueue) lease(ctx context.Context) (store.Job, error) {
	jobs, err := q.queue.Lease(ctx, store.LeaseRequest{
		Owner: store.Owner{Node: "bench", Boot: "1", Worker: "worker"}, MaxRank: store.RankOrdinary, TTL: time.Minute, Max: 1,
	})
	if err != nil {
		return store.Job{}, err
	}
	return jobs[0], nil
}

// finish says that a job is done, and which follow it.
func (q *ownQueue) finish(ctx context.Context, job store.Job, follow ...store.Job) error {
	return q.queue.Finish(ctx, job.ID, job.Lease.Token, store.Outcome{Push: follow})
}

// work takes a job and finishes it; errDrained if there is none.
func (q *ownQueue) work(ctx context.Context) error {
	job, err := q.lease(ctx)
	if errors.Is(err, store.ErrEmpty) {
		return errDrained
	}
	if err != nil {
		return err
	}
	return q.finish(ctx, job)
}

// errDrained: every job is taken.
var errDrained = errors.New("no job is left")

package bolt

import (
	"context"
	"fmt"
	"maps"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// queue implements store.Queue. What it keeps and how a job moves between the
// indexes is in jobs.go.
//
// Lease tokens come from one counter of the whole queue. A token of a
// cancelled job therefore fits no later job, not even one of the same id.
type queue struct{ db *DB }

// Push implements store.Queue.
func (q *queue) Push(ctx context.Context, jobs ...store.Job) error {
	now := q.db.now()
	return q.db.write(ctx, func(c *change) error {
		fresh, taken, err := fresh(c, jobs)
		if err != nil {
			return err
		}
		if taken != "" {
			return fmt.Errorf("push job %s: %w", taken, store.ErrExists)
		}
		return add(c, fresh, now)
	})
}

// PushWithin implements store.Queue.
func (q *queue) PushWithin(ctx context.Context, job store.Job, most int) error {
	now := q.db.now()
	job.Backlog = true
	return q.db.write(ctx, func(c *change) error {
		fresh, taken, err := fresh(c, []store.Job{job})
		if err != nil {
			return err
		}
		if taken != "" {
			return fmt.Errorf("push job %s: %w", taken, store.ErrExists)
		}
		if n := count(c.tx.Bucket([]byte(bucketCount)), store.JobBacklog) + c.commit.counts[store.JobBacklog]; n >= most {
			return fmt.Errorf("push job %s behind %d others: %w", job.ID, n, store.ErrQueueFull)
		}
		return add(c, fresh, now)
	})
}

// Lease implements store.Queue.
func (q *queue) Lease(ctx context.Context, req store.LeaseRequest) ([]store.Job, error) {
	var leased []store.Job
	now := q.db.now().UTC()
	err := q.db.write(ctx, func(c *change) error {
		leased = nil
		if err := promote(c, now); err != nil {
			return err
		}
		// That nothing is ready is an outcome here, not a failure: the
		// promotions above shall stay.
		jobs, err := first(c, leaseFrom(req), rankAllowed(c, req), max(1, req.Max), req.Takes)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			was := *job
			if job.Lease.Token, err = c.sequence(bucketJobs); err != nil {
				return err
			}
			job.State = store.JobLeased
			job.Lease.Owner, job.Lease.Started, job.Lease.Expires = req.Owner, now, now.Add(req.TTL)
			job.Leases++
			job.Progress = 0
			if err := save(c, &was, job); err != nil {
				return err
			}
			leased = append(leased, *job)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("lease jobs: %w", err)
	case len(leased) == 0:
		return nil, store.ErrEmpty
	}
	return leased, nil
}

func leaseFrom(req store.LeaseRequest) string {
	if req.Suspects {
		return bucketSuspect
	}
	return bucketReady
}

// rankAllowed is the least urgent rank that a request may have now.
func rankAllowed(c *change, req store.LeaseRequest) store.Rank {
	if c.get(bucketMeta, []byte(metaPaused)) != nil {
		return min(req.MaxRank, store.RankDemanded)
	}
	return req.MaxRank
}

// metaPaused is there while the queue is paused.
const metaPaused = "paused"

// Renew implements store.Queue.
func (q *queue) Renew(ctx context.Context, id string, token uint64, ttl time.Duration, progress float64) error {
	expires := q.db.now().UTC().Add(ttl)
	return q.db.write(ctx, func(c *change) error {
		job, err := held(c, id, token)
		if err != nil {
			return err
		}
		was := *job
		job.Lease.Expires = expires
		job.Progress = backend.Fraction(progress)
		return save(c, &was, job)
	})
}

// Finish implements store.Queue.
func (q *queue) Finish(ctx context.Context, id string, token uint64, out store.Outcome) error {
	now := q.db.now()
	return q.db.write(ctx, func(c *change) error {
		job, err := held(c, id, token)
		if err != nil {
			return err
		}
		fresh, _, err := fresh(c, out.Push)
		if err != nil {
			return err
		}
		was := *job
		backend.End(job, out, now)
		if err := save(c, &was, job); err != nil {
			return err
		}
		return add(c, fresh, now)
	})
}

// Admit implements store.Queue.
func (q *queue) Admit(ctx context.Context, most int) ([]store.Job, error) {
	var admitted []store.Job
	now := q.db.now()
	err := q.db.write(ctx, func(c *change) error {
		admitted = nil
		if id, _ := c.tx.Bucket([]byte(bucketBacklog)).Cursor().First(); id == nil {
			return nil
		}
		under, err := underWay(c.tx)
		if err != nil {
			return err
		}
		jobs, err := first(c, bucketBacklog, anyRank, max(0, most-under), anyJob)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			was := *job
			job.Backlog = false
			backend.Wait(job, job.RunAt, now)
			if err := save(c, &was, job); err != nil {
				return err
			}
			admitted = append(admitted, *job)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("admit jobs: %w", err)
	}
	return admitted, nil
}

const anyRank = store.Rank(math.MaxInt)

func anyJob(*store.Job) bool { return true }

// Boost implements store.Queue.
func (q *queue) Boost(ctx context.Context, rank store.Rank, ids ...string) (int, error) {
	n, err := q.changeEach(ctx, ids, func(_ *change, job *store.Job) (bool, error) {
		if !backend.Waiting(job) || job.Rank <= rank {
			return false, nil
		}
		job.Rank = rank
		return true, nil
	})
	if err != nil {
		return 0, fmt.Errorf("boost jobs: %w", err)
	}
	return n, nil
}

// Redo implements store.Queue.
func (q *queue) Redo(ctx context.Context, ids ...string) (int, error) {
	now := q.db.now()
	n, err := q.changeEach(ctx, ids, func(_ *change, job *store.Job) (bool, error) {
		if job.State != store.JobDone {
			return false, nil
		}
		attempts := job.Attempts
		backend.Renew(job, now)
		job.Attempts = attempts
		return true, nil
	})
	if err != nil {
		return 0, fmt.Errorf("do jobs again: %w", err)
	}
	return n, nil
}

// Reprioritise implements store.Queue.
func (q *queue) Reprioritise(ctx context.Context, taskID string, priority int) (int, error) {
	n, err := q.changeTask(ctx, taskID, func(_ *change, job *store.Job) (bool, error) {
		changed := job.State != store.JobDone && job.Priority != priority
		job.Priority = priority
		return changed, nil
	})
	if err != nil {
		return 0, fmt.Errorf("reprioritise task %s: %w", taskID, err)
	}
	return n, nil
}

// PauseTask implements store.Queue.
func (q *queue) PauseTask(ctx context.Context, taskID string) (int, error) {
	n, err := q.changeTask(ctx, taskID, func(c *change, job *store.Job) (_ bool, err error) {
		switch job.State {
		case store.JobDone, store.JobPaused:
			return false, nil
		case store.JobLeased:
			if job.Lease.Token, err = c.sequence(bucketJobs); err != nil {
				return false, err
			}
		}
		job.State, job.Progress, job.Lease = store.JobPaused, 0, store.Lease{Token: job.Lease.Token}
		return true, nil
	})
	if err != nil {
		return 0, fmt.Errorf("pause task %s: %w", taskID, err)
	}
	return n, nil
}

// ResumeTask implements store.Queue.
func (q *queue) ResumeTask(ctx context.Context, taskID string) (int, error) {
	now := q.db.now()
	n, err := q.changeTask(ctx, taskID, func(_ *change, job *store.Job) (bool, error) {
		if job.State != store.JobPaused {
			return false, nil
		}
		backend.Wait(job, job.RunAt, now)
		return true, nil
	})
	if err != nil {
		return 0, fmt.Errorf("resume task %s: %w", taskID, err)
	}
	return n, nil
}

// SetPaused implements store.Queue.
func (q *queue) SetPaused(ctx context.Context, paused bool) error {
	return q.db.write(ctx, func(c *change) error {
		switch is := c.get(bucketMeta, []byte(metaPaused)) != nil; {
		case is == paused:
			return nil
		case paused:
			return c.put(bucketMeta, []byte(metaPaused), []byte("yes"))
		default:
			return c.delete(bucketMeta, []byte(metaPaused))
		}
	})
}

// changeTask applies fn to each job of a task; see changeEach.
func (q *queue) changeTask(ctx context.Context, taskID string, fn func(*change, *store.Job) (bool, error)) (changed int, err error) {
	err = q.db.write(ctx, func(c *change) error {
		jobs, err := ofTask(c.tx, taskID)
		if err != nil {
			return err
		}
		changed = 0
		for i := range jobs {
			if err := changeJob(c, &jobs[i], fn, &changed); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

// changeEach applies fn to each job that is there, stores it if fn says that
// it changed it, and counts those.
func (q *queue) changeEach(ctx context.Context, ids []string, fn func(*change, *store.Job) (bool, error)) (changed int, err error) {
	err = q.db.write(ctx, func(c *change) error {
		changed = 0
		for _, id := range ids {
			job, err := load(c.tx, id)
			if err != nil {
				return err
			}
			if job == nil {
				continue
			}
			if err := changeJob(c, job, fn, &changed); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

func changeJob(c *change, job *store.Job, fn func(*change, *store.Job) (bool, error), changed *int) error {
	was := *job
	yes, err := fn(c, job)
	if err != nil || !yes {
		return err
	}
	*changed++
	return save(c, &was, job)
}

// Cancel implements store.Queue.
func (q *queue) Cancel(ctx context.Context, taskID string) (int, error) {
	var ended int
	err := q.db.write(ctx, func(c *change) error {
		ended = 0
		jobs, err := ofTask(c.tx, taskID)
		if err != nil {
			return err
		}
		for i := range jobs {
			if err := save(c, &jobs[i], nil); err != nil {
				return err
			}
			if jobs[i].State != store.JobDone {
				ended++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("cancel the jobs of task %s: %w", taskID, err)
	}
	return ended, nil
}

// Reap implements store.Queue.
func (q *queue) Reap(ctx context.Context, req store.ReapRequest) ([]store.Job, error) {
	var reaped []store.Job
	now := q.db.now()
	err := q.db.write(ctx, func(c *change) error {
		reaped = nil
		dead, held, err := deadLeases(c, req, now)
		if err != nil {
			return err
		}
		for _, job := range dead {
			was := *job
			backend.Died(job, held[backend.Boot(was.Lease.Owner)] == 1, req, now)
			if job.Lease.Token, err = c.sequence(bucketJobs); err != nil {
				return err
			}
			if err := save(c, &was, job); err != nil {
				return err
			}
			reaped = append(reaped, *job)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reap dead leases: %w", err)
	}
	return reaped, nil
}

// Job implements store.Queue.
func (q *queue) Job(ctx context.Context, id string) (store.Job, error) {
	var job *store.Job
	err := q.db.view(ctx, func(tx *bbolt.Tx) (err error) {
		job, err = load(tx, id)
		return err
	})
	switch {
	case err != nil:
		return store.Job{}, err
	case job == nil:
		return store.Job{}, fmt.Errorf("job %s: %w", id, store.ErrNotFound)
	}
	return backend.AsOf(*job, q.db.now()), nil
}

// Jobs implements store.Queue.
func (q *queue) Jobs(ctx context.Context, taskID string) ([]store.Job, error) {
	var jobs []store.Job
	err := q.db.view(ctx, func(tx *bbolt.Tx) (err error) {
		jobs, err = ofTask(tx, taskID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("jobs of task %s: %w", taskID, err)
	}
	now := q.db.now()
	for i := range jobs {
		jobs[i] = backend.AsOf(jobs[i], now)
	}
	sortJobs(jobs)
	return jobs, nil
}

// Holders implements store.Queue.
func (q *queue) Holders(ctx context.Context) (holders []store.Owner, err error) {
	err = q.db.view(ctx, func(tx *bbolt.Tx) error {
		held := map[store.Owner]bool{}
		for _, id := range ascend(tx.Bucket([]byte(bucketLeased)), nil) {
			job, err := load(tx, string(id))
			if err != nil {
				return err
			}
			held[backend.Boot(job.Lease.Owner)] = true
		}
		holders = backend.Holders(maps.Keys(held))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list who holds leases: %w", err)
	}
	return holders, nil
}

// Open implements store.Queue.
func (q *queue) Open(ctx context.Context, taskID string) (n int, err error) {
	err = q.db.view(ctx, func(tx *bbolt.Tx) error {
		n = 0
		for _, value := range ascend(tx.Bucket([]byte(bucketByTask)), keyName(nil, taskID)) {
			if len(value) != 1 || value[0] != valueDone {
				n++
			}
		}
		return nil
	})
	return n, err
}

// Stats implements store.Queue. The counts are kept; only the jobs that have
// come due since the last Lease are counted one by one.
func (q *queue) Stats(ctx context.Context) (store.QueueStats, error) {
	var s store.QueueStats
	now := q.db.now()
	err := q.db.view(ctx, func(tx *bbolt.Tx) error {
		counts := tx.Bucket([]byte(bucketCount))
		s = store.QueueStats{
			Backlog: count(counts, store.JobBacklog),
			Later:   count(counts, store.JobLater),
			Ready:   count(counts, store.JobReady),
			Suspect: count(counts, store.JobSuspect),
			Leased:  count(counts, store.JobLeased),
			Paused:  count(counts, store.JobPaused),
			Done:    count(counts, store.JobDone),

			OldestBacklog: oldest(tx.Bucket([]byte(bucketBacklog))),
			OldestReady:   oldest(tx.Bucket([]byte(bucketReady))),
			QueuePaused:   tx.Bucket([]byte(bucketMeta)).Get([]byte(metaPaused)) != nil,
		}
		for id := range dueIDs(tx, now) {
			if err := countDue(tx, id, &s); err != nil {
				return err
			}
		}
		return nil
	})
	return s, err
}

// countDue counts a later job as what it is by the clock.
func countDue(tx *bbolt.Tx, id string, s *store.QueueStats) error {
	job, err := load(tx, id)
	if err != nil {
		return err
	}
	s.Later--
	if job.Suspect {
		s.Suspect++
		return nil
	}
	s.Ready++
	if s.OldestReady.IsZero() || job.Created.Before(s.OldestReady) {
		s.OldestReady = job.Created
	}
	return nil
}

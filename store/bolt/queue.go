package bolt

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"streamgate/store"
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

// Lease implements store.Queue.
func (q *queue) Lease(ctx context.Context, owner store.Owner, maxRank store.Rank, ttl time.Duration) (store.Job, error) {
	var job *store.Job
	now := q.db.now().UTC()
	err := q.db.write(ctx, func(c *change) (err error) {
		if err := promote(c, now); err != nil {
			return err
		}
		// That nothing is ready is an outcome here, not a failure: the
		// promotions above shall stay.
		if job, err = firstReady(c, maxRank); err != nil || job == nil {
			return err
		}
		was := *job
		if job.Lease.Token, err = c.sequence(bucketJobs); err != nil {
			return err
		}
		job.State = store.JobLeased
		job.Lease.Owner = owner
		job.Lease.Expires = now.Add(ttl)
		job.Attempt++
		job.Progress = 0
		return save(c, &was, job)
	})
	switch {
	case err != nil:
		return store.Job{}, fmt.Errorf("lease a job: %w", err)
	case job == nil:
		return store.Job{}, store.ErrEmpty
	}
	return *job, nil
}

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
		job.Progress = fraction(progress)
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
		job.Failure = out.Failure
		if out.RetryAt.IsZero() {
			job.State = store.JobDone
			job.Lease = store.Lease{Token: token}
		} else {
			wait(job, out.RetryAt, now)
		}
		if err := save(c, &was, job); err != nil {
			return err
		}
		return add(c, fresh, now)
	})
}

// Boost implements store.Queue.
func (q *queue) Boost(ctx context.Context, rank store.Rank, ids ...string) (int, error) {
	var changed int
	err := q.db.write(ctx, func(c *change) error {
		changed = 0
		for _, id := range ids {
			job, err := load(c.tx, id)
			if err != nil {
				return err
			}
			if job == nil || !waiting(job) || job.Rank <= rank {
				continue
			}
			was := *job
			job.Rank = rank
			if err := save(c, &was, job); err != nil {
				return err
			}
			changed++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("boost jobs: %w", err)
	}
	return changed, nil
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
func (q *queue) Reap(ctx context.Context, self store.Owner) ([]store.Job, error) {
	var reaped []store.Job
	now := q.db.now()
	err := q.db.write(ctx, func(c *change) error {
		reaped = nil
		dead, err := deadLeases(c, self, now)
		if err != nil {
			return err
		}
		for _, job := range dead {
			was := *job
			wait(job, was.RunAt, now)
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
	return asOf(*job, q.db.now()), nil
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
		jobs[i] = asOf(jobs[i], now)
	}
	sortJobs(jobs)
	return jobs, nil
}

// Stats implements store.Queue. The counts are kept; only the jobs that have
// come due since the last Lease are counted one by one.
func (q *queue) Stats(ctx context.Context) (store.QueueStats, error) {
	var s store.QueueStats
	now := q.db.now()
	err := q.db.view(ctx, func(tx *bbolt.Tx) error {
		counts := tx.Bucket([]byte(bucketCount))
		due := 0
		for range dueIDs(tx, now) {
			due++
		}
		s = store.QueueStats{
			Later:  count(counts, store.JobLater) - due,
			Ready:  count(counts, store.JobReady) + due,
			Leased: count(counts, store.JobLeased),
			Done:   count(counts, store.JobDone),
		}
		return nil
	})
	return s, err
}

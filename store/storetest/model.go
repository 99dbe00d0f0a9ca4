package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"streamgate/store"
)

// Queue is a store.Queue as plain as can be: a list in memory that every call
// walks. It is the model that TestQueue compares backends with, and a queue
// for the tests of services.
type Queue struct {
	now func() time.Time

	mu    sync.Mutex
	jobs  []store.Job
	token uint64
}

var _ store.Queue = (*Queue)(nil)

// NewQueue returns an empty queue on the clock.
func NewQueue(now func() time.Time) *Queue { return &Queue{now: now} }

// Push implements store.Queue.
func (q *Queue) Push(ctx context.Context, jobs ...store.Job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := make(map[string]bool)
	for _, j := range jobs {
		if q.find(j.ID) != nil || ids[j.ID] {
			return fmt.Errorf("push %s: %w", j.ID, store.ErrExists)
		}
		ids[j.ID] = true
	}
	for _, j := range jobs {
		q.add(j)
	}
	return nil
}

// Lease implements store.Queue.
func (q *Queue) Lease(ctx context.Context, owner store.Owner, maxRank store.Rank, ttl time.Duration) (store.Job, error) {
	if err := ctx.Err(); err != nil {
		return store.Job{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick()
	for i := range q.jobs {
		if j := &q.jobs[i]; j.State == store.JobReady && j.Rank <= maxRank {
			q.token++
			j.State = store.JobLeased
			j.Lease = store.Lease{Token: q.token, Owner: owner, Expires: q.now().Add(ttl)}
			j.Attempt++
			j.Progress = 0
			return copyJob(*j), nil
		}
	}
	return store.Job{}, store.ErrEmpty
}

// Renew implements store.Queue.
func (q *Queue) Renew(ctx context.Context, id string, token uint64, ttl time.Duration, progress float64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.held(id, token)
	if j == nil {
		return store.ErrLeaseLost
	}
	j.Lease.Expires = q.now().Add(ttl)
	j.Progress = progress
	return nil
}

// Finish implements store.Queue.
func (q *Queue) Finish(ctx context.Context, id string, token uint64, out store.Outcome) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.held(id, token)
	if j == nil {
		return store.ErrLeaseLost
	}
	j.Failure = copyFailure(out.Failure)
	if out.RetryAt.IsZero() {
		j.State = store.JobDone
		j.Lease = store.Lease{Token: token}
	} else {
		release(j, token, out.RetryAt)
	}
	for _, follower := range out.Push {
		if q.find(follower.ID) == nil {
			q.add(follower)
		}
	}
	return nil
}

// Boost implements store.Queue.
func (q *Queue) Boost(ctx context.Context, rank store.Rank, ids ...string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	changed := 0
	for _, id := range ids {
		j := q.find(id)
		if j != nil && (j.State == store.JobLater || j.State == store.JobReady) && j.Rank > rank {
			j.Rank = rank
			changed++
		}
	}
	q.sort()
	return changed, nil
}

// Cancel implements store.Queue.
func (q *Queue) Cancel(ctx context.Context, taskID string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	ended := 0
	q.jobs = slices.DeleteFunc(q.jobs, func(j store.Job) bool {
		if j.TaskID == taskID && j.State != store.JobDone {
			ended++
		}
		return j.TaskID == taskID
	})
	return ended, nil
}

// Reap implements store.Queue.
func (q *Queue) Reap(ctx context.Context, self store.Owner) ([]store.Job, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var reaped []store.Job
	for i := range q.jobs {
		j := &q.jobs[i]
		owner := j.Lease.Owner
		dead := !j.Lease.Expires.After(q.now()) ||
			self.Node != "" && owner.Node == self.Node && owner.Boot != self.Boot
		if j.State == store.JobLeased && dead {
			q.token++
			release(j, q.token, j.RunAt)
			j.State = store.JobReady
			reaped = append(reaped, copyJob(*j))
		}
	}
	return reaped, nil
}

// Job implements store.Queue.
func (q *Queue) Job(ctx context.Context, id string) (store.Job, error) {
	if err := ctx.Err(); err != nil {
		return store.Job{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick()
	if j := q.find(id); j != nil {
		return copyJob(*j), nil
	}
	return store.Job{}, store.ErrNotFound
}

// Jobs implements store.Queue.
func (q *Queue) Jobs(ctx context.Context, taskID string) ([]store.Job, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick()
	var jobs []store.Job
	for _, j := range q.jobs {
		if j.TaskID == taskID {
			jobs = append(jobs, copyJob(j))
		}
	}
	return jobs, nil
}

// Stats implements store.Queue.
func (q *Queue) Stats(ctx context.Context) (store.QueueStats, error) {
	if err := ctx.Err(); err != nil {
		return store.QueueStats{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick()
	var s store.QueueStats
	for _, j := range q.jobs {
		switch j.State {
		case store.JobLater:
			s.Later++
		case store.JobReady:
			s.Ready++
		case store.JobLeased:
			s.Leased++
		case store.JobDone:
			s.Done++
		}
	}
	return s, nil
}

// tick makes the jobs ready that have come due.
func (q *Queue) tick() {
	for i := range q.jobs {
		if j := &q.jobs[i]; j.State == store.JobLater && !j.RunAt.After(q.now()) {
			j.State = store.JobReady
		}
	}
}

func (q *Queue) find(id string) *store.Job {
	i := slices.IndexFunc(q.jobs, func(j store.Job) bool { return j.ID == id })
	if i < 0 {
		return nil
	}
	return &q.jobs[i]
}

func (q *Queue) held(id string, token uint64) *store.Job {
	j := q.find(id)
	if j == nil || j.State != store.JobLeased || j.Lease.Token != token {
		return nil
	}
	return j
}

func (q *Queue) add(j store.Job) {
	j.Created = j.Created.UTC()
	j.Attempt, j.Failure = 0, nil
	release(&j, 0, j.RunAt)
	q.jobs = append(q.jobs, j)
	q.sort()
}

func (q *Queue) sort() { slices.SortFunc(q.jobs, compareJobs) }

// release makes a job wait until at; the next tick makes it ready.
func release(j *store.Job, token uint64, at time.Time) {
	j.State, j.RunAt, j.Progress = store.JobLater, at.UTC(), 0
	j.Lease = store.Lease{Token: token}
}

// compareJobs is the order in which jobs are leased.
func compareJobs(a, b store.Job) int {
	return cmp.Or(
		cmp.Compare(a.Rank, b.Rank),
		cmp.Compare(b.Priority, a.Priority),
		a.Created.Compare(b.Created),
		cmp.Compare(a.Ordinal, b.Ordinal),
		cmp.Compare(a.ID, b.ID))
}

func copyJob(j store.Job) store.Job {
	j.Failure = copyFailure(j.Failure)
	return j
}

func copyFailure(f *store.Failure) *store.Failure {
	if f == nil {
		return nil
	}
	c := *f
	return &c
}

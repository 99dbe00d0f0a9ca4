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

	mu     sync.Mutex
	jobs   []store.Job
	token  uint64
	paused bool
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

// PushWithin implements store.Queue.
func (q *Queue) PushWithin(ctx context.Context, job store.Job, most int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := 0
	for _, j := range q.jobs {
		if j.State == store.JobBacklog {
			waiting++
		}
	}
	switch {
	case q.find(job.ID) != nil:
		return fmt.Errorf("push %s: %w", job.ID, store.ErrExists)
	case waiting >= most:
		return fmt.Errorf("push %s: %w", job.ID, store.ErrQueueFull)
	}
	job.Backlog = true
	q.add(job)
	return nil
}

// Lease implements store.Queue.
func (q *Queue) Lease(ctx context.Context, req store.LeaseRequest) ([]store.Job, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick()
	state, rank := store.JobReady, req.MaxRank
	if req.Suspects {
		state = store.JobSuspect
	}
	if q.paused {
		rank = min(rank, store.RankDemanded)
	}
	var leased []store.Job
	for i := range q.jobs {
		if j := &q.jobs[i]; j.State == state && j.Rank <= rank && req.Takes(j) && len(leased) < max(1, req.Max) {
			q.token++
			j.State = store.JobLeased
			j.Lease = store.Lease{Token: q.token, Owner: req.Owner, Started: q.now(), Expires: q.now().Add(req.TTL)}
			j.Leases++
			j.Progress = 0
			leased = append(leased, copyJob(*j))
		}
	}
	if len(leased) == 0 {
		return nil, store.ErrEmpty
	}
	return leased, nil
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
	if out.Failure != nil {
		if out.Killed {
			j.Kills++
		} else {
			j.Failures++
		}
		remember(j, q.now(), *out.Failure, out.Log)
	}
	if out.Failure != nil || !out.Retry {
		j.Deaths, j.LoneDeaths, j.Suspect = 0, 0, false
	}
	if out.Retry {
		release(j, token, q.now().Add(out.After))
	} else {
		j.State = store.JobDone
		j.Lease = store.Lease{Token: token}
	}
	for _, follower := range out.Push {
		if q.find(follower.ID) == nil {
			q.add(follower)
		}
	}
	return nil
}

// Admit implements store.Queue.
func (q *Queue) Admit(ctx context.Context, most int) ([]store.Job, error) {
	var admitted []store.Job
	room := -1 // counted under the lock
	_, err := q.change(ctx, func(j *store.Job) bool {
		if room < 0 {
			room = max(0, most-q.underWay())
		}
		if j.State != store.JobBacklog || len(admitted) == room {
			return false
		}
		j.Backlog = false
		release(j, j.Lease.Token, j.RunAt)
		admitted = append(admitted, asOf(copyJob(*j), q.now()))
		return true
	})
	return admitted, err
}

// underWay counts the tasks that Admit has let in. It needs the lock.
func (q *Queue) underWay() (n int) {
	in := make(map[string]bool)
	for _, j := range q.jobs {
		in[j.TaskID] = in[j.TaskID] || j.State != store.JobDone && j.State != store.JobPaused
	}
	for _, j := range q.jobs {
		if j.State == store.JobBacklog {
			delete(in, j.TaskID)
		}
	}
	for _, is := range in {
		if is {
			n++
		}
	}
	return n
}

// Boost implements store.Queue.
func (q *Queue) Boost(ctx context.Context, rank store.Rank, ids ...string) (int, error) {
	return q.change(ctx, func(j *store.Job) bool {
		if !slices.Contains(ids, j.ID) || !waits(j) || j.Rank <= rank {
			return false
		}
		j.Rank = rank
		return true
	})
}

// Redo implements store.Queue.
func (q *Queue) Redo(ctx context.Context, ids ...string) (int, error) {
	return q.change(ctx, func(j *store.Job) bool {
		if !slices.Contains(ids, j.ID) || j.State != store.JobDone {
			return false
		}
		attempts := j.Attempts
		q.renew(j)
		j.Attempts = attempts
		return true
	})
}

// Reprioritise implements store.Queue.
func (q *Queue) Reprioritise(ctx context.Context, taskID string, priority int) (int, error) {
	return q.change(ctx, func(j *store.Job) bool {
		if j.TaskID != taskID || j.State == store.JobDone || j.Priority == priority {
			return false
		}
		j.Priority = priority
		return true
	})
}

// PauseTask implements store.Queue.
func (q *Queue) PauseTask(ctx context.Context, taskID string) (int, error) {
	return q.change(ctx, func(j *store.Job) bool {
		if j.TaskID != taskID || j.State == store.JobDone || j.State == store.JobPaused {
			return false
		}
		if j.State == store.JobLeased {
			q.token++
			j.Lease.Token = q.token
		}
		j.State, j.Progress, j.Lease = store.JobPaused, 0, store.Lease{Token: j.Lease.Token}
		return true
	})
}

// ResumeTask implements store.Queue.
func (q *Queue) ResumeTask(ctx context.Context, taskID string) (int, error) {
	return q.change(ctx, func(j *store.Job) bool {
		if j.TaskID != taskID || j.State != store.JobPaused {
			return false
		}
		release(j, j.Lease.Token, j.RunAt)
		return true
	})
}

// SetPaused implements store.Queue.
func (q *Queue) SetPaused(ctx context.Context, paused bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.paused = paused
	return nil
}

// change applies fn to every job in order and counts those that it changed.
func (q *Queue) change(ctx context.Context, fn func(*store.Job) bool) (changed int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick()
	for i := range q.jobs {
		if fn(&q.jobs[i]) {
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
func (q *Queue) Reap(ctx context.Context, req store.ReapRequest) ([]store.Job, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	held := make(map[[2]string]int)
	var dead []*store.Job
	for i := range q.jobs {
		j := &q.jobs[i]
		if j.State != store.JobLeased {
			continue
		}
		owner := j.Lease.Owner
		held[[2]string{owner.Node, owner.Boot}]++
		gone := slices.ContainsFunc(req.Dead, func(d store.Dead) bool {
			other := d.Boot != owner.Boot
			if d.Gone != "" {
				other = d.Gone == owner.Boot
			}
			return d.Node != "" && d.Node == owner.Node && other
		})
		if gone || !j.Lease.Expires.After(q.now()) {
			dead = append(dead, j)
		}
	}
	var reaped []store.Job
	for _, j := range dead {
		q.die(j, held[[2]string{j.Lease.Owner.Node, j.Lease.Owner.Boot}] == 1, req)
		reaped = append(reaped, copyJob(*j))
	}
	return reaped, nil
}

func (q *Queue) die(j *store.Job, alone bool, req store.ReapRequest) {
	remember(j, q.now(), store.Failure{Code: store.CodeNodeDied, Message: "The node that ran this part died or was cut off."}, "")
	if j.Progress > 0 {
		j.Deaths, j.LoneDeaths = 0, 0
	} else {
		j.Deaths++
		if alone {
			j.LoneDeaths++
		}
	}
	j.Suspect = req.SuspectAfter > 0 && j.Deaths >= req.SuspectAfter
	q.token++
	at := time.Time{}
	if pause := min(time.Duration(j.LoneDeaths)*req.Delay, req.MaxDelay); pause > 0 {
		at = q.now().Add(pause)
	}
	release(j, q.token, at)
	*j = asOf(*j, q.now())
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

// Holders implements store.Queue.
func (q *Queue) Holders(ctx context.Context) (holders []store.Owner, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.jobs {
		owner := store.Owner{Node: j.Lease.Owner.Node, Boot: j.Lease.Owner.Boot}
		if j.State == store.JobLeased && !slices.Contains(holders, owner) {
			holders = append(holders, owner)
		}
	}
	slices.SortFunc(holders, func(a, b store.Owner) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Boot, b.Boot))
	})
	return holders, nil
}

// Open implements store.Queue.
func (q *Queue) Open(ctx context.Context, taskID string) (int, error) {
	jobs, err := q.Jobs(ctx, taskID)
	return len(slices.DeleteFunc(jobs, func(j store.Job) bool { return j.State == store.JobDone })), err
}

// Stats implements store.Queue.
func (q *Queue) Stats(ctx context.Context) (store.QueueStats, error) {
	if err := ctx.Err(); err != nil {
		return store.QueueStats{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick()
	s := store.QueueStats{QueuePaused: q.paused}
	count := map[store.JobState]*int{
		store.JobBacklog: &s.Backlog, store.JobLater: &s.Later, store.JobReady: &s.Ready, store.JobSuspect: &s.Suspect,
		store.JobLeased: &s.Leased, store.JobPaused: &s.Paused, store.JobDone: &s.Done,
	}
	oldest := map[store.JobState]*time.Time{store.JobBacklog: &s.OldestBacklog, store.JobReady: &s.OldestReady}
	for _, j := range q.jobs {
		*count[j.State]++
		if t := oldest[j.State]; t != nil && (t.IsZero() || j.Created.Before(*t)) {
			*t = j.Created
		}
	}
	return s, nil
}

// tick makes the jobs ready that have come due.
func (q *Queue) tick() {
	for i := range q.jobs {
		q.jobs[i] = asOf(q.jobs[i], q.now())
	}
}

// asOf is the job as the clock has it.
func asOf(j store.Job, now time.Time) store.Job {
	if j.State == store.JobLater && !j.RunAt.After(now) {
		j.State = store.JobReady
		if j.Suspect {
			j.State = store.JobSuspect
		}
	}
	return j
}

func waits(j *store.Job) bool {
	return j.State != store.JobLeased && j.State != store.JobPaused && j.State != store.JobDone
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
	j.Lease = store.Lease{}
	q.renew(&j)
	q.jobs = append(q.jobs, j)
	q.sort()
}

// renew makes a job one that was just pushed.
func (q *Queue) renew(j *store.Job) {
	j.Created = j.Created.UTC()
	j.Leases, j.Failures, j.Kills, j.Deaths, j.LoneDeaths, j.Suspect = 0, 0, 0, 0, 0, false
	j.Failure, j.Attempts = nil, nil
	var at time.Time
	if j.Delay > 0 {
		at = q.now().Add(j.Delay)
	}
	j.Delay = 0
	release(j, j.Lease.Token, at)
}

func (q *Queue) sort() { slices.SortFunc(q.jobs, compareJobs) }

// release makes a job wait until at; the next tick makes it ready.
func release(j *store.Job, token uint64, at time.Time) {
	j.State, j.RunAt, j.Progress = store.JobLater, at.UTC(), 0
	if j.Backlog {
		j.State = store.JobBacklog
	}
	j.Lease = store.Lease{Token: token}
}

// remember notes an attempt that ended badly.
func remember(j *store.Job, now time.Time, f store.Failure, log string) {
	j.Attempts = append(slices.Clip(j.Attempts), store.Attempt{
		Owner: j.Lease.Owner, Started: j.Lease.Started, Ended: now.UTC(), Failure: f, Log: log,
	})
	j.Attempts = j.Attempts[max(0, len(j.Attempts)-store.MaxAttempts):]
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
	j.Attempts = slices.Clone(j.Attempts)
	return j
}

func copyFailure(f *store.Failure) *store.Failure {
	if f == nil {
		return nil
	}
	c := *f
	return &c
}

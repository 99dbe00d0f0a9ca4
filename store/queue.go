package store

import (
	"context"
	"time"
)

// JobKind says what a job makes.
type JobKind string

// The kinds of job.
const (
	JobPlan   JobKind = "plan"   // probe, index, timeline, renditions; pushes the others
	JobCopy   JobKind = "copy"   // cells of the stream copies, [From, To)
	JobChunk  JobKind = "chunk"  // cells of the encoded video renditions, [From, To)
	JobAudio  JobKind = "audio"  // cells of the encoded audio renditions, [From, To)
	JobStills JobKind = "stills" // poster and storyboard
)

// Rank is the first part of a job's order.
type Rank int

// The ranks, most urgent first.
const (
	RankDemanded Rank = 0 // a player waits for it
	RankFirst    Rank = 1 // a video's first picture, or what follows a demanded cell
	RankOrdinary Rank = 2
)

// JobState is where a job stands.
type JobState string

// The states of a job. Later and ready differ only by the clock.
const (
	JobLater  JobState = "later"  // waits for RunAt
	JobReady  JobState = "ready"  // can be leased
	JobLeased JobState = "leased" // a worker holds it
	JobDone   JobState = "done"
)

// Job is one leased piece of a task. Jobs are leased in order of Rank, then
// falling Priority, then Created, then Ordinal, then ID.
type Job struct {
	ID       string    `json:"id"` // unique; chosen by the pusher
	TaskID   string    `json:"task_id"`
	VideoID  string    `json:"video_id"`
	Kind     JobKind   `json:"kind"`
	Rank     Rank      `json:"rank"`
	Priority int       `json:"priority"` // the task's, 0–100
	Created  time.Time `json:"created"`  // the task's: its age
	Ordinal  int       `json:"ordinal"`  // order among the jobs of a task

	From      int    `json:"from"`                // first segment
	To        int    `json:"to"`                  // one past the last segment
	Rendition string `json:"rendition,omitempty"` // only this one; "" for all of the kind

	// Kept by the queue.
	State    JobState  `json:"state"`
	RunAt    time.Time `json:"run_at,omitzero"` // not leased before
	Attempt  int       `json:"attempt"`         // times leased
	Progress float64   `json:"progress"`        // 0–1, from Renew
	Lease    Lease     `json:"lease,omitzero"`
	Failure  *Failure  `json:"failure,omitempty"` // of the last attempt
}

// Owner names who holds a lease. The boot id changes with every start of a
// node, so that a node tells its own dead leases.
type Owner struct {
	Node   string `json:"node"`
	Boot   string `json:"boot"`
	Worker string `json:"worker"`
}

// Lease is a worker's time-limited hold on a job. Token is bumped by Lease,
// Reap and Cancel: whoever shows an older one has lost the job.
type Lease struct {
	Token   uint64    `json:"token"`
	Owner   Owner     `json:"owner,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
}

// Queue keeps jobs and hands them out. A job is in exactly one state. Retry
// policy and limits are the caller's (app/transcode).
type Queue interface {
	// Push adds jobs (State, Lease and Attempt are set by the queue), all or
	// none; ErrExists if any id is taken, done jobs included.
	Push(ctx context.Context, jobs ...Job) error
	// Lease hands out the first job in order whose rank is at most maxRank
	// and whose RunAt has come, until ttl from now; ErrEmpty.
	Lease(ctx context.Context, owner Owner, maxRank Rank, ttl time.Duration) (Job, error)
	// Renew extends a lease and notes progress; ErrLeaseLost, also when the
	// job is gone.
	Renew(ctx context.Context, id string, token uint64, ttl time.Duration, progress float64) error
	// Finish ends a lease; ErrLeaseLost, also when the job is gone, and then
	// nothing of it takes effect.
	Finish(ctx context.Context, id string, token uint64, out Outcome) error
	// Boost makes waiting jobs at least as urgent as rank; leased, done and
	// unknown ids are passed over. Returns how many it changed.
	Boost(ctx context.Context, rank Rank, ids ...string) (int, error)
	// Cancel removes every job of a task, leased ones included: their workers
	// get ErrLeaseLost. Returns how many were not done.
	Cancel(ctx context.Context, taskID string) (int, error)
	// Reap makes jobs ready again whose lease has expired, or is held by the
	// given node under another boot id than this one (node may be zero: only
	// expired ones). Returns them as they are now.
	Reap(ctx context.Context, self Owner) ([]Job, error)
	// Job returns one job; ErrNotFound.
	Job(ctx context.Context, id string) (Job, error)
	// Jobs returns the jobs of a task in lease order, done ones included.
	Jobs(ctx context.Context, taskID string) ([]Job, error)
	// Stats counts the jobs by state.
	Stats(ctx context.Context) (QueueStats, error)
}

// Outcome is how a leased job ends.
type Outcome struct {
	// RetryAt, if set, makes the job wait until then instead of being done.
	RetryAt time.Time
	// Failure is why the attempt failed; nil when it succeeded.
	Failure *Failure
	// Push are follow-up jobs, added in the same step; those whose id exists
	// are passed over, so that a re-run plan is harmless.
	Push []Job
}

// QueueStats counts jobs.
type QueueStats struct {
	Later, Ready, Leased, Done int
}

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

// The states of a job. Later, ready and suspect differ only by the clock.
const (
	JobBacklog JobState = "backlog" // waits for Admit
	JobLater   JobState = "later"   // waits for RunAt
	JobReady   JobState = "ready"   // can be leased
	JobSuspect JobState = "suspect" // can be leased, by a worker that runs it alone
	JobLeased  JobState = "leased"  // a worker holds it
	JobPaused  JobState = "paused"  // waits for ResumeTask
	JobDone    JobState = "done"
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
	// Encoder is the only encoder that can do the job, of letters, digits, dots and
	// dashes; "" if any can.
	Encoder string `json:"encoder,omitempty"`

	// Backlog makes the job wait for Admit before anything else.
	Backlog bool `json:"backlog,omitempty"`
	// Delay is how long the job waits after it was pushed.
	Delay time.Duration `json:"-"`
	// Trace is the W3C traceparent of what the job belongs to, or "".
	Trace string `json:"trace,omitempty"`

	// Kept by the queue.
	State    JobState  `json:"state"`
	RunAt    time.Time `json:"run_at,omitzero"` // not leased before
	Leases   int       `json:"leases"`          // times leased
	Failures int       `json:"failures"`        // leases that ended with a failure
	Kills    int       `json:"kills,omitempty"` // and those whose encoder was killed by somebody
	// Deaths counts the leases in a row that ended without a word and without
	// progress, and LoneDeaths those of them that were their node's only one.
	Deaths     int  `json:"deaths,omitempty"`
	LoneDeaths int  `json:"lone_deaths,omitempty"`
	Suspect    bool `json:"suspect,omitempty"` // to be run alone: see Reap

	Progress float64   `json:"progress"` // 0–1, from Renew
	Lease    Lease     `json:"lease,omitzero"`
	Failure  *Failure  `json:"failure,omitempty"`  // of the last attempt
	Attempts []Attempt `json:"attempts,omitempty"` // that failed or died, the last MaxAttempts
}

// MaxAttempts is how many attempts a job remembers.
const MaxAttempts = 8

// Attempt is a lease that ended badly.
type Attempt struct {
	Owner   Owner     `json:"owner"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Failure Failure   `json:"failure"`
	Log     string    `json:"log,omitempty"` // the end of what ffmpeg said
}

// CodeNodeDied is the failure of an attempt whose lease ended without a word.
const CodeNodeDied = "node_died"

// Owner names who holds a lease. The boot id changes with every start of a
// node, so that a node tells its own dead leases.
type Owner struct {
	Node   string `json:"node"`
	Boot   string `json:"boot"`
	Worker string `json:"worker"`
}

// Lease is a worker's time-limited hold on a job. Token is bumped by Lease,
// Reap, PauseTask and Cancel: whoever shows an older one has lost the job.
type Lease struct {
	Token   uint64    `json:"token"`
	Owner   Owner     `json:"owner,omitzero"`
	Started time.Time `json:"started,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
}

// Queue keeps jobs and hands them out. A job is in exactly one state. Retry
// policy and limits are the caller's (app/transcode). Times are the queue's
// own: callers give durations, so that their clocks need not agree. An error
// other than those named means that the outcome is unknown.
type Queue interface {
	QueueWork
	QueueControl
	QueueReads
}

// QueueWork is what workers need of a Queue.
type QueueWork interface {
	// Push adds jobs (what the queue keeps is set by it), all or none;
	// ErrExists if any id is taken, done jobs included.
	Push(ctx context.Context, jobs ...Job) error
	// PushWithin adds a job to the backlog, unless most jobs wait there: ErrQueueFull,
	// or ErrExists as Push. Of those who do so at the same time, each counts what
	// the other did.
	PushWithin(ctx context.Context, job Job, most int) error
	// Lease hands out the first jobs in order that the request allows, at
	// least one; ErrEmpty.
	Lease(ctx context.Context, req LeaseRequest) ([]Job, error)
	// Renew extends a lease and notes progress; ErrLeaseLost, also when the
	// job is gone.
	Renew(ctx context.Context, id string, token uint64, ttl time.Duration, progress float64) error
	// Finish ends a lease; ErrLeaseLost, also when the job is gone, and then
	// nothing of it takes effect.
	Finish(ctx context.Context, id string, token uint64, out Outcome) error
	// Reap takes jobs back whose lease has expired or is held by one of the
	// dead. Returns them as they are now.
	Reap(ctx context.Context, req ReapRequest) ([]Job, error)
}

// QueueControl is what operators need of a Queue. A change of a task is a
// change of all its jobs that are not done; it returns how many it changed.
type QueueControl interface {
	// Admit lets the first jobs of the backlog, in order, be leased, as many as
	// there is room for, and returns them as they are now. There is room for most
	// tasks that have jobs waiting outside the backlog, or leased; one that has a job
	// in the backlog is not in yet. Of those who admit at the same time, one counts
	// what the other did.
	Admit(ctx context.Context, most int) ([]Job, error)
	// Boost makes waiting jobs at least as urgent as rank; leased, done and
	// unknown ids are passed over. Returns how many it changed.
	Boost(ctx context.Context, rank Rank, ids ...string) (int, error)
	// Redo makes done jobs wait as if they had just been pushed, but for their
	// attempts; others and unknown ids are passed over. Returns how many it
	// changed.
	Redo(ctx context.Context, ids ...string) (int, error)
	// Reprioritise changes the priority of a task's jobs. It takes effect at
	// the next lease.
	Reprioritise(ctx context.Context, taskID string, priority int) (int, error)
	// PauseTask makes a task's jobs wait for ResumeTask. Workers that hold one
	// get ErrLeaseLost.
	PauseTask(ctx context.Context, taskID string) (int, error)
	// ResumeTask makes a task's paused jobs wait in line again.
	ResumeTask(ctx context.Context, taskID string) (int, error)
	// Cancel removes every job of a task, done ones included: workers that
	// hold one get ErrLeaseLost. Returns how many were not done.
	Cancel(ctx context.Context, taskID string) (int, error)
	// SetPaused says whether the queue is paused: then Lease hands out nothing
	// but demanded jobs. It outlives restarts.
	SetPaused(ctx context.Context, paused bool) error
}

// QueueReads is what is known of a Queue.
type QueueReads interface {
	// Job returns one job; ErrNotFound.
	Job(ctx context.Context, id string) (Job, error)
	// Jobs returns the jobs of a task in lease order, done ones included.
	Jobs(ctx context.Context, taskID string) ([]Job, error)
	// Holders returns the node and boot of whoever holds leases, in their order,
	// each once.
	Holders(ctx context.Context) ([]Owner, error)
	// Open counts the jobs of a task that are not done.
	Open(ctx context.Context, taskID string) (int, error)
	// Stats counts the jobs by state.
	Stats(ctx context.Context) (QueueStats, error)
}

// LeaseRequest says which jobs a worker can take.
type LeaseRequest struct {
	Owner   Owner
	MaxRank Rank          // no less urgent than that
	TTL     time.Duration // of the lease
	Max     int           // jobs; 0 means 1
	// Suspects asks for suspect jobs, which nobody else gets, and for no
	// others. Whoever sets it promises to run one, and nothing beside it.
	Suspects bool
	// Encoder is the worker's: it gets the jobs of that one and those of none.
	Encoder string
}

// Takes tells whether whoever asks can do a job, as far as its encoder goes.
func (r *LeaseRequest) Takes(j *Job) bool { return j.Encoder == "" || j.Encoder == r.Encoder }

// ReapRequest says whose leases have ended.
type ReapRequest struct {
	// Dead are nodes of which nothing is left but, maybe, a later boot; or boots.
	Dead []Dead
	// SuspectAfter makes a job a suspect that has died that often in a row
	// without progress; 0 for never.
	SuspectAfter int
	// Delay is how long a job waits for each of its lone deaths, MaxDelay at
	// most, so that others get on meanwhile.
	Delay, MaxDelay time.Duration
}

// Dead is a node whose leases are worth nothing: those of one boot, or those of
// all but one.
type Dead struct {
	Node string
	Boot string // the one that lives, or ""
	Gone string // the only one that is dead; "" for all but Boot
}

// Holds tells whether a lease of the owner is worth nothing. The node of no name
// never dies.
func (d Dead) Holds(o Owner) bool {
	if d.Node == "" || o.Node != d.Node {
		return false
	}
	if d.Gone != "" {
		return o.Boot == d.Gone
	}
	return o.Boot != d.Boot
}

// Outcome is how a leased job ends. The zero value: it is done.
type Outcome struct {
	// Retry makes the job wait for After instead of being done. Without a
	// Failure it is given back: that was no attempt.
	Retry bool
	After time.Duration
	// Failure is why the attempt failed; nil when it succeeded.
	Failure *Failure
	// Killed makes the failure count as a kill: it is somebody else's doing.
	Killed bool
	// Log is the end of what ffmpeg said before a failure.
	Log string
	// Push are follow-up jobs, added in the same step; those whose id exists
	// are passed over, so that a re-run plan is harmless.
	Push []Job
}

// QueueStats counts jobs by state.
type QueueStats struct {
	Backlog, Later, Ready, Suspect, Leased, Paused, Done int

	// OldestBacklog and OldestReady are the earliest Created of the jobs in
	// that state; zero if there are none.
	OldestBacklog, OldestReady time.Time
	// QueuePaused: see SetPaused.
	QueuePaused bool
}

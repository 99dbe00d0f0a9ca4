package storetest

import (
	"context"
	"sync"
	"time"

	"streamgate/store"
)

// The methods of store.Queue that a fault can be in.
const (
	OpPush         Op = "push"
	OpLease        Op = "lease"
	OpRenew        Op = "renew"
	OpFinish       Op = "finish"
	OpReap         Op = "reap"
	OpAdmit        Op = "admit"
	OpBoost        Op = "boost"
	OpRedo         Op = "redo"
	OpReprioritise Op = "reprioritise"
	OpPauseTask    Op = "pause task"
	OpResumeTask   Op = "resume task"
	OpCancel       Op = "cancel"
	OpSetPaused    Op = "set paused"
	OpJob          Op = "job"
	OpJobs         Op = "jobs"
	OpHolders      Op = "holders"
	OpOpen         Op = "open"
	OpStats        Op = "stats"
)

// FaultyQueue is a store.Queue that misbehaves as it is told. A late call
// takes effect, and fails all the same: what a connection that is lost during
// a commit does.
type FaultyQueue struct {
	inner store.Queue

	mu    sync.Mutex
	fault func(op Op) Fault
}

var _ store.Queue = (*FaultyQueue)(nil)

// NewFaultyQueue wraps a queue, healthy at first.
func NewFaultyQueue(inner store.Queue) *FaultyQueue { return &FaultyQueue{inner: inner} }

// Break makes fn choose the fault of each call from now on; nil mends it. fn
// is called under a lock, so it may count.
func (f *FaultyQueue) Break(fn func(op Op) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fn
}

func (f *FaultyQueue) choose(op Op) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil {
		return Fault{}
	}
	return f.fault(op)
}

// call does what is asked for, as the fault allows.
func call[T any](ctx context.Context, f *FaultyQueue, op Op, do func() (T, error)) (T, error) {
	var none T
	fault := f.choose(op)
	if !fault.Late {
		if err := fault.meet(ctx); err != nil {
			return none, err
		}
		return do()
	}
	if _, err := do(); err != nil {
		return none, err
	}
	if fault.Err == nil {
		fault.Err = ErrFault
	}
	return none, fault.meet(ctx)
}

func callErr(ctx context.Context, f *FaultyQueue, op Op, do func() error) error {
	_, err := call(ctx, f, op, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// Push implements store.Queue.
func (f *FaultyQueue) Push(ctx context.Context, jobs ...store.Job) error {
	return callErr(ctx, f, OpPush, func() error { return f.inner.Push(ctx, jobs...) })
}

// PushWithin implements store.Queue.
func (f *FaultyQueue) PushWithin(ctx context.Context, job store.Job, most int) error {
	return callErr(ctx, f, OpPush, func() error { return f.inner.PushWithin(ctx, job, most) })
}

// Lease implements store.Queue.
func (f *FaultyQueue) Lease(ctx context.Context, req store.LeaseRequest) ([]store.Job, error) {
	return call(ctx, f, OpLease, func() ([]store.Job, error) { return f.inner.Lease(ctx, req) })
}

// Renew implements store.Queue.
func (f *FaultyQueue) Renew(ctx context.Context, id string, token uint64, ttl time.Duration, progress float64) error {
	return callErr(ctx, f, OpRenew, func() error { return f.inner.Renew(ctx, id, token, ttl, progress) })
}

// Finish implements store.Queue.
func (f *FaultyQueue) Finish(ctx context.Context, id string, token uint64, out store.Outcome) error {
	return callErr(ctx, f, OpFinish, func() error { return f.inner.Finish(ctx, id, token, out) })
}

// Reap implements store.Queue.
func (f *FaultyQueue) Reap(ctx context.Context, req store.ReapRequest) ([]store.Job, error) {
	return call(ctx, f, OpReap, func() ([]store.Job, error) { return f.inner.Reap(ctx, req) })
}

// Admit implements store.Queue.
func (f *FaultyQueue) Admit(ctx context.Context, n int) ([]store.Job, error) {
	return call(ctx, f, OpAdmit, func() ([]store.Job, error) { return f.inner.Admit(ctx, n) })
}

// Boost implements store.Queue.
func (f *FaultyQueue) Boost(ctx context.Context, rank store.Rank, ids ...string) (int, error) {
	return call(ctx, f, OpBoost, func() (int, error) { return f.inner.Boost(ctx, rank, ids...) })
}

// Redo implements store.Queue.
func (f *FaultyQueue) Redo(ctx context.Context, ids ...string) (int, error) {
	return call(ctx, f, OpRedo, func() (int, error) { return f.inner.Redo(ctx, ids...) })
}

// Reprioritise implements store.Queue.
func (f *FaultyQueue) Reprioritise(ctx context.Context, taskID string, priority int) (int, error) {
	return call(ctx, f, OpReprioritise, func() (int, error) { return f.inner.Reprioritise(ctx, taskID, priority) })
}

// PauseTask implements store.Queue.
func (f *FaultyQueue) PauseTask(ctx context.Context, taskID string) (int, error) {
	return call(ctx, f, OpPauseTask, func() (int, error) { return f.inner.PauseTask(ctx, taskID) })
}

// ResumeTask implements store.Queue.
func (f *FaultyQueue) ResumeTask(ctx context.Context, taskID string) (int, error) {
	return call(ctx, f, OpResumeTask, func() (int, error) { return f.inner.ResumeTask(ctx, taskID) })
}

// Cancel implements store.Queue.
func (f *FaultyQueue) Cancel(ctx context.Context, taskID string) (int, error) {
	return call(ctx, f, OpCancel, func() (int, error) { return f.inner.Cancel(ctx, taskID) })
}

// SetPaused implements store.Queue.
func (f *FaultyQueue) SetPaused(ctx context.Context, paused bool) error {
	return callErr(ctx, f, OpSetPaused, func() error { return f.inner.SetPaused(ctx, paused) })
}

// Job implements store.Queue.
func (f *FaultyQueue) Job(ctx context.Context, id string) (store.Job, error) {
	return call(ctx, f, OpJob, func() (store.Job, error) { return f.inner.Job(ctx, id) })
}

// Jobs implements store.Queue.
func (f *FaultyQueue) Jobs(ctx context.Context, taskID string) ([]store.Job, error) {
	return call(ctx, f, OpJobs, func() ([]store.Job, error) { return f.inner.Jobs(ctx, taskID) })
}

// Holders implements store.Queue.
func (f *FaultyQueue) Holders(ctx context.Context) ([]store.Owner, error) {
	return call(ctx, f, OpHolders, func() ([]store.Owner, error) { return f.inner.Holders(ctx) })
}

// Open implements store.Queue.
func (f *FaultyQueue) Open(ctx context.Context, taskID string) (int, error) {
	return call(ctx, f, OpOpen, func() (int, error) { return f.inner.Open(ctx, taskID) })
}

// Stats implements store.Queue.
func (f *FaultyQueue) Stats(ctx context.Context) (store.QueueStats, error) {
	return call(ctx, f, OpStats, func() (store.QueueStats, error) { return f.inner.Stats(ctx) })
}

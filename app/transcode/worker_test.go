package transcode

import (
	"context"
	"errors"
	"testing"
	"time"

	"streamgate/store"
)

// lateRenew is a queue in which something happens just after a renewal.
type lateRenew struct {
	store.Queue
	after func()
}

func (q *lateRenew) Renew(ctx context.Context, id string, token uint64, ttl time.Duration, p float64) error {
	defer q.after()
	return q.Queue.Renew(ctx, id, token, ttl, p)
}

// A heartbeat comes every 20 minutes in these tests, so only hints stop a job.

func TestACancelRightAfterTheLeaseIsHeard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	renewNow := n.renewals.next()
	_, job := r.leased(n, &plan, store.JobChunk)
	_, err := r.db.Queue().Cancel(t.Context(), job.TaskID)
	r.ok(err)
	n.renewals.fire() // before the heartbeat has begun
	r.wantStopped(n, job, renewNow)
}

func TestACancelDuringARenewalIsHeard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	renewNow := n.renewals.next()
	_, job := r.leased(n, &plan, store.JobChunk)
	n.Queue = &lateRenew{n.queue, func() {
		if _, err := r.db.Queue().Cancel(t.Context(), job.TaskID); err != nil {
			t.Error(err)
		}
		n.renewals.fire()
	}}
	n.renewals.fire() // another task's cancel
	r.wantStopped(n, job, renewNow)
}

// silentRenew is a queue behind a connection on which nothing comes any more.
type silentRenew struct{ store.Queue }

func (silentRenew) Renew(ctx context.Context, _ string, _ uint64, _ time.Duration, _ float64) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestARenewalWithoutAnAnswerEndsWithItsLease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	renewNow := n.renewals.next()
	_, job := r.leased(n, &plan, store.JobChunk)
	n.Queue, n.LeaseTTL = silentRenew{n.queue}, 300*time.Millisecond
	r.wantStopped(n, job, renewNow)
}

// askedRenew tells how long a renewal may take, and that the lease is lost.
type askedRenew struct {
	store.Queue
	left chan time.Duration
}

func (q askedRenew) Renew(ctx context.Context, _ string, _ uint64, _ time.Duration, _ float64) error {
	deadline, _ := ctx.Deadline()
	q.left <- time.Until(deadline)
	return store.ErrLeaseLost
}

// A lease lasts from when it was asked for: the queue may have answered late.
func TestALeaseThatCameLateIsRenewedAtOnce(t *testing.T) {
	t.Parallel()
	n := newRig(t).node("b1")
	q := askedRenew{n.queue, make(chan time.Duration, 1)}
	n.Queue, n.LeaseTTL = q, 30*time.Second
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	n.heartbeat(ctx, &running{asked: time.Now().Add(-20 * time.Second)}, n.renewals.next(), stop)
	if left := <-q.left; left > 10*time.Second {
		t.Errorf("the renewal may take %v, and the lease has 10 s left", left)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, store.ErrLeaseLost) {
		t.Errorf("stopped by %v", cause)
	}
}

// wantStopped checks that a heartbeat notices that its lease is lost.
func (r *rig) wantStopped(n *node, job store.Job, renewNow <-chan struct{}) {
	r.Helper()
	ctx, stop := context.WithCancelCause(r.Context())
	defer stop(nil)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		n.heartbeat(ctx, &running{Job: job, asked: time.Now()}, renewNow, stop)
	}()
	r.await("the heartbeat to notice", ctx.Done())
	<-beating
	if cause := context.Cause(ctx); !errors.Is(cause, store.ErrLeaseLost) {
		r.Errorf("stopped by %v", cause)
	}
}

package transcode

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

// awayPlans cannot be reached while away is set.
type awayPlans struct {
	store.Plans
	away  *atomic.Bool
	marks atomic.Int64
}

func (p *awayPlans) MarkCells(ctx context.Context, videoID string, cells ...store.Cell) error {
	p.marks.Add(1)
	if p.away.Load() {
		return fmt.Errorf("mark: %w", store.ErrUnavailable)
	}
	return p.Plans.MarkCells(ctx, videoID, cells...)
}

// The store is away for a while in the middle of an encode: the encoders wait, no
// cell is made twice, and no failure is held against a job.
func TestTheStoreIsAwayInTheMiddle(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	var away atomic.Bool
	faulty := storetest.NewFaultyQueue(r.db.Queue())
	faulty.Break(func(storetest.Op) storetest.Fault {
		if away.Load() {
			return storetest.Fault{Err: store.ErrUnavailable}
		}
		return storetest.Fault{}
	})
	plans := &awayPlans{Plans: r.catalog.Plans, away: &away}
	n := r.node("b1", func(c *Config) {
		c.Queue, c.LeaseTTL = &fatalQueue{Queue: faulty, moved: r.moved}, time.Minute
		c.Catalog.Plans = plans
	}).run()
	task, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: "v1"})
	r.ok(err)
	r.until("the first cell to be marked", func() bool { return plans.marks.Load() > 0 })
	away.Store(true)
	before := plans.marks.Load()
	r.until("an encoder to wait for the store", func() bool { return plans.marks.Load() > before+2 })
	away.Store(false)
	done := r.untilTask(task.Id, store.TaskSucceeded)
	if done.Attempt != 1 || done.Failure != nil {
		t.Errorf("task ended as %+v", done)
	}
	r.wantObjects(&plan, "v1") // each cell was put once
}

// A job whose queue cannot be reached goes on for as long as its lease lasts, by
// this node's own clock, and not longer.
func TestALeaseEndsByTheOwnClock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	faulty := storetest.NewFaultyQueue(r.db.Queue())
	n := r.node("b1", func(c *Config) { c.Queue, c.LeaseTTL = faulty, time.Second })
	_, job := r.leased(n, &plan, store.JobChunk)
	var calls atomic.Int64
	faulty.Break(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpRenew && calls.Add(1) > 2 {
			return storetest.Fault{Err: store.ErrUnavailable}
		}
		return storetest.Fault{}
	})
	begun := time.Now()
	r.wantStopped(n, job, n.renewals.next())
	if took := time.Since(begun); took < 1600*time.Millisecond || calls.Load() < 5 { // two renewals, a third of a second each, and then a second
		t.Errorf("given up after %v and %d renewals", took, calls.Load())
	}
}

func TestPatience(t *testing.T) {
	other := errors.New("other")
	for _, c := range []struct {
		name string
		errs []error // of the calls, the last one for all others
		want error
	}{
		{"well", []error{nil}, nil},
		{"back", []error{store.ErrUnavailable, fmt.Errorf("x: %w", store.ErrUnavailable), nil}, nil},
		{"another error", []error{store.ErrUnavailable, other}, other},
	} {
		calls := 0
		err := patiently(t.Context(), func() error { calls++; return c.errs[calls-1] })
		if !errors.Is(err, c.want) || calls != len(c.errs) {
			t.Errorf("%s: %v after %d calls", c.name, err, calls)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := patiently(ctx, func() error { return store.ErrUnavailable }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

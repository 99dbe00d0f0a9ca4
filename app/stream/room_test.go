package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const pollEvery = 250 * time.Millisecond

// thing is what the tests wait for.
type thing struct {
	there   atomic.Bool
	looks   atomic.Int32
	demands atomic.Int32
	refuse  error
}

func (th *thing) errand() errand {
	return errand{
		look:   func(context.Context) (bool, error) { th.looks.Add(1); return th.there.Load(), nil },
		demand: func(context.Context) error { th.demands.Add(1); return th.refuse },
	}
}

// hold is the context of a held request.
func hold(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A hint ends the wait at once; without one, the poll does.
func TestWaitEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hint  bool
		after time.Duration
	}{{"by a hint", true, 100 * time.Millisecond}, {"by looking", false, pollEvery}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rm, th := newRoom(10, pollEvery), &thing{}
				start := time.Now()
				time.AfterFunc(100*time.Millisecond, func() {
					th.there.Store(true)
					if tt.hint {
						rm.nudge("k")
					}
				})
				if err := rm.wait(hold(t), "k", th.errand()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				rm.close()
			})
		})
	}
}

// Many that wait for one thing share one demand, which is repeated; all are
// let go together.
func TestWaitIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rm, th := newRoom(100, pollEvery), &thing{}
		errs := make(chan error, 50)
		for range 50 {
			go func() { errs <- rm.wait(hold(t), "k", th.errand()) }()
		}
		synctest.Wait()
		if n := th.demands.Load(); n != 1 {
			t.Errorf("%d demands, want 1", n)
		}
		if n := rm.count(); n != 50 {
			t.Errorf("%d wait, want 50", n)
		}
		time.Sleep(7 * time.Second) // the bubble's clock
		if n := th.demands.Load(); n != 3 {
			t.Errorf("%d demands after 7 s, want 3", n)
		}
		th.there.Store(true)
		for range 50 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if len(rm.waits) != 0 || !rm.empty() {
			t.Errorf("left behind: %d waits, %d waiting", len(rm.waits), rm.count())
		}
		rm.close()
	})
}

// The hold's end lets a guest go; the last one to go ends the looking.
func TestWaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rm, th := newRoom(10, pollEvery), &thing{}
		start := time.Now()
		err := rm.wait(hold(t), "k", th.errand())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 9*time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
		looks := th.looks.Load()
		time.Sleep(time.Minute) // the bubble's clock
		if th.looks.Load() != looks || len(rm.waits) != 0 {
			t.Error("it goes on looking for nobody")
		}
		rm.close()
	})
}

// A guest that leaves does not end the wait of the others.
func TestWaitOutlivesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rm, th := newRoom(10, pollEvery), &thing{}
		first, leave := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		go func() { errs <- rm.wait(first, "k", th.errand()) }()
		synctest.Wait()
		go func() { errs <- rm.wait(hold(t), "k", th.errand()) }()
		synctest.Wait()
		leave()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		th.there.Store(true)
		rm.nudge("k")
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		rm.close()
	})
}

func TestWaitRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rm, th := newRoom(1, pollEvery), &thing{}
		never := errors.New("it will never come")
		if err := rm.wait(t.Context(), "refused", (&thing{refuse: never}).errand()); !errors.Is(err, never) {
			t.Errorf("refused demand: %v", err)
		}
		held := make(chan error, 1)
		go func() { held <- rm.wait(t.Context(), "k", th.errand()) }()
		synctest.Wait()
		if err := rm.wait(t.Context(), "k", th.errand()); !errors.Is(err, errCrowded) {
			t.Errorf("full room: %v", err)
		}
		rm.close()
		if err := <-held; !errors.Is(err, errClosed) {
			t.Errorf("closed while waiting: %v", err)
		}
		if err := rm.wait(t.Context(), "k", th.errand()); !errors.Is(err, errClosed) {
			t.Errorf("closed before: %v", err)
		}
	})
}

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

// fakeAwaited is what the tests wait for.
type fakeAwaited struct {
	there   atomic.Bool
	looks   atomic.Int32
	demands atomic.Int32
	refuse  error
}

func (f *fakeAwaited) awaited() awaited {
	return awaited{
		look:   func(context.Context) (bool, error) { f.looks.Add(1); return f.there.Load(), nil },
		demand: func(context.Context) error { f.demands.Add(1); return f.refuse },
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
				ws, f := newWaiters(10, pollEvery), &fakeAwaited{}
				start := time.Now()
				time.AfterFunc(100*time.Millisecond, func() {
					f.there.Store(true)
					if tt.hint {
						ws.hint("k")
					}
				})
				if err := ws.wait(hold(t), "k", f.awaited()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				ws.close()
			})
		})
	}
}

// Many that wait for one key share one demand, which is repeated; all are
// let go together.
func TestWaitIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws, f := newWaiters(100, pollEvery), &fakeAwaited{}
		errs := make(chan error, 50)
		for range 50 {
			go func() { errs <- ws.wait(hold(t), "k", f.awaited()) }()
		}
		synctest.Wait()
		if n := f.demands.Load(); n != 1 {
			t.Errorf("%d demands, want 1", n)
		}
		if n := ws.count(); n != 50 {
			t.Errorf("%d wait, want 50", n)
		}
		time.Sleep(7 * time.Second) // the bubble's clock
		if n := f.demands.Load(); n != 3 {
			t.Errorf("%d demands after 7 s, want 3", n)
		}
		f.there.Store(true)
		for range 50 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if len(ws.waits) != 0 || !ws.empty() {
			t.Errorf("left behind: %d waits, %d waiting", len(ws.waits), ws.count())
		}
		ws.close()
	})
}

// The hold's end lets a request go; the last one to go ends the looking.
func TestWaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws, f := newWaiters(10, pollEvery), &fakeAwaited{}
		start := time.Now()
		err := ws.wait(hold(t), "k", f.awaited())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 9*time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
		looks := f.looks.Load()
		time.Sleep(time.Minute) // the bubble's clock
		if f.looks.Load() != looks || len(ws.waits) != 0 {
			t.Error("it goes on looking for nobody")
		}
		ws.close()
	})
}

// A request that leaves does not end the wait of the others.
func TestWaitOutlivesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws, f := newWaiters(10, pollEvery), &fakeAwaited{}
		first, leave := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		go func() { errs <- ws.wait(first, "k", f.awaited()) }()
		synctest.Wait()
		go func() { errs <- ws.wait(hold(t), "k", f.awaited()) }()
		synctest.Wait()
		leave()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		f.there.Store(true)
		ws.hint("k")
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		ws.close()
	})
}

func TestWaitRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws, f := newWaiters(1, pollEvery), &fakeAwaited{}
		never := errors.New("it will never come")
		if err := ws.wait(t.Context(), "refused", (&fakeAwaited{refuse: never}).awaited()); !errors.Is(err, never) {
			t.Errorf("refused demand: %v", err)
		}
		held := make(chan error, 1)
		go func() { held <- ws.wait(t.Context(), "k", f.awaited()) }()
		synctest.Wait()
		if err := ws.wait(t.Context(), "k", f.awaited()); !errors.Is(err, errTooMany) {
			t.Errorf("one too many: %v", err)
		}
		ws.close()
		if err := <-held; !errors.Is(err, errClosed) {
			t.Errorf("closed while waiting: %v", err)
		}
		if err := ws.wait(t.Context(), "k", f.awaited()); !errors.Is(err, errClosed) {
			t.Errorf("closed before: %v", err)
		}
	})
}

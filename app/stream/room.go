package stream

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	demandEvery = 3 * time.Second // a demand is repeated, should it be lost
	demandLimit = 2 * time.Second // of one demand, so that looking goes on
)

// The ways in which a wait ends without what was waited for.
var (
	errCrowded = errors.New("too many requests wait")
	errClosed  = errors.New("shutting down")
)

// room is where requests wait for what is being made. All that wait for the
// same thing share one wait.
type room struct {
	max    int
	poll   time.Duration
	ctx    context.Context // ends with the room
	leave  context.CancelFunc
	runner sync.WaitGroup

	mu      sync.Mutex
	waits   map[string]*wait
	waiting int
}

func newRoom(size int, poll time.Duration) *room {
	rm := &room{max: size, poll: poll, waits: map[string]*wait{}}
	rm.ctx, rm.leave = context.WithCancel(context.Background())
	return rm
}

// errand is what a wait does.
type errand struct {
	// look tells whether the thing is there; its error ends the wait.
	look func(ctx context.Context) (bool, error)
	// demand asks for it; its error ends the wait. It may be nil.
	demand func(ctx context.Context) error
}

// wait holds the caller until the thing called key is there (nil), its errand
// fails, ctx ends, or the room is full (errCrowded) or closed (errClosed).
func (rm *room) wait(ctx context.Context, key string, e errand) error {
	w, err := rm.enter(key, e)
	if err != nil {
		return err
	}
	defer rm.exit(key, w)
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nudge makes the wait for key look at once, if there is one.
func (rm *room) nudge(key string) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	if w := rm.waits[key]; w != nil {
		select {
		case w.hint <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// empty tells whether nobody waits.
func (rm *room) empty() bool { return rm.count() == 0 }

func (rm *room) count() int {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return rm.waiting
}

// close ends all waits, and those to come.
func (rm *room) close() {
	rm.mu.Lock() // so that no runner starts while the last ones are awaited
	rm.leave()
	rm.mu.Unlock()
	rm.runner.Wait()
}

func (rm *room) enter(key string, e errand) (*wait, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	if rm.ctx.Err() != nil {
		return nil, errClosed
	}
	if rm.waiting >= rm.max {
		return nil, errCrowded
	}
	w := rm.waits[key]
	if w == nil {
		w = &wait{errand: e, hint: make(chan struct{}, 1), done: make(chan struct{})}
		ctx, cancel := context.WithCancel(rm.ctx)
		w.cancel = cancel
		rm.waits[key] = w
		rm.runner.Go(func() {
			err := w.run(ctx, rm.poll)
			rm.end(key, w, err)
		})
	}
	w.guests++
	rm.waiting++
	return w, nil
}

// exit takes a guest out; the last one ends the wait.
func (rm *room) exit(key string, w *wait) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	rm.waiting--
	w.guests--
	if w.guests == 0 {
		w.cancel()
		rm.remove(key, w)
	}
}

// end tells the guests the outcome. The wait is removed first, so that
// nobody enters one that is over.
func (rm *room) end(key string, w *wait, err error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	if rm.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errClosed
	}
	w.err = err
	rm.remove(key, w)
	close(w.done)
}

func (rm *room) remove(key string, w *wait) {
	if rm.waits[key] == w {
		delete(rm.waits, key)
	}
}

// wait is one thing that requests wait for.
type wait struct {
	errand
	hint   chan struct{}
	done   chan struct{} // closed at the end; err is set before
	err    error
	cancel context.CancelFunc
	guests int // guarded by the room
}

// run demands and looks until the thing is there. It demands before it first
// looks: what comes in between sends a hint, or is seen by that look.
func (w *wait) run(ctx context.Context, every time.Duration) error {
	poll, again := time.NewTicker(every), time.NewTicker(demandEvery)
	defer poll.Stop()
	defer again.Stop()
	if err := w.ask(ctx); err != nil {
		return err
	}
	for {
		there, err := w.look(ctx)
		if there || err != nil {
			return err
		}
		select {
		case <-w.hint:
		case <-poll.C:
		case <-again.C:
			if err := w.ask(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *wait) ask(ctx context.Context) error {
	if w.demand == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, demandLimit)
	defer cancel()
	return w.demand(ctx)
}

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
	errTooMany = errors.New("too many requests wait")
	errClosed  = errors.New("shutting down")
)

// waiters holds the requests that wait for what is being made. All that wait
// for the same object share one wait.
type waiters struct {
	max    int
	poll   time.Duration
	ctx    context.Context // done after close
	stop   context.CancelFunc
	runner sync.WaitGroup

	mu      sync.Mutex
	waits   map[string]*wait
	waiting int
}

func newWaiters(size int, poll time.Duration) *waiters {
	ws := &waiters{max: size, poll: poll, waits: map[string]*wait{}}
	ws.ctx, ws.stop = context.WithCancel(context.Background())
	return ws
}

// awaited is what a request waits for.
type awaited struct {
	// look tells whether it is there; its error ends the wait.
	look func(ctx context.Context) (bool, error)
	// demand asks for it; its error ends the wait. It may be nil.
	demand func(ctx context.Context) error
}

// wait holds the caller until what is called key is there (nil), look or demand
// fails, ctx ends, too many wait already (errTooMany) or close is called
// (errClosed).
func (ws *waiters) wait(ctx context.Context, key string, a awaited) error {
	w, err := ws.join(key, a)
	if err != nil {
		return err
	}
	defer ws.leave(key, w)
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hint makes the wait for key look at once, if there is one.
func (ws *waiters) hint(key string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.waits[key]; w != nil {
		select {
		case w.hint <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// empty tells whether nobody waits.
func (ws *waiters) empty() bool { return ws.count() == 0 }

func (ws *waiters) count() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.waiting
}

// close ends all waits, and those to come.
func (ws *waiters) close() {
	ws.mu.Lock() // so that no runner starts while the last ones are awaited
	ws.stop()
	ws.mu.Unlock()
	ws.runner.Wait()
}

func (ws *waiters) join(key string, a awaited) (*wait, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.ctx.Err() != nil {
		return nil, errClosed
	}
	if ws.waiting >= ws.max {
		return nil, errTooMany
	}
	w := ws.waits[key]
	if w == nil {
		w = &wait{awaited: a, hint: make(chan struct{}, 1), done: make(chan struct{})}
		ctx, cancel := context.WithCancel(ws.ctx)
		w.cancel = cancel
		ws.waits[key] = w
		ws.runner.Go(func() {
			err := w.run(ctx, ws.poll)
			ws.end(key, w, err)
		})
	}
	w.requests++
	ws.waiting++
	return w, nil
}

// leave takes a request out; the last one ends the wait.
func (ws *waiters) leave(key string, w *wait) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.waiting--
	w.requests--
	if w.requests == 0 {
		w.cancel()
		ws.remove(key, w)
	}
}

// end tells the requests the outcome. The wait is removed first, so that
// nobody joins one that is over.
func (ws *waiters) end(key string, w *wait, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errClosed
	}
	w.err = err
	ws.remove(key, w)
	close(w.done)
}

func (ws *waiters) remove(key string, w *wait) {
	if ws.waits[key] == w {
		delete(ws.waits, key)
	}
}

// wait is what all requests for one key share.
type wait struct {
	awaited
	hint     chan struct{}
	done     chan struct{} // closed at the end; err is set before
	err      error
	cancel   context.CancelFunc
	requests int // guarded by waiters.mu
}

// run demands and looks until it is there. It demands before it first
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

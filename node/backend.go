package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"streamgate/store"
)

const (
	// askEvery is how often a server is asked whether it is there.
	askEvery = 2 * time.Second
	// askLimit bounds one such question.
	askLimit = 2 * time.Second
	// always is longer than any server stays away.
	always = time.Duration(math.MaxInt64)
)

// backend is a server that the node depends on. It is asked all the time, so that
// /readyz answers at once, and the log says once when it goes and when it is back.
type backend struct {
	check   string // of /readyz
	name    string // for people
	key     string // of the configuration
	without string // what the node does while it is away
	ready   time.Duration
	ask     func(context.Context) error

	mu    sync.Mutex
	fault error
	since time.Time // of the fault
}

// watch asks a server until the part that is being started stops.
func (k *Kernel) watch(b *backend) {
	k.Check(b.check, func(context.Context) error { return b.state(time.Now()) })
	k.Go("watch "+b.name, func(ctx context.Context) error {
		tick := time.NewTicker(askEvery)
		defer tick.Stop()
		for {
			b.look(ctx, k)
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

func (b *backend) look(ctx context.Context, k *Kernel) {
	asking, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	err := b.ask(asking)
	if ctx.Err() != nil || k.Draining().Err() != nil {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: no answer within %v", store.ErrUnavailable, askLimit)
	}
	lasted, before := b.note(err, time.Now())
	switch {
	case err != nil && before == nil:
		k.Log.Error(b.name+" does not serve the node", "key", b.key, "err", oneLine(err), "until_then", b.without)
	case err == nil && before != nil:
		k.Log.Info(b.name+" serves the node again", "after", lasted.Round(time.Millisecond))
	}
}

// note takes an answer down, and tells what was before and for how long.
func (b *backend) note(err error, now time.Time) (lasted time.Duration, before error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lasted, before = now.Sub(b.since), b.fault
	if b.fault = err; err != nil && before == nil {
		b.since = now
	}
	return lasted, before
}

// state is what /readyz says of the server. While it is away for no longer than
// ready the node still does most of its work.
func (b *backend) state(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !errors.Is(b.fault, store.ErrUnavailable) {
		return b.fault
	}
	lasted := now.Sub(b.since)
	err := fmt.Errorf("%s has not been reached for %v: %s", b.name, max(time.Second, lasted.Round(time.Second)), b.without)
	if lasted < b.ready {
		err = degraded{err}
	}
	return err
}

// degraded is a fault with which the node counts as ready all the same.
type degraded struct{ error }

// Unwrap returns the fault.
func (d degraded) Unwrap() error { return d.error }

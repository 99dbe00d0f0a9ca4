package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// perSecond is how often call succeeds on that many goroutines for the time.
// It ends early at the first error, which it returns.
func perSecond(ctx context.Context, goroutines int, d time.Duration, call func(context.Context) error) (float64, error) {
	var (
		done  atomic.Int64
		first error
		once  sync.Once
		group sync.WaitGroup
		stop  atomic.Bool
	)
	began := time.Now()
	for range goroutines {
		group.Go(func() {
			for !stop.Load() && time.Since(began) < d {
				if err := call(ctx); err != nil {
					once.Do(func() { first = err })
					stop.Store(true)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), first
}

// meter is the rate of what happens elsewhere: from the first event to the
// last that is wanted, or until the time is over.
type meter struct {
	most int64 // events that are wanted
	n    atomic.Int64
	from atomic.Int64 // Unix nanoseconds of the first
	to   atomic.Int64
	full chan struct{}
}

func newMeter(most int) *meter { return &meter{most: int64(most), full: make(chan struct{})} }

func (m *meter) event() {
	now := time.Now().UnixNano()
	switch m.n.Add(1) {
	case 1:
		m.from.Store(now)
	case m.most:
		m.to.Store(now)
		close(m.full)
	}
}

// rate waits for the events or the time, which begins with the first event,
// and returns how many came per second.
func (m *meter) rate(ctx context.Context, d time.Duration) (float64, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-m.full:
			return float64(m.most-1) / time.Duration(m.to.Load()-m.from.Load()).Seconds(), nil
		case <-tick.C:
		}
		n, from := m.n.Load(), m.from.Load()
		if from == 0 {
			if time.Since(began) > startLimit {
				return 0, errNothing
			}
			continue
		}
		if took := time.Duration(time.Now().UnixNano() - from); took >= d {
			return float64(n-1) / took.Seconds(), nil
		}
	}
}

package evm

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// minRate is the least that a budget learns, in calls per second: enough to
	// look at a chain every second.
	minRate = 5
	// maxLearnedRate is the rate from which a learned limit is lifted where none
	// is configured.
	maxLearnedRate = 500
	// maxPace is for how long a learned rate keeps a request at most: it is a
	// guess, and must not keep viewers out.
	maxPace = 500 * time.Millisecond
	// raiseEvery is after what time without a refusal a learned rate rises.
	raiseEvery = 10 * time.Second
)

// budget is how many calls may be sent to an endpoint. An endpoint that
// refuses for their number (HTTP 429) lowers it; it rises again slowly.
type budget struct {
	perSecond float64    // of all nodes together; 0: no limit
	nodes     func() int // that share it; nil: this one

	most    *rate.Limiter // as configured
	learned *rate.Limiter // never keeps a call for longer than maxPace

	mu      sync.Mutex
	paused  time.Time // nothing is sent before
	second  time.Time // when sent began to be counted
	sent    int       // calls
	changed time.Time // when the limit was changed last
}

func newBudget(perSecond float64) *budget {
	most := rate.Inf
	if perSecond > 0 {
		most = rate.Limit(perSecond)
	}
	burst := max(int(perSecond), maxBatch+1)
	return &budget{perSecond: perSecond, most: rate.NewLimiter(most, burst), learned: rate.NewLimiter(most, burst)}
}

// wait returns when n calls may be sent, or with an error if that is not
// before ctx ends.
func (b *budget) wait(ctx context.Context, n int) error {
	now := time.Now()
	b.divide(now)
	b.mu.Lock()
	pause := b.paused.Sub(now)
	b.mu.Unlock()
	turn := b.learned.ReserveN(now, n)
	if turn.DelayFrom(now) > maxPace {
		turn.CancelAt(now)
		pause = max(pause, maxPace)
	} else {
		pause = max(pause, turn.DelayFrom(now))
	}
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := b.most.WaitN(ctx, n); err != nil {
		return err
	}
	b.count(time.Now(), n)
	return nil
}

// divide leaves each node its part of what is configured.
func (b *budget) divide(now time.Time) {
	if b.nodes == nil || b.perSecond <= 0 {
		return
	}
	part := rate.Limit(b.perSecond / float64(max(1, b.nodes())))
	b.mu.Lock()
	defer b.mu.Unlock()
	had, learned := b.most.Limit(), b.learned.Limit()
	if had == part {
		return
	}
	if learned >= had { // it was never lowered, or has risen again
		learned = part
	}
	b.most.SetLimitAt(now, part)
	b.learned.SetLimitAt(now, min(learned, part))
}

func (b *budget) count(now time.Time, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.second) >= time.Second {
		b.second, b.sent = now, 0
	}
	b.sent += n
}

// refused pauses, and lowers the rate to half of what was sent in the last
// second; several refusals in a second are one.
func (b *budget) refused(now time.Time, pause time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := now.Add(pause); until.After(b.paused) {
		b.paused = until
	}
	if now.Sub(b.changed) < time.Second {
		return
	}
	half := min(b.learned.Limit(), rate.Limit(max(b.sent, 1))) / 2
	b.learned.SetLimitAt(now, min(max(half, minRate), b.most.Limit()))
	b.changed = now
}

// answered raises a rate that was lowered, if it was not refused for a while.
func (b *budget) answered(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit, most := b.learned.Limit(), b.most.Limit()
	if limit >= most || now.Sub(b.changed) < raiseEvery {
		return
	}
	if limit *= 1.25; limit >= min(most, maxLearnedRate) {
		limit = most
	}
	b.learned.SetLimitAt(now, limit)
	b.changed = now
}

// lowered says whether the endpoint ever refused for the number of calls.
func (b *budget) lowered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.changed.IsZero()
}

package cluster

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the pauses between tries that fail.
type backoff struct{ last, most time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(firstRetry, 2*b.last), max(firstRetry, b.most))
	return jittered(b.last)
}

func (b *backoff) reset() { b.last = 0 }

// jittered is up to a quarter more or less, so that nodes which failed at the same
// time do not come back at the same time.
func jittered(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1))
}

// sleep waits; false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

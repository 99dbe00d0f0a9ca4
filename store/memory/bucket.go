package memory

import (
	"math"
	"time"

	"streamgate/store"
)

// bucket is a token bucket as of the moment it was last filled.
type bucket struct {
	tokens float64
	filled time.Time
}

// almost is a whole token, but for what adding up fractions may have lost.
const almost = 1 - 1e-9

// spend refills the bucket and takes a token if there is a whole one.
func (b bucket) spend(now time.Time, rate, burst float64) (bucket, store.Allowance) {
	elapsed := max(0, now.Sub(b.filled).Seconds())
	tokens := min(burst, b.tokens+elapsed*rate)
	ok := tokens >= almost
	if ok {
		tokens = max(0, tokens-1)
	}
	left := math.Floor(tokens + 1 - almost)
	// Rounded up, so that whoever waits that long finds it.
	next := time.Duration(min(math.Ceil((left+1-tokens)/rate*1e9), math.MaxInt64/2))
	return bucket{tokens, now}, store.Allowance{OK: ok, Left: int(left), Next: next}
}

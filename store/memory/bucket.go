package memory

import (
	"math"
	"time"
)

// bucket is a token bucket as of the moment it was last filled.
type bucket struct {
	tokens float64
	filled time.Time
}

// almost is a whole token, but for what adding up fractions may have lost.
const almost = 1 - 1e-9

// spend refills the bucket and takes a token if there is a whole one; else it
// tells how long until there is.
func (b bucket) spend(now time.Time, rate, burst float64) (after bucket, ok bool, wait time.Duration) {
	elapsed := max(0, now.Sub(b.filled).Seconds())
	tokens := min(burst, b.tokens+elapsed*rate)
	if tokens >= almost {
		return bucket{max(0, tokens-1), now}, true, 0
	}
	// Rounded up, so that whoever waits that long is let through.
	wait = time.Duration(min(math.Ceil((1-tokens)/rate*1e9), math.MaxInt64/2))
	return bucket{tokens, now}, false, wait
}

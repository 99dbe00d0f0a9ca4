package store

import (
	"context"
	"time"
)

// Cache keeps small values for a while. It may forget at any time: what must
// not be lost is in the Catalog.
type Cache interface {
	// Get returns a value; ErrNotFound when absent or expired.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores a value for ttl (> 0).
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Take returns a value and removes it in one step: of many concurrent
	// calls exactly one gets it; ErrNotFound for the others.
	Take(ctx context.Context, key string) ([]byte, error)
	// Allow spends one token of the bucket at key, which refills at rate
	// tokens a second up to burst, and tells what is left.
	Allow(ctx context.Context, key string, rate float64, burst int) (Allowance, error)
	// Enter makes member one of a set for ttl (> 0) from now on, and tells
	// whether it did: it does not if the set has most members, none of which it
	// is. Less than 1 is no limit.
	Enter(ctx context.Context, set, member string, most int, ttl time.Duration) (bool, error)
	// Leave takes member out of a set, if it is there.
	Leave(ctx context.Context, set, member string) error
}

// Allowance is what Cache.Allow answers.
type Allowance struct {
	OK   bool          // there was a token, and it is spent
	Left int           // whole tokens that are left; 0 if there was none
	Next time.Duration // until there is one more than Left, more than 0
}

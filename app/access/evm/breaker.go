package evm

import (
	"sync"
	"time"
)

const (
	// breakerThreshold is how many failures in a row open a breaker.
	breakerThreshold = 3
	// maxCooldown bounds for how long an endpoint is left alone.
	maxCooldown = time.Minute
)

// breaker keeps requests from an endpoint that fails. After a cooldown one
// request is let through (half open): its success closes the breaker, its
// failure opens it for twice as long.
type breaker struct {
	base time.Duration // the first cooldown

	mu       sync.Mutex
	failures int // in a row
	opened   int // times in a row
	until    time.Time
	trying   bool // the request of the half-open breaker is on its way
}

// closed says whether requests go out freely: one that is not needed does not
// take the place of the one that tries.
func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened == 0
}

// allow says whether a request may go out now. Whoever is allowed must call
// succeed, fail or abandon.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened == 0 {
		return true
	}
	if b.trying || now.Before(b.until) {
		return false
	}
	b.trying = true
	return true
}

// succeed closes the breaker and says whether it was open.
func (b *breaker) succeed() (was bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was = b.opened > 0
	b.failures, b.opened, b.trying = 0, 0, false
	return was
}

// abandon takes a request back that says nothing about the endpoint.
func (b *breaker) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}

// fail counts a failure and says whether it opened a closed breaker. With a
// wait it opens at once, for at least that long.
func (b *breaker) fail(now time.Time, wait time.Duration) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasTrying := b.trying
	b.trying = false
	b.failures++
	if b.failures < breakerThreshold && wait == 0 && !wasTrying {
		return false
	}
	if b.opened > 0 && !wasTrying {
		return false // a request that went out before it opened
	}
	b.opened++
	cooldown := b.base << min(b.opened-1, 16)
	b.until = now.Add(min(max(cooldown, wait), maxCooldown))
	return b.opened == 1
}

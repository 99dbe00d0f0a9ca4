package transcode

import (
	"sync"
	"time"
)

// progressInterval is how often a running task's progress is written.
const progressInterval = 500 * time.Millisecond

// pace lets something happen at most once per interval and key.
type pace struct {
	interval time.Duration
	mu       sync.Mutex
	last     map[string]time.Time
}

func newPace(interval time.Duration) *pace {
	return &pace{interval: interval, last: map[string]time.Time{}}
}

// due tells whether the interval since the key's last due call has passed.
func (p *pace) due(key string) bool {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last[key]) < p.interval {
		return false
	}
	for k, at := range p.last { // few keys: one or two per running task
		if now.Sub(at) >= p.interval {
			delete(p.last, k)
		}
	}
	p.last[key] = now
	return true
}

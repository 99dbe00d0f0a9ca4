package webhooks

import (
	"context"
	"sync"
	"time"
)

// sendUntil sends what is due until ctx ends, and then waits for the attempts
// under way, which end with it.
func (s *Service) sendUntil(ctx context.Context) {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		x, wait := s.schedule.take(s.now(), maxInFlight)
		if x != nil {
			attempts.Go(func() { s.attempt(ctx, x) })
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-s.schedule.wake:
		case <-timer.C:
		}
	}
}

package access

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// How many passwords and codes may be tried: by one client for a video, and
// by all clients together, who might be one with many addresses.
const (
	clientAttempts       = 10 // at once, then
	clientAttemptsPerMin = 6
	videoAttempts        = 200
	videoAttemptsPerMin  = 120
)

// attempt spends one try at a video's passwords and codes:
// too_many_attempts. If the cache cannot be asked there is none.
func (s *Service) attempt(ctx context.Context, videoID string) error {
	for _, limit := range []struct {
		key          string
		perMin, most int
	}{
		{"attempt/" + videoID + "/" + rpc.Caller(ctx).Client, clientAttemptsPerMin, clientAttempts},
		{"attempt/" + videoID, videoAttemptsPerMin, videoAttempts},
	} {
		ok, wait, err := s.Cache.Allow(ctx, limit.key, float64(limit.perMin)/60, limit.most)
		if err != nil {
			return fmt.Errorf("count the attempts: %w", err)
		}
		if !ok {
			return rpc.Errorf(connect.CodeResourceExhausted, "too_many_attempts",
				"Too many tries; wait %s and try again.", wait.Round(time.Second)+time.Second)
		}
	}
	return nil
}

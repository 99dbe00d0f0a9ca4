package webhooks

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	// failingFor is how long every attempt must have failed for a webhook to be
	// disabled, and failingGap the longest time between two of them: the last
	// pause and its jitter fit in.
	failingFor = 3 * 24 * time.Hour
	failingGap = 36 * time.Hour
	// maxRetryAfter is the longest pause that an endpoint can ask for.
	maxRetryAfter = 12 * time.Hour
)

// defaultRetries are the pauses of about a day.
func defaultRetries() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	}
}

// pause is how long to wait after an attempt has failed, the first being 1;
// more is false after the last. Jitter of a fifth keeps what failed together
// from coming back together.
func (s *Service) pause(attempt int, out outcome) (d time.Duration, more bool) {
	if attempt > len(s.Retries) {
		return 0, false
	}
	base := s.Retries[attempt-1]
	jittered := time.Duration(float64(base) * (0.8 + 0.4*rand.Float64()))
	return max(jittered, out.retryAfter), true
}

// retryAfter is what an endpoint that is too busy asks for, in seconds.
func retryAfter(resp *http.Response) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

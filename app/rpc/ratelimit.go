package rpc

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"streamgate/store"
)

// The header fields that tell a client of its limits, as in
// draft-ietf-httpapi-ratelimit-headers-10.
const (
	rateLimitPolicy = "RateLimit-Policy" // "requests";q=100;w=1: so many at once, all of them again after so many seconds
	rateLimit       = "RateLimit"        // "requests";r=99;t=1: so many left now, one more after so many seconds
)

type limitsKey struct{}

// WithLimits returns a context whose limits are told in the header of the
// answer, which must not have been sent. Without it Limited does nothing.
func WithLimits(ctx context.Context, answer http.Header) context.Context {
	return context.WithValue(ctx, limitsKey{}, answer)
}

// Limited tells the caller of a limit that the request was counted against.
func Limited(ctx context.Context, policy string, rate float64, burst int, left store.Allowance) {
	h, ok := ctx.Value(limitsKey{}).(http.Header)
	if !ok {
		return
	}
	window := math.Ceil(min(float64(burst)/rate, math.MaxInt32))
	h.Add(rateLimitPolicy, fmt.Sprintf("%q;q=%d;w=%.0f", policy, burst, window))
	h.Add(rateLimit, fmt.Sprintf("%q;r=%d;t=%d", policy, left.Left, Seconds(left.Next)))
}

// Seconds rounds a wait up to whole seconds, at least one.
func Seconds(wait time.Duration) int {
	return max(1, int((wait+time.Second-1)/time.Second))
}

package gateway

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// limiter limits each client's requests to /api and to the same methods by
// their RPC paths.
type limiter struct {
	cache store.Cache
	limit atomic.Pointer[limit]
	log   *slog.Logger
}

// limit is how many requests a client may send.
type limit struct {
	rate  float64 // requests per second; 0 for no limit
	burst int
}

// allow spends one of the client's requests and tells the client how many are
// left; wait is how long until there is one more. If the cache fails the request
// passes: a limit must not take the service down.
func (l *limiter) allow(r *http.Request, who rpc.Identity, ip netip.Addr) (wait time.Duration, ok bool) {
	client, most := who.KeyID, l.limit.Load()
	switch {
	case most == nil || most.rate <= 0:
		return 0, true
	case client != "":
	case who.Scope != rpc.ScopeNone: // the admin socket
		return 0, true
	default:
		client = network(ip)
	}
	burst := max(1, most.burst)
	left, err := l.cache.Allow(r.Context(), "rate/"+client, most.rate, burst)
	if err != nil {
		l.log.WarnContext(r.Context(), "rate limit not checked", "err", err)
		return 0, true
	}
	rpc.Limited(r.Context(), "requests", most.rate, burst, left)
	return left.Next, left.OK
}

// network is what one anonymous client has to itself: an IPv4 address, or an
// IPv6 /64.
func network(ip netip.Addr) string {
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr().String()
		}
	}
	return ip.String()
}

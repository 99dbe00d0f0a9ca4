package gateway

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// requestIDHeader names the request in every answer, as its problem and the
// node's log do.
const requestIDHeader = "X-Request-Id"

// edge is what every request passes first: trace id, base URL, other origins,
// who calls, rate limit.
type edge struct {
	auth      Authenticator
	publicURL string
	ownLinks  bool // without publicURL, links lead to where the caller reached us
	trusted   []netip.Prefix
	open      []string // procedures that need no key
	limit     limiter
	origins   []string // whose pages may call us
	routes    routes
	// ownOptions are the handlers that answer OPTIONS themselves, by pattern.
	ownOptions map[string]http.Handler
	sameSite   *http.CrossOriginProtection
	log        *slog.Logger
}

func (e *edge) wrap(next http.Handler) http.Handler {
	return e.begin(crossOrigin(e.origins, e.options(e.admit(next))))
}

// begin gives a request its trace id and its base URL.
func (e *edge) begin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := rpc.WithTrace(r.Context(), traceID(r), e.log)
		ctx = rpc.ContinueTrace(ctx, r.Header.Get("Traceparent"))
		if rpc.BaseURL(ctx) == "" {
			ctx = rpc.WithBaseURL(ctx, e.baseURL(r))
		}
		w.Header().Set(requestIDHeader, rpc.TraceID(ctx))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// admit says who calls, and within which limit.
func (e *edge) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := e.identify(r)
		if ip := e.clientIP(r); ip.IsValid() { // else it came over the admin socket
			who.Client = network(ip)
		}
		r = r.WithContext(rpc.WithLimits(r.Context(), w.Header()))
		if wait, ok := e.limit.allow(r, who, e.clientIP(r)); !ok {
			tooMany(w, r, wait)
			return
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(rpc.WithIdentity(r.Context(), who)))
	})
}

// identify returns who sends the request. A listener whose callers are known
// by other means (the admin socket) puts the identity into the context, which
// then stands.
func (e *edge) identify(r *http.Request) (rpc.Identity, error) {
	if who := rpc.Caller(r.Context()); who.Scope != rpc.ScopeNone {
		return who, nil
	}
	if r.Header.Get("Authorization") != "" {
		return e.authenticate(r)
	}
	if slices.Contains(e.open, r.URL.Path) {
		return rpc.Identity{Scope: rpc.ScopeRead}, nil
	}
	return e.browser(r)
}

func (e *edge) authenticate(r *http.Request) (rpc.Identity, error) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return rpc.Identity{}, rpc.Errorf(connect.CodeUnauthenticated, "unsupported_authorization",
			"Send the API key as \"Authorization: Bearer <key>\".")
	}
	return e.auth.Authenticate(r.Context(), strings.TrimSpace(bearer))
}

// stillValid tells whether the key of a long request is still accepted.
func (e *edge) stillValid(r *http.Request) bool {
	if r.Header.Get("Authorization") == "" { // let in by other means
		return true
	}
	_, err := e.authenticate(r)
	return err == nil
}

// traceID takes over the caller's trace (W3C traceparent), or begins one.
func traceID(r *http.Request) string {
	// version "-" 32 hex digits "-" …
	parts := strings.Split(r.Header.Get("Traceparent"), "-")
	if len(parts) < 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" ||
		strings.Trim(parts[1], "0") == "" {
		return rpc.NewTraceID()
	}
	return parts[1]
}

// baseURL is what links begin with; "" makes them paths.
func (e *edge) baseURL(r *http.Request) string {
	if e.publicURL != "" || !e.ownLinks {
		return strings.TrimRight(e.publicURL, "/")
	}
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if e.trusts(remoteIP(r)) {
		if p := firstWord(r.Header.Get("X-Forwarded-Proto")); p == "http" || p == "https" {
			scheme = p
		}
		if h := firstWord(r.Header.Get("X-Forwarded-Host")); h != "" {
			host = h
		}
	}
	if host == "" || strings.ContainsAny(host, "/\\@?# \"<>") {
		return ""
	}
	return scheme + "://" + host
}

// clientIP is the nearest address that is not a trusted proxy's.
func (e *edge) clientIP(r *http.Request) netip.Addr {
	ip := remoteIP(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && e.trusts(ip); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = hop.Unmap()
	}
	return ip
}

func (e *edge) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(e.trusted, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// remoteIP is the peer's address; invalid on a Unix socket.
func remoteIP(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap()
}

func firstWord(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

// refuse answers with an error in the caller's own protocol.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	rpcs := connect.NewErrorWriter()
	if strings.HasPrefix(r.URL.Path, "/api/") || !rpcs.IsSupported(r) {
		rpc.WriteProblem(w, r, err)
		return
	}
	rpcs.Write(w, r, rpc.Outward(r.Context(), err)) //nolint:errcheck // the client may have gone
}

// tooMany answers 429 with the seconds until the next request is allowed.
func tooMany(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	seconds := rpc.RetryAfter(w.Header(), wait)
	refuse(w, r, rpc.Errorf(connect.CodeResourceExhausted, "rate_limited",
		"Too many requests from this client; try again in %d s.", seconds))
}

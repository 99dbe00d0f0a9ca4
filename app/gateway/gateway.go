// Package gateway is the public edge: REST, gRPC and Connect over the same
// generated services.
//
// # What
//
//	/api/v1/…              REST, from the schema's google.api.http annotations
//	/api/v1/events         Server-Sent Events (events.go)
//	/streamgate.Library/…  Connect, gRPC and gRPC-Web, with reflection and health
//	/openapi.json          the description of all that (openapi.go)
//
// A request passes these, in this order:
//
//	trace id → base URL → other origins → OPTIONS → who calls → rate limit → (RPC | upload | events | REST)
//	REST: time-out → body limit → idempotency key → transcoding → problem
//
// # Usage
//
//	g, err := gateway.New(gateway.Config{Services: …, Auth: access, Cache: cache, …})
//	g.Mount(mux)
//	rpcs := gateway.NewRPC(gateway.RPCConfig{Services: …}) // for a listener of its own
//
// A server that speaks gRPC without TLS needs http.Protocols with
// UnencryptedHTTP2.
//
// # Guarantees
//
// Every error under /api is application/problem+json, unknown paths and
// methods included. Who may do what is decided by the services; the gateway
// only says who calls and, in the RateLimit header fields of
// draft-ietf-httpapi-ratelimit-headers-10, how much more they may: a caller without a key is anonymous, one with a wrong
// key is refused. Forwarded headers count only from trusted proxies. Every
// request has a trace id; an unexpected error is logged once, under it.
//
// # Testing
//
// Through the whole chain with httptest and fakes of the generated
// interfaces; a law checks that openapi.json has every annotation of the
// schema.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Authenticator says who sent a bearer key. A wrong key is a coded error.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (rpc.Identity, error)
}

// Config is the gateway's reference.
type Config struct {
	// Services are mounted by path and, where annotated, as REST.
	Services []Service
	// Mounts are further handlers under /api behind the same authentication
	// and rate limit, by ServeMux pattern (uploads). They have no time-out and
	// no body limit.
	Mounts map[string]http.Handler

	Auth  Authenticator
	Cache store.Cache // rate limits and idempotency keys
	Bus   *nats.Conn  // what /api/v1/events streams

	// PublicURL is the base of the links in answers, for example
	// https://video.example.org/tv. Empty: taken from each request.
	PublicURL string
	// TrustedProxies may set X-Forwarded-For, -Host and -Proto.
	TrustedProxies []netip.Prefix
	// AllowedOrigins are the other sites (https://app.example.org) whose pages
	// may call the API with a key; "*" for all.
	AllowedOrigins []string

	// RequestsPerSecond and Burst limit each client (its key, else its IP
	// address); 0 requests per second means no limit.
	RequestsPerSecond float64
	Burst             int
	// Timeout bounds a REST request; 0 means 30 s. Uploads, events and
	// streams are not bounded by it.
	Timeout time.Duration
	// MaxStreams bounds the open event streams; 0 means 256.
	MaxStreams int

	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.MaxStreams = cmp.Or(c.MaxStreams, 256)
	return c
}

// Gateway is the public edge's http.Handler.
type Gateway struct {
	handler http.Handler
	paths   []string
	events  *eventStreams
	edge    *edge
}

// New returns the gateway. An error means that the services or the mounts
// contradict each other.
func New(cfg Config) (*Gateway, error) {
	cfg = cfg.withDefaults()
	e := &edge{
		auth: cfg.Auth, publicURL: cfg.PublicURL, ownLinks: true, trusted: cfg.TrustedProxies, log: cfg.Log,
		sameSite: sameSite(cfg.PublicURL), origins: cfg.AllowedOrigins, ownOptions: cfg.Mounts,
		limit: limiter{cache: cfg.Cache, log: cfg.Log},
	}
	e.limit.limit.Store(&limit{cfg.RequestsPerSecond, cfg.Burst})
	mounts := mountServices(cfg.Services, cfg.Log)
	rest, err := newREST(mounts, cfg)
	if err != nil {
		return nil, fmt.Errorf("set up REST: %w", err)
	}
	g := &Gateway{paths: []string{"/api/", "/openapi.json"}, edge: e}
	if g.events, err = newEventStreams(cfg.Bus, cfg.Cache, cfg.MaxStreams, e.stillValid); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", rest)
	mux.Handle("/api/v1/events", g.events)
	mux.HandleFunc("/api/v1/events:ticket", g.events.tickets.create)
	mux.HandleFunc("/openapi.json", serveOpenAPI)
	for pattern, h := range cfg.Mounts {
		mux.Handle(pattern, h)
	}
	// Uploads are sent to their own handler; the list of them, and what is known of
	// one, is REST. HEAD is how tus asks.
	mux.Handle("GET /api/v1/uploads", rest)
	if tus := cfg.Mounts["/api/v1/uploads/"]; tus != nil {
		mux.Handle("HEAD /api/v1/uploads/{id}", tus)
		mux.Handle("GET /api/v1/uploads/{id}", rest)
	}
	e.routes.rest = rest.condition.routes.rest
	for _, m := range mounts {
		mux.Handle(m.path, m.handler)
		g.paths = append(g.paths, m.path)
		e.routes.mount = append(e.routes.mount, m.path)
	}
	g.handler = e.wrap(mux)
	return g, nil
}

// Mount registers the gateway's paths.
func (g *Gateway) Mount(mux *http.ServeMux) {
	for _, p := range g.paths {
		mux.Handle(p, g)
	}
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

// BaseURL is what absolute links in the answer to a request begin with, without
// a trailing slash; "" if the request does not tell.
func (g *Gateway) BaseURL(r *http.Request) string { return g.edge.baseURL(r) }

// SetLimit bounds each client's requests anew, as Config does.
func (g *Gateway) SetLimit(requestsPerSecond float64, burst int) {
	g.edge.limit.limit.Store(&limit{requestsPerSecond, burst})
}

// Close ends the event streams, which would otherwise hold up the server's
// Shutdown. Call it first.
func (g *Gateway) Close() { g.events.close() }

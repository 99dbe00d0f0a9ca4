package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/assets"
)

// Config is what the console needs.
type Config struct {
	Library    rpc.LibraryClient
	Transcoder rpc.TranscoderClient
	Access     rpc.AccessClient
	Monitor    rpc.MonitorClient
	Webhooks   rpc.WebhooksClient
	Alerts     rpc.AlertsClient

	// Deletions of videos can be undone for UndoFor.
	Deletions console.Deletions
	UndoFor   time.Duration

	People    *console.Service
	Audit     *console.Log
	Decisions *console.Decisions // about viewers
	Bus       *nats.Conn
	Assets    *assets.Set

	// Uploads serves tus at /api/v1/uploads, and PutSource takes a whole file
	// for the video in its path value "id".
	Uploads   http.Handler
	PutSource http.HandlerFunc
	// Still serves an image of a video whoever may watch it.
	Still func(w http.ResponseWriter, r *http.Request, videoID, name string)

	Profiles []string            // that a video may be made with
	Settings func() []Setting    // what is in force
	Chains   func() []ChainState // how the chains' endpoints are

	// PublicURL is the console's configured base URL, "" if it is what requests
	// say. SiteURL tells the one of the viewers' pages.
	PublicURL      string
	SiteURL        func(*http.Request) string
	TrustedProxies []netip.Prefix
	Log            *slog.Logger
}

// Setting is one key of the configuration and what is in force.
type Setting struct{ Key, Value, Default, Source string }

// ChainState is how one endpoint of a chain is.
type ChainState struct {
	Chain, Endpoint string
	Up              bool
	Requests        uint64
	MeanSeconds     float64 // of a request
	Errors          float64
}

// Console serves the pages.
type Console struct {
	Config
	origin    *http.CrossOriginProtection
	hints     *hints
	videoList memo[[]*rpc.Video]
	counts    memo[map[string]count]
	saving    sync.Mutex // of a form that replaces what it was filled with
	zips      sync.Pool  // of *gzip.Writer
}

// New returns the console. Close ends its event streams.
func New(cfg Config) (*Console, error) {
	c := &Console{Config: cfg, origin: sameSite(cfg.PublicURL)}
	var err error
	c.hints, err = newHints(cfg.Bus)
	c.videoList.keep, c.counts.keep = time.Second, time.Second
	return c, err
}

// Close ends the event streams, which would hold up the server's Shutdown.
func (c *Console) Close() { c.hints.close() }

// memo keeps the outcome of a reading for a moment, so that many open pages
// cost no more than one.
type memo[T any] struct {
	keep time.Duration
	mu   sync.Mutex
	read time.Time
	has  T
}

func (m *memo[T]) get(ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.read) < m.keep {
		return m.has, nil
	}
	has, err := read(rpc.System(context.WithoutCancel(ctx)))
	if err == nil {
		m.has, m.read = has, time.Now()
	}
	return has, err
}

// forget makes the next get read anew: who has changed something sees it.
func (m *memo[T]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read = time.Time{}
}

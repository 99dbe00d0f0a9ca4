package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"streamgate/app/access/eth"
	"streamgate/app/console"
	"streamgate/app/gateway"
	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/app/stream"
	"streamgate/node/cluster"
	"streamgate/store"
	"streamgate/store/s3"
)

// Plugin is one part of a node.
type Plugin interface {
	// Name is a short lower-case word for logs and errors.
	Name() string
	// Start makes the part ready before it returns. On error it leaves nothing
	// behind. It may use what parts before it in the table put on the Kernel.
	Start(ctx context.Context, k *Kernel) error
	// Stop drains the part; ctx is the deadline. It is called once, and only
	// after Start succeeded. Loops and servers that Start gave to the Kernel
	// are still running and end right after it.
	Stop(ctx context.Context) error
}

// Kernel is what the plugins of a node share. It is never passed below this
// package: services take the fields they need.
type Kernel struct {
	Config  *Config
	Log     *slog.Logger
	Metrics *prometheus.Registry
	Version string
	Roles   []Role
	Started time.Time
	Tracer  trace.Tracer // from part tracing on; before it, and without a collector, it does nothing

	DataDir string
	NodeID  string // persistent
	BootID  string // of this start: tells the node's own dead leases

	Tools    media.Tools      // from part tools on
	Bus      *nats.Conn       // from part bus on
	Stores   Stores           // from part stores on
	schema   int              // the newest version of the tables in PostgreSQL that the program knows; 0 without it
	Registry cluster.Registry // from part registry on
	Mux      *http.ServeMux   // of the public port and the admin socket
	Peers    Peers            // each from its service's part on
	// Mounts are handlers that the gateway serves behind its authentication,
	// by ServeMux pattern.
	Mounts map[string]http.Handler
	Auth   gateway.Authenticator // from part authentication on; part metadata has its own

	recordedMounts map[string]http.Handler // Mounts whose changes go to the audit log, from part gateway on

	identity   *cluster.Identity                  // the node's certificate, from part certificate on; nil in a monolith
	ca         *cluster.CA                        // on the node that has it
	pool       *cluster.Pool                      // of the other nodes, from part peers on; nil in a monolith
	remote     Peers                              // the services as other nodes offer them, likewise
	videoOf    func(ticket string) string         // the video of a playback ticket, from part tickets on
	chains     eth.Chains                         // that wallets are on, from part chains on
	audit      *console.Log                       // from part audit on
	decisions  *console.Decisions                 // likewise
	people     *console.Service                   // from part console on; nil without a console
	ownConsole *http.ServeMux                     // of console.listen, from part console on; nil without
	pieces     *s3.Store                          // of sources, which other nodes may ask for, from part stores on; nil without a bucket
	media      http.Handler                       // /s/ and /v/, from part streaming on
	tickets    stream.Verifier                    // of playback, from part tickets on
	baseURL    func(*http.Request) string         // of links in an answer, from part gateway on
	ffmpeg     func() (version string, err error) // as found at start; from part tools on
	encoder    func(context.Context) string       // this node's, once it is known; from part tools on
	state      *state
	database   store.Database // what Stores has of records and jobs, as a whole; from part stores on
	sockets    sockets        // that the node was given to listen on
	readOnly   readOnly       // of requests, in a migration
	moving     sync.Mutex     // held by a migration
	moved      atomic.Bool    // the stores were left: nothing can be written any more
	layers     *Layers        // of the configuration; nil if nothing is shared
	live       live           // what of it changes
	ahead      atomic.Int64   // how far the clock of the records is ahead of this machine's, nanoseconds; 0 in a monolith
	drain      drain          // whether an operator has drained the node, and what runs on it
	load       func() float64 // of the node, for the registry; from part monitor on

	livesOnce sync.Once
	lives     func(node, boot string) bool // see living

	knownEncoder func() string   // this node's, "" while it is not known; from part tools on
	eventsAddr   string          // where other nodes reach the event bus; "" if they do not
	draining     context.Context // done when the node begins to stop
	scope        *scope          // of the part that is being started
	fail         func(error)     // stops the node
}

// Stores are the contracts of package store.
type Stores struct {
	Queue   store.Queue
	Catalog store.Catalog
	Objects store.Objects
	Cache   store.Cache
}

// Peers are the services, wherever they run: the value itself if this node
// has the role, else a client.
type Peers struct {
	Library    rpc.LibraryClient
	Uploads    rpc.UploadsClient
	Transcoder rpc.TranscoderClient
	Access     rpc.AccessClient
	Monitor    rpc.MonitorClient
	Webhooks   rpc.WebhooksClient
	Alerts     rpc.AlertsClient
}

// Go runs fn as a supervised loop until the part that is being started stops:
// its context, which carries the node's own identity, is then done, and fn
// must return soon. An error or panic of fn stops the node; but a loop that a
// store has ended which cannot be reached now (store.ErrUnavailable) begins again
// after a pause. Call it from Start only.
func (k *Kernel) Go(name string, fn func(context.Context) error) {
	scope, fail := k.scope, k.fail
	scope.wg.Go(func() {
		for pause := firstRetry; ; pause = min(2*pause, mostRetry) {
			err := guard(scope.ctx, fn)
			switch {
			case err == nil || scope.ctx.Err() != nil:
				return
			case !errors.Is(err, store.ErrUnavailable):
				fail(fmt.Errorf("%s: %w", name, err))
				return
			}
			k.Log.Warn("a loop waits for a store and begins again", "loop", name, "err", err, "next_try", pause)
			select {
			case <-scope.ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}

// guard turns a panic into an error, so that the node is stopped in order and
// not torn down in the middle of others' writes.
func guard(ctx context.Context, fn func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(ctx)
}

// Check adds a line to /readyz: the node is ready while every check returns
// nil. It must be quick and honour its context.
func (k *Kernel) Check(name string, check func(context.Context) error) {
	k.state.addCheck(name, check)
}

// Draining is done when the node begins to stop: what would wait for ever
// (event streams, held requests) must end then.
func (k *Kernel) Draining() context.Context { return k.draining }

// scope is the loops of one part.
type scope struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newScope() *scope {
	ctx, cancel := context.WithCancel(rpc.System(context.Background()))
	return &scope{ctx: ctx, cancel: cancel}
}

// end cancels the loops and waits for them until ctx is done.
func (s *scope) end(ctx context.Context) error {
	s.cancel()
	ended := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("its loops did not end: %w", ctx.Err())
	}
}

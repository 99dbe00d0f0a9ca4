package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace/noop"

	"streamgate/app/rpc"
	"streamgate/store"
)

// ErrRole means that the roles and the configuration do not go together.
var ErrRole = errors.New("the node cannot start")

// Options are what New needs beside the configuration.
type Options struct {
	// Roles are the columns of the table to run; none means monolith.
	Roles []Role
	// Log receives the node's log; nil discards it.
	Log *slog.Logger
	// Version of the program, for metrics and answers.
	Version string
	// Layers are what the configuration was made of. Without them what the nodes of
	// a deployment share in the registry is not looked at.
	Layers *Layers
	// Env are the NAME=value pairs of the service manager's protocol
	// (NOTIFY_SOCKET, WATCHDOG_USEC) and of XDG_RUNTIME_DIR.
	Env []string
}

func (o Options) withDefaults() Options {
	if len(o.Roles) == 0 {
		o.Roles = []Role{RoleMonolith}
	}
	return o
}

// Node is one running StreamGate.
type Node struct {
	kernel  *Kernel
	parts   []part
	started []running
	notify  notifier
	failed  chan error // holds the first error of a loop
	drain   context.CancelFunc
	alive   context.Context // done when everything has stopped
	ended   context.CancelFunc
	stop    sync.Once
	stopErr error
}

// running is a started part and its loops.
type running struct {
	part
	scope *scope
}

// New makes a node that is not yet started. It touches nothing but the data
// directory's identity file. ErrRole.
func New(cfg *Config, opt Options) (*Node, error) {
	opt = opt.withDefaults()
	if cfg.Deployment.Mode == ModeMonolith && !slices.Contains(opt.Roles, RoleMonolith) {
		return nil, fmt.Errorf("%w with the roles %v alone: such nodes share their stores with others; set deployment.mode to cluster, or run the monolith (streamgate serve)",
			ErrRole, opt.Roles)
	}
	return assemble(cfg, opt, partsOf(opt.Roles, table()))
}

// assemble makes a node of the given parts.
func assemble(cfg *Config, opt Options, parts []part) (*Node, error) {
	opt = opt.withDefaults()
	id, err := identity(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	n := &Node{parts: parts, failed: make(chan error, 1)}
	n.notify = newNotifier(opt.Env)
	n.kernel = newKernel(cfg, opt)
	n.kernel.NodeID = id
	n.kernel.fail = n.fail
	n.kernel.sockets = takeSockets(opt.Env)
	n.kernel.draining, n.drain = context.WithCancel(context.Background())
	n.alive, n.ended = context.WithCancel(context.Background())
	return n, nil
}

func newKernel(cfg *Config, opt Options) *Kernel {
	k := &Kernel{
		Config: cfg, Log: opt.Log, Version: opt.Version, Roles: opt.Roles,
		Started: time.Now().UTC(), DataDir: cfg.DataDir, BootID: store.NewID(),
		Metrics: prometheus.NewRegistry(), Mux: http.NewServeMux(), Mounts: map[string]http.Handler{}, recordedMounts: map[string]http.Handler{}, state: newState(),
		Tracer: noop.Tracer{}, layers: opt.Layers,
	}
	if k.Log == nil {
		k.Log = slog.New(slog.DiscardHandler)
	}
	k.Metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return k
}

// Start starts the parts in order and returns when the node is ready. On
// error everything that had started is stopped again.
func (n *Node) Start(ctx context.Context) error {
	for _, p := range n.parts {
		if err := n.startPart(ctx, p); err != nil {
			if serr := n.Stop(); serr != nil {
				n.kernel.Log.Error("stop after a failed start", "err", serr)
			}
			return err
		}
	}
	n.kernel.sockets.close()
	n.kernel.state.setPhase(phaseReady)
	n.notify.ready(n.URL())
	go n.notify.beat(n.alive)
	n.kernel.Log.Info("ready", "took", time.Since(n.kernel.Started).Round(time.Millisecond),
		"url", n.kernel.PublicURL(), "operator", n.Addr("operator"), "data", n.kernel.DataDir)
	n.inviteFirst(ctx)
	return nil
}

// inviteFirst tells how the first admin is made, while there is none. Whoever
// reads the log of a node may be its admin.
func (n *Node) inviteFirst(ctx context.Context) {
	link, err := n.FirstLink(rpc.System(ctx))
	if err != nil {
		n.kernel.Log.Error("make the link for the first admin of the console", "err", err)
	} else if link != "" {
		n.kernel.Log.Info("nobody can sign in to the console yet: make the first admin with this link, once, within a day", "link", link)
	}
}

// How long a start, or a loop, that a store failed waits before the next try.
const (
	firstRetry = 250 * time.Millisecond
	mostRetry  = 5 * time.Second
)

// startPart starts a part. One that needs a store which cannot be reached is tried
// again until it can be: the node is not ready, and /readyz says why.
func (n *Node) startPart(ctx context.Context, p part) error {
	name := p.plugin.Name()
	defer n.kernel.state.setWait(name, nil)
	for pause := firstRetry; ; pause = min(2*pause, mostRetry) {
		err := n.tryPart(ctx, p)
		if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		n.kernel.Log.Warn("the node waits for a store", "part", name, "err", oneLine(err), "next_try", pause)
		n.kernel.state.setWait(name, errors.New("waiting, and trying again: "+oneLine(err)))
		n.notify.waiting(err, pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (n *Node) tryPart(ctx context.Context, p part) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	begun := time.Now()
	s := newScope()
	n.kernel.scope = s
	err := p.plugin.Start(ctx, n.kernel)
	n.kernel.scope = nil
	if err != nil {
		stopCtx, cancel := context.WithTimeout(context.Background(), p.stop)
		defer cancel()
		return errors.Join(err, s.end(stopCtx))
	}
	n.started = append(n.started, running{p, s})
	n.kernel.Log.Debug("started", "part", p.plugin.Name(), "took", time.Since(begun).Round(time.Microsecond))
	return nil
}

// Run starts the node and waits: see Wait.
func (n *Node) Run(ctx context.Context) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	return n.Wait(ctx)
}

// Wait stops a started node when ctx is done, which is no error, or when one
// of its loops fails, which is.
func (n *Node) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		n.kernel.Log.Info("stopping")
		return n.Stop()
	case err := <-n.failed:
		if _, ok := errors.AsType[*Switch](err); ok {
			n.notify.socket = "" // the manager's service goes on
			return errors.Join(err, n.Stop())
		}
		n.kernel.Log.Error("stopping: a part failed", "err", err)
		return errors.Join(err, n.Stop())
	}
}

// Stop stops the started parts in reverse. Later calls return what the first
// returned.
func (n *Node) Stop() error {
	n.stop.Do(func() {
		n.kernel.state.setPhase(phaseStopping)
		n.notify.stopping()
		n.drain()
		defer n.ended()
		var errs []error
		for len(n.started) > 0 {
			last := n.started[len(n.started)-1]
			n.started = n.started[:len(n.started)-1]
			errs = append(errs, n.stopPart(last))
		}
		n.stopErr = errors.Join(errs...)
	})
	return n.stopErr
}

// stopPart gives each part a time of its own: one that stalls must not take
// from the stores the time to close.
func (n *Node) stopPart(r running) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.stop)
	defer cancel()
	begun := time.Now()
	err := errors.Join(r.plugin.Stop(ctx), r.scope.end(ctx))
	n.kernel.Log.Debug("stopped", "part", r.plugin.Name(), "took", time.Since(begun).Round(time.Microsecond))
	if err != nil {
		return fmt.Errorf("stop %s: %w", r.plugin.Name(), err)
	}
	return nil
}

// fail keeps the first error of a loop; Wait acts on it.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
		n.kernel.Log.Error("another part failed", "err", err)
	}
}

// Addr tells where a server (public, operator, admin …) listens, "" if it
// does not.
func (n *Node) Addr(server string) string { return n.kernel.state.addr(server) }

// URL is the public base URL without a trailing slash.
func (n *Node) URL() string { return n.kernel.PublicURL() }

// identity returns the node's persistent id, making the data directory and
// the id if there are none.
func identity(dataDir string) (string, error) {
	if err := os.MkdirAll(dataDir, 0o750); err != nil {
		return "", dataDirError(dataDir, err)
	}
	path := filepath.Join(dataDir, "node-id")
	data, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(data)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", dataDirError(dataDir, err)
	}
	id := store.NewID()
	if err := os.WriteFile(path, []byte(id+"\n"), 0o640); err != nil {
		return "", dataDirError(dataDir, err)
	}
	return id, nil
}

func dataDirError(dir string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("data_dir %s cannot be used: %w; run the node as the directory's owner, or name another with --data DIR", dir, err)
}

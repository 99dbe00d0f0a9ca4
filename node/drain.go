package node

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"streamgate/store"
)

// The states of a node that an operator has drained.
const (
	stateDraining = "draining" // something still runs on it
	stateDrained  = "drained"  // it may be stopped
)

// drain is whether an operator has taken the node out of service, and what still
// runs on it. It ends with the process: a node that is started again serves.
type drain struct {
	on       atomic.Bool
	requests atomic.Int64 // that carry work, on this node
	workers  []drained    // parts that begin work of their own accord
	load     func() float64

	mu    sync.Mutex // one announcement at a time: an older one must not come last
	known bool       // others are told of the node at all
	told  bool       // they know that it is drained
}

// drained is a part that begins work of its own accord.
type drained interface {
	DrainNode(drained bool)
	Running() int
}

// setDrained takes the node out of service or puts it back. While the registry is
// away the others hear of it later, and until then the node is not drained.
func (k *Kernel) setDrained(ctx context.Context, drained bool) error {
	k.drain.on.Store(drained)
	for _, w := range k.drain.workers {
		w.DrainNode(drained)
	}
	k.Log.Info("the node was taken out of service, or put back", "drained", drained)
	err := k.announce(ctx)
	if errors.Is(err, store.ErrUnavailable) {
		k.Log.Warn("other nodes hear later that this one is drained, or is no more", "err", oneLine(err))
		return nil
	}
	return err
}

// announce tells the others of the node as it is now, once they are told of it.
func (k *Kernel) announce(ctx context.Context) error {
	k.drain.mu.Lock()
	defer k.drain.mu.Unlock()
	if !k.drain.known {
		return nil
	}
	self := k.instance()
	err := k.Registry.Announce(ctx, self)
	if err == nil {
		k.drain.told = self.Draining
	}
	return err
}

// running counts what a drain waits for.
func (k *Kernel) running() (jobs, requests int) {
	for _, w := range k.drain.workers {
		jobs += w.Running()
	}
	return jobs, int(k.drain.requests.Load())
}

// drainState is the node's state if an operator has drained it, else "".
func (k *Kernel) drainState() string {
	if !k.drain.on.Load() {
		return ""
	}
	k.drain.mu.Lock()
	told := k.drain.told
	k.drain.mu.Unlock()
	if jobs, requests := k.running(); !told || jobs > 0 || requests > 0 {
		return stateDraining
	}
	return stateDrained
}

// busy is what the monitor tells of the node's work.
func (k *Kernel) busy() (jobs, requests int, load float64) {
	jobs, requests = k.running()
	if k.drain.load != nil {
		load = k.drain.load()
	}
	return jobs, requests, load
}

// counted counts the requests that carry work, as long as they run.
func (k *Kernel) counted(server string, next http.Handler) http.Handler {
	if server != publicServer && server != clusterServer && server != consoleServer {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if carriesWork(server, r) {
			k.drain.requests.Add(1)
			defer k.drain.requests.Add(-1)
		}
		next.ServeHTTP(w, r)
	})
}

// monitorService is the path of calls that only ask how a node is, or drain it.
const monitorService = "/streamgate.Monitor/"

// carriesWork tells whether a request must have ended before the node may be
// stopped: media, uploads and other changes, and what another node asks. Pages, lists
// and event streams are asked for again.
func carriesWork(server string, r *http.Request) bool {
	switch {
	case strings.HasPrefix(r.URL.Path, monitorService), strings.HasPrefix(r.URL.Path, "/api/v1/nodes"):
		return false
	case server == clusterServer, isMedia(r.URL.Path):
		return true
	}
	return !quiet(r)
}

// withDrain is a readiness with the state of a node that is drained.
func (k *Kernel) withDrain(r Readiness) Readiness {
	if state := k.drainState(); state != "" && r.Status != phaseStarting && r.Status != phaseStopping {
		r.Status = state
	}
	return r
}

// readiness is what /readyz says. Balancers are to turn to other nodes when this one
// is drained; a monolith has none, and serves on.
func (k *Kernel) readiness(ctx context.Context) Readiness {
	r := k.state.readiness(ctx)
	if k.clustered() {
		r = k.withDrain(r)
	}
	return r
}

// forget ends announcing.
func (d *drain) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = false
}

package node

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// readOnly refuses requests that change something, so that none is refused by the
// store in its middle: what was changed would not be in the audit log. It is a
// courtesy, which ends by itself; what keeps the records as they are is their hold.
type readOnly struct {
	until  atomic.Int64 // nanoseconds since 1970; 0 if all is served
	inside atomic.Int64 // requests under way that may change something
	leaves atomic.Bool  // the node is about to go on with other stores
}

const (
	// readOnlyFor is how long nodes refuse changes after they were told to, and
	// readOnlyAgain how often they are told.
	readOnlyFor   = 10 * time.Second
	readOnlyAgain = 3 * time.Second
	// changesEnd bounds the wait for what is under way. Uploads take longer: they go
	// on where they were.
	changesEnd = time.Second
	changesAsk = 5 * time.Millisecond
)

func (r *readOnly) on() bool { return r.leaves.Load() || time.Now().UnixNano() < r.until.Load() }

func (r *readOnly) set(d time.Duration) {
	if d <= 0 {
		r.until.Store(0)
		return
	}
	r.until.Store(time.Now().Add(d).UnixNano())
}

// guard refuses changes while the node is read-only, and counts them otherwise.
func (r *readOnly) guard(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !changes(req) {
			next.ServeHTTP(w, req)
			return
		}
		r.inside.Add(1)
		defer r.inside.Add(-1)
		if !r.on() {
			next.ServeHTTP(w, req)
			return
		}
		err := rpc.Outward(req.Context(), store.ErrReadOnly)
		if refuse.IsSupported(req) && strings.HasPrefix(req.URL.Path, "/streamgate.") {
			_ = refuse.Write(w, req, err) // the client is gone if it fails
			return
		}
		rpc.WriteProblem(w, req, err)
	})
}

// reads are how the names of calls begin that change nothing, though they are POSTs.
var reads = []string{"Get", "List", "Check", "Simulate"}

// changes tells whether a request may change something.
func changes(r *http.Request) bool {
	switch {
	case quiet(r), r.URL.Path == MigratePath:
		return false
	case strings.HasPrefix(r.URL.Path, "/streamgate."):
		for _, word := range reads {
			if strings.HasPrefix(path.Base(r.URL.Path), word) {
				return false
			}
		}
	}
	return true
}

// pausing hears when nodes are to refuse changes.
type pausing struct{}

func (pausing) Name() string { return "read-only" }

func (pausing) Start(_ context.Context, k *Kernel) error {
	sub, err := events.WritesPaused.Listen(k.Bus, func(p events.Pause) {
		k.readOnly.set(min(time.Duration(p.Seconds*float64(time.Second)), readOnlyFor))
	})
	if err != nil {
		return err
	}
	context.AfterFunc(k.scope.ctx, func() { _ = sub.Unsubscribe() }) // the bus may be closed already
	k.Check("changes", func(context.Context) error {
		if k.readOnly.on() {
			return degraded{errors.New("nothing can be changed for some seconds: the deployment is being moved")}
		}
		return nil
	})
	return nil
}

func (pausing) Stop(context.Context) error { return nil }

// pauseChanges has all nodes refuse changes until resume is called, and returns when
// those that this node had begun are over.
func (k *Kernel) pauseChanges(ctx context.Context) (resume func()) {
	tell := func(d time.Duration) {
		k.readOnly.set(d)
		events.WritesPaused.Announce(k.Bus, k.Log, events.Pause{Seconds: d.Seconds()})
	}
	tell(readOnlyFor)
	again := time.NewTicker(readOnlyAgain)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-again.C:
				tell(readOnlyFor)
			}
		}
	}()
	late := time.After(changesEnd)
	for k.readOnly.inside.Load() > 0 {
		select {
		case <-late:
		case <-ctx.Done():
		case <-time.After(changesAsk):
			continue
		}
		break
	}
	return func() {
		again.Stop()
		close(done)
		tell(0)
	}
}

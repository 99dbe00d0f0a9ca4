package gateway

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	heartbeat     = 15 * time.Second
	eventBuffer   = 256              // events a client may lag behind
	writePatience = 10 * time.Second // for one event to leave
)

// eventStreams is GET /api/v1/events: the bus's public subjects as
// Server-Sent Events. Events are hints: Last-Event-ID is ignored on purpose,
// a client that reconnects reads the resources again. A client that lags too
// far behind is cut, so that it knows.
type eventStreams struct {
	bus        *nats.Conn
	stillValid func(*http.Request) bool // the caller's key
	slots      chan struct{}
	done       chan struct{}
	closeOnce  sync.Once
}

func newEventStreams(bus *nats.Conn, limit int, stillValid func(*http.Request) bool) *eventStreams {
	return &eventStreams{bus: bus, stillValid: stillValid, slots: make(chan struct{}, limit), done: make(chan struct{})}
}

func (s *eventStreams) close() { s.closeOnce.Do(func() { close(s.done) }) }

func (s *eventStreams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		rpc.WriteStatus(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "This path takes GET, HEAD only.")
		return
	}
	if err := rpc.Require(r.Context(), rpc.ScopeRead); err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		rpc.WriteRetry(w, r, http.StatusServiceUnavailable, "too_many_streams",
			"Too many event streams are open on this node; try again.", heartbeat)
		return
	}
	s.stream(w, r)
}

// stream subscribes before it answers, so that whoever has the answer misses
// nothing that happens afterwards.
func (s *eventStreams) stream(w http.ResponseWriter, r *http.Request) {
	messages := make(chan *nats.Msg, eventBuffer)
	lagging := make(chan struct{}, 1)
	for _, subject := range events.Public() {
		sub, err := s.bus.Subscribe(subject, func(m *nats.Msg) {
			select {
			case messages <- m:
			default:
				select {
				case lagging <- struct{}{}:
				default:
				}
			}
		})
		if err != nil {
			rpc.WriteProblem(w, r, fmt.Errorf("subscribe to %s: %w", subject, err))
			return
		}
		defer sub.Unsubscribe() //nolint:errcheck // the connection may be gone, and the subscription with it
	}
	if err := s.bus.Flush(); err != nil {
		rpc.WriteProblem(w, r, fmt.Errorf("subscribe: %w", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	s.pump(eventWriter{w, http.NewResponseController(w)}, r, messages, lagging)
}

// pump writes until the client goes or lags, its key is revoked, or the node
// stops.
func (s *eventStreams) pump(w eventWriter, r *http.Request, messages <-chan *nats.Msg, lagging <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	err := w.write(": connected\n\n")
	for err == nil {
		select {
		case m := <-messages:
			err = w.write("id: %s\nevent: %s\ndata: %s\n\n", store.NewID(), m.Subject, m.Data)
		case <-beat.C:
			if !s.stillValid(r) {
				return
			}
			err = w.write(": heartbeat\n\n")
		case <-lagging:
			return
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		}
	}
}

// eventWriter sends each write at once, and gives up on a client that does
// not take it.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (w eventWriter) write(format string, args ...any) error {
	// Not every writer has deadlines (a test's recorder); sockets have.
	w.control.SetWriteDeadline(time.Now().Add(writePatience)) //nolint:errcheck // see above
	if _, err := fmt.Fprintf(w.w, format, args...); err != nil {
		return err
	}
	return w.control.Flush()
}

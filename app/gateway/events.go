package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"

	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	heartbeat     = 15 * time.Second
	writePatience = 10 * time.Second // for one event to leave
)

// resetEvent tells a client that resumes after an event which is no longer
// remembered that it must read the resources again.
const resetEvent = `{"code":"history_lost","detail":"Events in between are no longer known: read the resources again."}`

// eventStreams is GET /api/v1/events: the bus's public subjects as
// Server-Sent Events. Events are hints. A client that reconnects with the
// Last-Event-ID gets what it missed, or is told to read again; one that lags
// too far behind is cut, so that it knows.
type eventStreams struct {
	hub        *eventHub
	tickets    eventTickets
	stillValid func(*http.Request) bool // the caller's key
	slots      chan struct{}
	done       chan struct{}
	closeOnce  sync.Once
}

func newEventStreams(bus *nats.Conn, cache store.Cache, limit int, stillValid func(*http.Request) bool) (*eventStreams, error) {
	hub, err := newEventHub(bus)
	if err != nil {
		return nil, err
	}
	s := &eventStreams{
		hub: hub, tickets: eventTickets{cache}, stillValid: stillValid,
		slots: make(chan struct{}, limit), done: make(chan struct{}),
	}
	go hub.run(s.done)
	return s, nil
}

func (s *eventStreams) close() { s.closeOnce.Do(func() { close(s.done) }) }

func (s *eventStreams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		rpc.WriteStatus(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "This path takes GET, HEAD, OPTIONS only.")
		return
	}
	wants, err := parseFilter(r.URL.Query())
	if err == nil {
		r, err = s.admit(r)
	}
	if err != nil {
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
	s.stream(w, r, wants)
}

// admit checks who wants to listen: a ticket stands for the key it was made
// with.
func (s *eventStreams) admit(r *http.Request) (*http.Request, error) {
	ticket := r.URL.Query().Get("ticket")
	if ticket == "" || r.Method == http.MethodHead { // a HEAD spends nothing
		return r, rpc.Require(r.Context(), rpc.ScopeRead)
	}
	authorization, err := s.tickets.use(r.Context(), ticket)
	if err != nil {
		return r, err
	}
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if !s.stillValid(r) {
		return r, rpc.Errorf(connect.CodeUnauthenticated, "invalid_key", "The key that the ticket was made with is no longer valid.")
	}
	return r, nil
}

// stream opens its feed before it answers, so that whoever has the answer
// misses nothing that happens afterwards.
func (s *eventStreams) stream(w http.ResponseWriter, r *http.Request, wants eventFilter) {
	after := cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("last_event_id"))
	feed, missed, whole := s.hub.open(wants, after)
	defer s.hub.close(feed)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	out := eventWriter{w, http.NewResponseController(w)}
	if out.begin(wants, missed, whole) == nil {
		s.pump(out, r, feed)
	}
}

// pump writes until the client goes or lags, its key is revoked, or the node
// stops.
func (s *eventStreams) pump(w eventWriter, r *http.Request, feed *eventFeed) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var err error
	for err == nil {
		select {
		case e := <-feed.events:
			err = w.send(e)
		case <-beat.C:
			if !s.stillValid(r) {
				return
			}
			err = w.write(": heartbeat\n\n")
		case <-feed.lagging:
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

// begin writes what the client has missed.
func (w eventWriter) begin(wants eventFilter, missed []event, whole bool) error {
	err := w.write(": connected\n\n")
	if err == nil && !whole {
		err = w.write("event: events.reset\ndata: %s\n\n", resetEvent)
	}
	for _, e := range missed {
		if err == nil && wants.match(e) {
			err = w.send(e)
		}
	}
	return err
}

func (w eventWriter) send(e event) error {
	return w.write("id: %s\nevent: %s\ndata: %s\n\n", e.id, e.subject, e.data)
}

func (w eventWriter) write(format string, args ...any) error {
	// Not every writer has deadlines (a test's recorder); sockets have.
	w.control.SetWriteDeadline(time.Now().Add(writePatience)) //nolint:errcheck // see above
	if _, err := fmt.Fprintf(w.w, format, args...); err != nil {
		return err
	}
	return w.control.Flush()
}

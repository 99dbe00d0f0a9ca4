package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/store"
)

const (
	eventBuffer  = 256  // events a client may lag behind
	eventHistory = 2048 // events a client may resume after
	busBuffer    = 8192 // events between the bus and the hub
)

// event is one public event of the bus, as streams send it.
type event struct {
	id      string // as whoever announced it made it: webhooks have the same
	subject string
	video   string // "" if it concerns none
	data    []byte
}

// eventHub hands the bus's public events to the open streams and keeps the
// newest, so that a client that was cut off can resume.
type eventHub struct {
	subs     []*nats.Subscription
	messages chan *nats.Msg

	mu      sync.Mutex
	history []event
	streams map[*eventFeed]struct{}
}

// eventFeed is what one stream is sent.
type eventFeed struct {
	wants   eventFilter
	events  chan event
	lagging chan struct{} // closed when the client was too slow
	lagged  bool
}

// newEventHub listens to the bus until close.
func newEventHub(bus *nats.Conn) (*eventHub, error) {
	h := &eventHub{
		messages: make(chan *nats.Msg, busBuffer), streams: make(map[*eventFeed]struct{}),
	}
	for _, subject := range events.Public() {
		sub, err := bus.ChanSubscribe(subject, h.messages)
		if err != nil {
			return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		h.subs = append(h.subs, sub)
	}
	if err := bus.Flush(); err != nil { // from here on nothing is missed
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return h, nil
}

// run hands the events on until done.
func (h *eventHub) run(done <-chan struct{}) {
	lost := 0
	for {
		select {
		case m := <-h.messages:
			if n := h.dropped(); n > lost {
				lost = n
				h.forget()
			}
			h.publish(cmp.Or(events.ID(m), store.NewID()), m.Subject, m.Data)
		case <-done:
			for _, sub := range h.subs {
				sub.Unsubscribe() //nolint:errcheck // the connection may be gone, and the subscription with it
			}
			return
		}
	}
}

// dropped is how many events came faster than they were handed on.
func (h *eventHub) dropped() (n int) {
	for _, sub := range h.subs {
		if d, err := sub.Dropped(); err == nil {
			n += d
		}
	}
	return n
}

// forget empties the history: events were lost, and every stream is cut so that
// its client knows.
func (h *eventHub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = nil
	for f := range h.streams {
		f.cut()
	}
}

func (h *eventHub) publish(id, subject string, data []byte) {
	var about struct {
		VideoID string `json:"video_id"`
	}
	_ = json.Unmarshal(data, &about) // a foreign message concerns no video
	h.mu.Lock()
	defer h.mu.Unlock()
	e := event{id: id, subject: subject, video: about.VideoID, data: data}
	if h.history = append(h.history, e); len(h.history) >= 2*eventHistory { // now and then, not each time
		h.history = append([]event(nil), h.history[eventHistory:]...)
	}
	for f := range h.streams {
		f.offer(e)
	}
}

// open begins a feed. After names the last event that the client has: those
// that came later are returned, whole tells whether none of them is lost.
func (h *eventHub) open(wants eventFilter, after string) (f *eventFeed, missed []event, whole bool) {
	f = &eventFeed{wants: wants, events: make(chan event, eventBuffer), lagging: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[f] = struct{}{}
	missed, whole = h.since(after)
	return f, missed, whole
}

// since lists the events after one. If it was announced twice, those after the
// first: ids tell clients what they have had.
func (h *eventHub) since(after string) (missed []event, whole bool) {
	if after == "" { // a client that begins
		return nil, true
	}
	i := slices.IndexFunc(h.history, func(e event) bool { return e.id == after })
	if i < 0 {
		return nil, false
	}
	return h.history[i+1:], true
}

func (h *eventHub) close(f *eventFeed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, f)
}

// offer never waits: a client that lags too far behind is cut.
func (f *eventFeed) offer(e event) {
	if f.lagged || !f.wants.match(e) {
		return
	}
	select {
	case f.events <- e:
	default:
		f.cut()
	}
}

func (f *eventFeed) cut() {
	if !f.lagged {
		f.lagged = true
		close(f.lagging)
	}
}

package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	eventsPath = "/console/events"
	maxStreams = 256
	heartbeat  = 15 * time.Second
	// hintPause is the least time between two hints of a page: what happens
	// meanwhile is one.
	hintPause = 800 * time.Millisecond
)

// topics say which parts of pages an event concerns, by the beginning of its subject.
var topics = []struct{ subject, hint string }{
	{"transcode.task.", "queue"},
	{"transcode.cells.", "cells"},
	{"upload.", "videos"},
	{"video.", "videos"},
	{"access.", "access"},
	{"alert.", "alerts"},
	{"webhook.", "webhooks"},
}

// hints tells open pages that something has changed.
type hints struct {
	mu   sync.Mutex
	open map[*listener]bool
	done chan struct{}
	once sync.Once
	subs []*nats.Subscription
}

// listener is one open page: the hints that it has not had yet.
type listener struct {
	mu   sync.Mutex
	has  map[string]bool
	wake chan struct{}
}

func newHints(bus *nats.Conn) (*hints, error) {
	h := &hints{open: map[*listener]bool{}, done: make(chan struct{})}
	for _, t := range topics {
		sub, err := bus.Subscribe(t.subject+">", func(*nats.Msg) { h.tell(t.hint) })
		if err != nil {
			return nil, fmt.Errorf("listen to %s: %w", t.subject, err)
		}
		h.subs = append(h.subs, sub)
	}
	return h, nil
}

func (h *hints) close() {
	h.once.Do(func() {
		close(h.done)
		for _, sub := range h.subs {
			_ = sub.Unsubscribe() // the connection may be gone, and the subscription with it
		}
	})
}

func (h *hints) tell(hint string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.open {
		l.add(hint)
	}
}

func (l *listener) add(hint string) {
	l.mu.Lock()
	l.has[hint] = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *listener) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for hint := range l.has {
		out = append(out, hint)
	}
	clear(l.has)
	slices.Sort(out)
	return out
}

func (h *hints) enter() (*listener, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.open) >= maxStreams {
		return nil, false
	}
	l := &listener{has: map[string]bool{}, wake: make(chan struct{}, 1)}
	h.open[l] = true
	return l, true
}

func (h *hints) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, l)
}

// events is GET /console/events: hints as Server-Sent Events, whose names are
// what pages listen for.
func (v *visit) events() {
	l, ok := v.hints.enter()
	if !ok {
		http.Error(v.w, "Too many pages are open; this one is not live.", http.StatusServiceUnavailable)
		return
	}
	defer v.hints.leave(l)
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	out := http.NewResponseController(v.w)
	write := func(text string) bool {
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second)) // not every writer has one
		_, err := fmt.Fprint(v.w, text)
		return err == nil && out.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for ok := write("event: open\ndata: \n\n"); ok; {
		select {
		case <-v.r.Context().Done():
			return
		case <-v.hints.done:
			return
		case <-beat.C:
			ok = v.identify() && write(": alive\n\n") // a session that was ended hears no more
		case <-l.wake:
			ok = write(messages(l.take()))
			select {
			case <-v.r.Context().Done():
				return
			case <-v.hints.done:
				return
			case <-time.After(hintPause):
			}
		}
	}
}

func messages(names []string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "event: %s\ndata: \n\n", name)
	}
	return b.String()
}

package gateway

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/app/rpc"
)

// open starts an event stream and reads its first comment.
func (b *bench) open(ctx context.Context, scope string) (*http.Response, *bufio.Reader) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/v1/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.keys[scope])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	if resp.StatusCode == http.StatusOK {
		if line := readEvent(b.t, lines); line != ": connected" {
			b.t.Errorf("begins with %q", line)
		}
	}
	return resp, lines
}

// readEvent reads up to the next blank line.
func readEvent(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var event strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\n" {
			return strings.TrimSuffix(event.String(), "\n")
		}
		event.WriteString(line)
	}
}

func TestEvents(t *testing.T) {
	b := newBench(t)
	resp, lines := b.open(t.Context(), "read")
	h := resp.Header
	if h.Get("Content-Type") != "text/event-stream" || h.Get("X-Accel-Buffering") != "no" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", h)
	}
	if err := events.JobsReady.Publish(b.bus, events.Jobs{}); err != nil { // not public
		t.Fatal(err)
	}
	r := b.do("uploader", "POST", "/api/v1/videos", `{"title":"t"}`)
	id := r.json(t)["id"].(string)
	event := strings.Split(readEvent(t, lines), "\n")
	if len(event) != 3 || !strings.HasPrefix(event[0], "id: ") || event[1] != "event: video.changed" ||
		event[2] != `data: {"video_id":"`+id+`","state":"uploading"}` {
		t.Errorf("event %q", event)
	}
	if r := b.do("read", "HEAD", "/api/v1/events", ""); r.StatusCode != http.StatusOK || r.body != "" {
		t.Errorf("HEAD: %d %q", r.StatusCode, r.body)
	}
	wantProblem(t, b.do("", "GET", "/api/v1/events", ""), 401, "unauthenticated")
	b.gateway.Close()
	b.gateway.Close() // twice is harmless
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Errorf("closed stream: %v", err)
	}
}

func TestEventStreamsAreBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxStreams = 1 })
	b.open(t.Context(), "read")
	r := b.do("read", "GET", "/api/v1/events", "")
	wantProblem(t, r, 503, "too_many_streams")
	if r.Header.Get("Retry-After") != "15" {
		t.Errorf("headers %v", r.Header)
	}
}

// pumped runs pump in a bubble of its own and returns what it wrote.
func pumped(t *testing.T, s *eventStreams, act func(messages chan *nats.Msg, lagging chan struct{}, cancel func())) string {
	t.Helper()
	w := httptest.NewRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	messages, lagging := make(chan *nats.Msg, 1), make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.pump(eventWriter{w, http.NewResponseController(w)}, r, messages, lagging)
	}()
	act(messages, lagging, cancel)
	<-ended
	return w.Body.String()
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		valid := 2
		s := newEventStreams(nil, 1, func(*http.Request) bool { valid--; return valid >= 0 })
		// It ends by itself: at the third beat the key is no longer valid.
		got := pumped(t, s, func(_ chan *nats.Msg, _ chan struct{}, cancel func()) {
			time.AfterFunc(5*heartbeat, cancel)
		})
		if got != ": connected\n\n: heartbeat\n\n: heartbeat\n\n" {
			t.Errorf("wrote %q", got)
		}
	})
}

func TestLaggingClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newEventStreams(nil, 1, func(*http.Request) bool { return true })
		pumped(t, s, func(_ chan *nats.Msg, lagging chan struct{}, _ func()) { lagging <- struct{}{} })
		pumped(t, s, func(_ chan *nats.Msg, _ chan struct{}, cancel func()) { cancel() })
	})
}

// A revoked key ends the stream; the preset identity of a socket does not.
func TestStillValid(t *testing.T) {
	b := newBench(t)
	e := &edge{auth: b.access}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if !e.stillValid(r) {
		t.Error("preset caller refused")
	}
	r.Header.Set("Authorization", "Bearer "+b.keys["read"])
	if !e.stillValid(r) {
		t.Error("valid key refused")
	}
	id := strings.Split(b.keys["read"], "_")[1]
	if _, err := b.access.RevokeKey(rpc.System(t.Context()), &rpc.RevokeKeyRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	if e.stillValid(r.WithContext(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead}))) {
		t.Error("revoked key accepted")
	}
}

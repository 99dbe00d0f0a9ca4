package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"streamgate/app/events"
	"streamgate/app/rpc"
)

// open starts an event stream and reads its first comment.
func (b *bench) open(ctx context.Context, scope string, query ...string) (*http.Response, *bufio.Reader) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/api/v1/events?"+strings.Join(query, "&"), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if scope != "" {
		req.Header.Set("Authorization", "Bearer "+b.keys[scope])
	}
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
func pumped(t *testing.T, s *eventStreams, act func(feed *eventFeed, cancel func())) string {
	t.Helper()
	w := httptest.NewRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	feed := &eventFeed{events: make(chan event, 1), lagging: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.pump(eventWriter{w, http.NewResponseController(w)}, r, feed)
	}()
	act(feed, cancel)
	<-ended
	return w.Body.String()
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		valid := 2
		s := &eventStreams{stillValid: func(*http.Request) bool { valid--; return valid >= 0 }}
		// It ends by itself: at the third beat the key is no longer valid.
		got := pumped(t, s, func(_ *eventFeed, cancel func()) { time.AfterFunc(5*heartbeat, cancel) })
		if got != ": heartbeat\n\n: heartbeat\n\n" {
			t.Errorf("wrote %q", got)
		}
	})
}

func TestLaggingClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &eventStreams{stillValid: func(*http.Request) bool { return true }}
		pumped(t, s, func(feed *eventFeed, _ func()) { feed.cut(); feed.cut() })
		pumped(t, s, func(_ *eventFeed, cancel func()) { cancel() })
	})
	h := &eventHub{streams: map[*eventFeed]struct{}{}}
	slow, _, _ := h.open(eventFilter{}, "")
	other, _, _ := h.open(eventFilter{videos: []string{"v"}}, "")
	for range eventBuffer + 1 {
		h.publish("e", "video.changed", []byte(`{"video_id":"w"}`))
	}
	if !slow.lagged || other.lagged || len(other.events) != 0 {
		t.Errorf("slow %v, other %v with %d events", slow.lagged, other.lagged, len(other.events))
	}
	h.forget()
	if !other.lagged {
		t.Error("after a loss a stream goes on")
	}
}

// Who resumes gets what it missed, as long as all of it is remembered.
func TestResume(t *testing.T) {
	h := &eventHub{streams: map[*eventFeed]struct{}{}}
	const last = 3 * eventHistory
	for i := range last + 1 {
		h.publish(fmt.Sprint("e", i), "video.changed", []byte(`{"video_id":"v"}`))
	}
	h.publish(fmt.Sprint("e", last-1), "video.changed", nil) // announced again
	for after, want := range map[string]int{
		"": 0, fmt.Sprint("e", last): 1, fmt.Sprint("e", last-1): 2, fmt.Sprint("e", last-eventHistory+2): eventHistory - 1,
		"e0": -1, "e1": -1, fmt.Sprint("e", last+1): -1, "nonsense": -1,
	} {
		missed, whole := h.since(after)
		if whole != (want >= 0) || len(missed) != max(0, want) {
			t.Errorf("after %q: %d events, whole %v, want %d", after, len(missed), whole, want)
		}
		if len(missed) > 0 && missed[len(missed)-1].data != nil {
			t.Errorf("after %q the last is %s", after, missed[len(missed)-1].id)
		}
	}
	h.forget()
	if _, whole := h.since(fmt.Sprint("e", last)); whole {
		t.Error("what was lost is not told")
	}
}

// An event has the id that it was announced with, which is the webhooks' too.
func TestEventsHaveOneID(t *testing.T) {
	b := newBench(t)
	_, lines := b.open(t.Context(), "read")
	events.VideoReady.AnnounceAs(b.bus, slog.Default(), "the-id", events.Video{VideoID: "v", State: "ready"})
	if got := readEvent(t, lines); !strings.HasPrefix(got, "id: the-id\nevent: video.ready\n") {
		t.Errorf("got %q", got)
	}
}

func TestResumeOverTheWire(t *testing.T) {
	b := newBench(t)
	_, lines := b.open(t.Context(), "read")
	var ids, lastIDs []string
	for range 2 {
		r := b.do("uploader", "POST", "/api/v1/videos", `{"title":"t"}`)
		ids = append(ids, r.json(t)["id"].(string))
		lastIDs = append(lastIDs, strings.TrimPrefix(strings.Split(readEvent(t, lines), "\n")[0], "id: "))
	}
	_, lines = b.open(t.Context(), "read", "last_event_id="+lastIDs[0])
	if got := readEvent(t, lines); !strings.Contains(got, ids[1]) || !strings.HasPrefix(got, "id: "+lastIDs[1]) {
		t.Errorf("resumed with %q", got)
	}
	_, lines = b.open(t.Context(), "read", "last_event_id=elsewhere-7")
	if got := readEvent(t, lines); got != "event: events.reset\ndata: "+resetEvent {
		t.Errorf("resumed with %q", got)
	}
}

func TestEventFilter(t *testing.T) {
	b := newBench(t)
	_, lines := b.open(t.Context(), "read", "video_id=v2&type=video.*&type=upload.completed")
	for _, id := range []string{"v1", "v2"} {
		events.TaskStarted.Announce(b.bus, slog.Default(), events.Task{VideoID: id})
		events.UploadProgress.Announce(b.bus, slog.Default(), events.Upload{VideoID: id})
		events.UploadCompleted.Announce(b.bus, slog.Default(), events.Upload{VideoID: id})
		events.RulesChanged.Announce(b.bus, slog.Default(), events.Rules{Name: id})
		events.VideoDeleted.Announce(b.bus, slog.Default(), events.Video{VideoID: id})
	}
	for _, want := range []string{"upload.completed", "video.deleted"} {
		if got := readEvent(t, lines); !strings.Contains(got, "event: "+want+"\n") || !strings.Contains(got, `"v2"`) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
	wantProblem(t, b.do("read", "GET", "/api/v1/events?type=video.lost", ""), 400, "invalid_type")
	wantProblem(t, b.do("read", "GET", "/api/v1/events?typ=video.deleted", ""), 400, "invalid_request")
	wantProblem(t, b.do("read", "GET", "/api/v1/events?video_id=x"+strings.Repeat("&video_id=x", maxFilters), ""), 400, "invalid_request")
	for _, topic := range events.ForWebhooks() { // what a webhook is told of can be listened to
		b.open(t.Context(), "read", "type="+topic)
	}
	known := map[string]bool{}
	for _, s := range events.PublicTypes() {
		known[s] = true
	}
	for _, s := range []string{"transcode.cells.ready", "transcode.jobs.ready"} {
		if known[s] || len(known) != 25 {
			t.Errorf("%s is public; %d types", s, len(known))
		}
	}
}

// A ticket opens one stream, once, and nothing else; it dies with its key.
func TestEventTicket(t *testing.T) {
	b := newBench(t)
	ticket := func() string {
		t.Helper()
		r := b.do("read", "POST", "/api/v1/events:ticket", "")
		if r.StatusCode != http.StatusCreated || r.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", r.StatusCode, r.body)
		}
		return r.json(t)["ticket"].(string)
	}
	first, second, third := ticket(), ticket(), ticket()
	if r := b.do("", "HEAD", "/api/v1/events?ticket="+first, ""); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("HEAD: %d", r.StatusCode)
	}
	b.keys["ticket"] = first // no key
	wantProblem(t, b.do("ticket", "GET", "/api/v1/videos", ""), 401, "invalid_key")
	b.open(t.Context(), "", "ticket="+first)
	wantProblem(t, b.do("", "GET", "/api/v1/events?ticket="+first, ""), 401, "ticket_invalid")
	wantProblem(t, b.do("", "GET", "/api/v1/events?ticket=made-up", ""), 401, "ticket_invalid")
	wantProblem(t, b.do("", "POST", "/api/v1/events:ticket", ""), 401, "unauthenticated")
	wantProblem(t, b.do("read", "GET", "/api/v1/events:ticket", ""), 405, "method_not_allowed")

	if _, err := b.gateway.events.tickets.use(t.Context(), second); err != nil {
		t.Errorf("second ticket: %v", err)
	}
	id := strings.Split(b.keys["read"], "_")[1]
	if _, err := b.access.RevokeKey(rpc.System(t.Context()), &rpc.RevokeKeyRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, b.do("", "GET", "/api/v1/events?ticket="+third, ""), 401, "invalid_key")
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

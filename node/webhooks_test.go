package node

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hookReceiver verifies and keeps what is delivered, by type. It refuses the
// first request of each.
type hookReceiver struct {
	mu     sync.Mutex
	secret string
	seen   map[string]bool
	got    map[string]json.RawMessage // data
	faults []string
}

// ServeHTTP implements http.Handler.
func (r *hookReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	verifier, err := standard.NewWebhook(r.secret)
	if err == nil {
		err = verifier.Verify(body, req.Header)
	}
	var message struct {
		Type string
		Data json.RawMessage
	}
	if jerr := json.Unmarshal(body, &message); err != nil || jerr != nil {
		r.faults = append(r.faults, string(body))
	}
	if id := req.Header.Get("webhook-id"); !r.seen[id] && strings.HasPrefix(message.Type, "video.") {
		r.seen[id] = true
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.got[message.Type] = message.Data
	w.Write([]byte("taken"))
}

// until waits for a delivery of the type.
func (r *hookReceiver) until(t *testing.T, kind string) json.RawMessage {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		data := r.got[kind]
		r.mu.Unlock()
		if data != nil {
			return data
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Fatalf("%s is not delivered; these are: %v", kind, r.got)
	return nil
}

// followEvents keeps what the event stream says, by type.
func followEvents(t *testing.T, c *client) (seen func() map[string]json.RawMessage) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req := mustRequest(t, "http://socket/api/v1/events").WithContext(ctx)
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	all := map[string]json.RawMessage{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(resp.Body)
		kind := ""
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kind = name
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				mu.Lock()
				all[kind] = json.RawMessage(data)
				mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		<-done
	})
	return func() map[string]json.RawMessage {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(all)
	}
}

type hook struct {
	ID      string
	Secret  string
	Events  []string
	Enabled bool
}

type hookDelivery struct {
	ID         string
	Event      string
	State      string
	Attempts   int
	Answer     string
	LastStatus int `json:"last_status"`
}

// A webhook that is made by REST gets the events of an upload and of the task
// that it leads to, with the data that the event stream has.
func TestWebhooks(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.Webhooks.AllowPrivate = true
	n := startNode(t, cfg)
	c := newClient(t, n)
	r := &hookReceiver{seen: map[string]bool{}, got: map[string]json.RawMessage{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	stream := followEvents(t, c)

	var w hook
	if status := c.send(http.MethodPost, "/api/v1/webhooks", []byte(`{"url": "`+server.URL+`/hook", "description": "CI"}`), nil, &w); status != http.StatusCreated {
		t.Fatalf("create: %d", status)
	}
	r.mu.Lock()
	r.secret = w.Secret
	r.mu.Unlock()
	if !w.Enabled || !slices.Equal(w.Events, []string{"*"}) || !strings.HasPrefix(w.Secret, "whsec_") {
		t.Errorf("made: %+v", w)
	}

	video := c.upload(shortClip(t), nil)
	for _, kind := range []string{
		"upload.completed", "transcode.task.submitted", "transcode.task.completed", "video.playable", "video.ready",
	} {
		data := r.until(t, kind)
		if !strings.Contains(string(data), video) {
			t.Errorf("%s is about another video: %s", kind, data)
		}
		streamed := stream()[kind]
		for end := time.Now().Add(time.Minute); streamed == nil && time.Now().Before(end); streamed = stream()[kind] {
			time.Sleep(5 * time.Millisecond)
		}
		if !sameJSON(data, streamed) {
			t.Errorf("%s: the webhook says %s, the stream %s", kind, data, streamed)
		}
	}
	r.mu.Lock()
	if len(r.faults) > 0 {
		t.Errorf("not verified: %s", r.faults)
	}
	r.mu.Unlock()

	path := "/api/v1/webhooks/" + w.ID
	var ready hookDelivery
	untilDelivered(t, c, path, func(d hookDelivery) bool { ready = d; return d.Event == "video.ready" })
	if ready.Attempts != 2 || ready.LastStatus != http.StatusOK || ready.Answer != "taken" {
		t.Errorf("the delivery is %+v", ready)
	}
	if status := c.send(http.MethodPost, path+"/deliveries/"+ready.ID+":redeliver", nil, nil, &ready); status != http.StatusAccepted || ready.State != "waiting" {
		t.Errorf("redeliver: %d, %+v", status, ready)
	}
	untilDelivered(t, c, path, func(d hookDelivery) bool { return d.ID == ready.ID && d.Attempts == 1 })
	if status := c.send(http.MethodPost, path+":rotate", nil, nil, &w); status != http.StatusOK || !strings.HasPrefix(w.Secret, "whsec_") || w.Secret == r.secret {
		t.Errorf("rotate: %d", status)
	}
	if status := c.send(http.MethodPost, path+":test", nil, nil, &ready); status != http.StatusAccepted {
		t.Errorf("test: %d", status)
	}
	r.until(t, "webhook.test")
	c.send(http.MethodPatch, path, []byte(`{"enabled": false, "events": ["video.deleted"]}`), nil, &w)
	var got hook
	c.send(http.MethodGet, path, nil, nil, &got)
	if got.Enabled || got.Secret != "" || !slices.Equal(got.Events, []string{"video.deleted"}) {
		t.Errorf("after the change: %+v", got)
	}
	var problem struct{ Code string }
	if status := c.send(http.MethodPost, path+":test", nil, nil, &problem); status != http.StatusBadRequest && status != http.StatusConflict || problem.Code != "webhook_disabled" {
		t.Errorf("a test of a disabled webhook: %d %s", status, problem.Code)
	}
	req := mustRequest(t, "http://socket"+path)
	req.Method = http.MethodDelete
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if status := c.send(http.MethodGet, path, nil, nil, &problem); resp.StatusCode != http.StatusNoContent || status != http.StatusNotFound || problem.Code != "webhook_not_found" {
		t.Errorf("delete: %d, then %d %s", resp.StatusCode, status, problem.Code)
	}
}

// untilDelivered waits for a delivery that is delivered and as wanted.
func untilDelivered(t *testing.T, c *client, webhook string, want func(hookDelivery) bool) {
	t.Helper()
	var list struct{ Deliveries []hookDelivery }
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		c.send(http.MethodGet, webhook+"/deliveries?state=delivered&limit=200", nil, nil, &list)
		if slices.ContainsFunc(list.Deliveries, want) {
			return
		}
	}
	t.Fatalf("no such delivery is delivered: %+v", list.Deliveries)
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

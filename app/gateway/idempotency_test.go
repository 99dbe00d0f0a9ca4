package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

const task = "/api/v1/tasks"

func TestIdempotencyReplay(t *testing.T) {
	b := newBench(t)
	key := []string{"Idempotency-Key", "k1"}
	first := b.do("uploader", "POST", task, `{"video_id":"a"}`, key...)
	again := b.do("uploader", "POST", task, `{"video_id":"a"}`, key...)
	if again.StatusCode != http.StatusAccepted || again.body != first.body || again.Header.Get("Location") != first.Header.Get("Location") ||
		again.Header.Get("Idempotent-Replayed") != "true" || first.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("again: %d %v %s", again.StatusCode, again.Header, again.body)
	}
	if b.transcoder.calls != 1 {
		t.Errorf("%d calls", b.transcoder.calls)
	}
	wantProblem(t, b.do("uploader", "POST", task, `{"video_id":"b"}`, key...), 422, "idempotency_key_reused")
	// Another caller's and another path's keys are their own.
	if r := b.do("admin", "POST", task, `{"video_id":"b"}`, key...); r.StatusCode != http.StatusAccepted || !strings.Contains(r.body, `"tb"`) {
		t.Errorf("another caller: %d %s", r.StatusCode, r.body)
	}
	if r := b.do("uploader", "POST", "/api/v1/videos", `{"title":"t"}`, key...); r.StatusCode != http.StatusCreated {
		t.Errorf("another path: %d %s", r.StatusCode, r.body)
	}
	wantProblem(t, b.do("uploader", "POST", task, `{}`, "Idempotency-Key", strings.Repeat("k", 256)), 400, "invalid_idempotency_key")
}

// A client's mistake is the outcome; a failure of the node is not.
func TestIdempotencyFailures(t *testing.T) {
	b := newBench(t)
	bad := []string{"Idempotency-Key", "bad"}
	wantProblem(t, b.do("uploader", "POST", "/api/v1/videos", `{"title":""}`, bad...), 400, "invalid_title")
	if r := b.do("uploader", "POST", "/api/v1/videos", `{"title":""}`, bad...); r.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a mistake was not kept: %v", r.Header)
	}
	failing := true
	b.transcoder.create = func(context.Context) error {
		if failing {
			return errors.New("down")
		}
		return nil
	}
	broken := []string{"Idempotency-Key", "broken"}
	for range 3 {
		wantProblem(t, b.do("uploader", "POST", task, `{}`, broken...), 500, "internal")
	}
	failing = false
	if r := b.do("uploader", "POST", task, `{}`, broken...); r.StatusCode != http.StatusAccepted {
		t.Errorf("after the failure: %d %s", r.StatusCode, r.body)
	}
	if b.transcoder.calls != 4 {
		t.Errorf("%d calls", b.transcoder.calls)
	}
}

// What may have been done is not done again, though nobody knows what came of it.
func TestIdempotencyOutcomeUnknown(t *testing.T) {
	b := newBench(t)
	for _, code := range []string{"outcome_unknown", "not_recorded"} {
		b.transcoder.create = func(context.Context) error { return rpc.Errorf(connect.CodeUnavailable, code, "Look.") }
		for range 2 {
			wantProblem(t, b.do("uploader", "POST", task, `{}`, "Idempotency-Key", code), 503, code)
		}
	}
	if b.transcoder.calls != 2 {
		t.Errorf("%d calls", b.transcoder.calls)
	}
}

func TestIdempotencyConcurrent(t *testing.T) {
	b := newBench(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	b.transcoder.create = func(context.Context) error {
		entered <- struct{}{}
		<-leave
		return nil
	}
	key := []string{"Idempotency-Key", "k"}
	first := make(chan reply)
	go func() { first <- b.do("uploader", "POST", task, `{}`, key...) }()
	<-entered
	wantProblem(t, b.do("uploader", "POST", task, `{}`, key...), 409, "idempotency_in_progress")
	close(leave)
	if r := <-first; r.StatusCode != http.StatusAccepted {
		t.Errorf("first: %d %s", r.StatusCode, r.body)
	}
	if r := b.do("uploader", "POST", task, `{}`, key...); r.StatusCode != http.StatusAccepted || r.Header.Get("Idempotent-Replayed") == "" {
		t.Errorf("afterwards: %d %s", r.StatusCode, r.body)
	}
}

// A key's secret is in one answer and nowhere else.
func TestIdempotencySecret(t *testing.T) {
	b := newBench(t)
	key := []string{"Idempotency-Key", "k"}
	r := b.do("admin", "POST", "/api/v1/keys", `{"scope":"read"}`, key...)
	if secret, _ := r.json(t)["secret"].(string); r.StatusCode != http.StatusCreated || !strings.HasPrefix(secret, "sg_") {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	r = b.do("admin", "POST", "/api/v1/keys", `{"scope":"read"}`, key...)
	wantProblem(t, r, 409, "idempotency_secret")
}

// Nothing is kept for callers without a key.
func TestIdempotencyStranger(t *testing.T) {
	b := newBench(t)
	for range 2 {
		r := b.do("", "POST", task, `{}`, "Idempotency-Key", "k")
		wantProblem(t, r, 401, "unauthenticated")
		if r.Header.Get("Idempotent-Replayed") != "" {
			t.Error("kept")
		}
	}
}

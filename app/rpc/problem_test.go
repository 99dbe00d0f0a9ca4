package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"streamgate/store"
)

func TestWriteProblem(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		err    error
		status int
		code   string
		logged bool
	}{
		{"coded", Errorf(connect.CodeNotFound, "video_not_found", "No."), 404, "video_not_found", false},
		{"coded, wrapped", fmt.Errorf("get: %w", Invalid("bad", "Bad.")), 400, "bad", false},
		{"with a status", StatusErrorf(507, connect.CodeResourceExhausted, "disk_full", "Full."), 507, "disk_full", false},
		{"status of tus", StatusErrorf(StatusChecksumMismatch, connect.CodeInvalidArgument, "checksum_mismatch", "Other."), 460, "checksum_mismatch", false},
		{"precondition", Errorf(connect.CodeFailedPrecondition, "ended", "Over."), 409, "ended", false},
		{"not found", NotFound(fmt.Errorf("get: %w", store.ErrNotFound), "task", "t1"), 404, "task_not_found", false},
		{"plain", errors.New("secret"), 500, "internal", true},
		{"coded by another", connect.NewError(connect.CodeNotFound, errors.New("secret")), 500, "internal", true},
		{"peer away", connect.NewError(connect.CodeUnavailable, errors.New("secret")), 503, "unavailable", true},
		{"store away", fmt.Errorf("read: %w: secret: %w", store.ErrUnavailable, context.DeadlineExceeded), 503, "store_unavailable", true},
		{"not offered", connect.NewError(connect.CodeUnimplemented, errors.New("secret")), 501, "unimplemented", false},
		{"too slow", fmt.Errorf("secret: %w", context.DeadlineExceeded), 504, "timeout", false},
		{"given up", gone.Err(), 499, "canceled", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			r := httptest.NewRequest(http.MethodGet, "/api/v1/x%20y?secret=1", nil)
			r = r.WithContext(WithTrace(r.Context(), "abc", slog.New(slog.NewTextHandler(&log, nil))))
			r.URL.Path = "/rewritten"
			w := httptest.NewRecorder()
			WriteProblem(w, r, tt.err)
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.status || p.Status != tt.status || p.Code != tt.code || p.Instance != "/api/v1/x%20y" ||
				p.TraceID != "abc" || p.Title == "" || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if got := strings.Count(log.String(), "trace_id=abc"); (got == 1) != tt.logged || got > 1 {
				t.Errorf("log %q", log.String())
			}
		})
	}
}

func TestWriteRetry(t *testing.T) {
	for wait, want := range map[time.Duration]string{0: "1", time.Second: "1", 1001 * time.Millisecond: "2", time.Minute: "60"} {
		w := httptest.NewRecorder()
		WriteRetry(w, httptest.NewRequest(http.MethodHead, "/", nil), http.StatusServiceUnavailable, "busy", "Busy.", wait)
		if w.Code != 503 || w.Header().Get("Retry-After") != want || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
			t.Errorf("%v: %d %v %q", wait, w.Code, w.Header(), w.Body)
		}
	}
}

func TestJSON(t *testing.T) {
	codec := JSONCodecs()[0]
	got, err := codec.Marshal(&Task{Id: "t", Error: &Failure{}})
	const want = `{"id":"t","video_id":"","profile":"","priority":0,"state":"","progress":0,"speed":0,"attempt":0,"error":{"code":"","message":""}}`
	if err != nil || string(got) != want {
		t.Errorf("Marshal = %s, %v; want %s", got, err, want)
	}
	for text, ok := range map[string]bool{
		`{}`: true, `{"video_id":"v","priority":3}`: true, `{"videoId":"v"}`: false, `{"unknown":1}`: false,
		``: false, "\t": false, `[]`: false, `{"video_id":1}`: false,
	} {
		if err := codec.Unmarshal([]byte(text), &CreateTaskRequest{}); (err == nil) != ok {
			t.Errorf("Unmarshal %q: %v", text, err)
		}
	}
	if err := codec.Unmarshal(nil, &CreateNonceRequest{}); err != nil {
		t.Errorf("nothing for a message without fields: %v", err)
	}
	if _, err := codec.Marshal("text"); err == nil {
		t.Error("a string is no message")
	}
}

// A scope includes those below it.
func TestRequire(t *testing.T) {
	for have := ScopeNone; have <= ScopeAdmin; have++ {
		ctx := WithIdentity(t.Context(), Identity{Scope: have})
		for need := ScopeRead; need <= ScopeAdmin; need++ {
			err := Require(ctx, need)
			if (err == nil) != (have >= need) {
				t.Errorf("%q asked for %q: %v", have, need, err)
			}
			if code := connect.CodeOf(err); err != nil && (code == connect.CodeUnauthenticated) != (have == ScopeNone) {
				t.Errorf("%q asked for %q: %v", have, need, code)
			}
		}
	}
}

package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// While nothing can be changed, what changes nothing is served, and the rest says
// when to come again.
func TestReadOnly(t *testing.T) {
	var r readOnly
	h := r.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	ask := func(method, path string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, path, nil)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}
	r.set(time.Minute)
	for _, row := range []struct {
		method, path string
		served       bool
	}{
		{"GET", "/api/v1/videos", true}, {"HEAD", "/api/v1/uploads/x", true}, {"GET", "/s/ticket/master.m3u8", true}, {"POST", MigratePath, true},
		{"POST", "/streamgate.Library/GetVideo", true}, {"POST", "/streamgate.Library/ListVideos", true},
		{"POST", "/api/v1/videos", false}, {"PATCH", "/api/v1/uploads/x", false}, {"PUT", "/api/v1/videos/x/source", false}, {"DELETE", "/api/v1/videos/x", false},
		{"POST", "/streamgate.Library/CreateVideo", false},
	} {
		w := ask(row.method, row.path)
		if served := w.Code == http.StatusTeapot; served != row.served {
			t.Errorf("%s %s: %d", row.method, row.path, w.Code)
		}
		if !row.served && (w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "read_only") && !strings.Contains(w.Body.String(), "being moved")) {
			t.Errorf("%s %s: %d %s", row.method, row.path, w.Code, w.Body)
		}
		if !row.served && strings.HasPrefix(row.path, "/api/") && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s %s does not say when", row.method, row.path)
		}
	}
	r.set(0)
	if w := ask("POST", "/api/v1/videos"); w.Code != http.StatusTeapot || r.inside.Load() != 0 {
		t.Errorf("afterwards: %d, %d inside", w.Code, r.inside.Load())
	}
	r.until.Store(time.Now().UnixNano())
	if ask("POST", "/api/v1/videos").Code != http.StatusTeapot {
		t.Error("it does not end by itself")
	}
}

package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"streamgate/app/rpc"
)

func TestWhatIsNotThere(t *testing.T) {
	s := newSite(t, film())
	for _, tt := range []struct {
		method, path, accept, wantType string
	}{
		{"GET", "/nothing", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"},
		{"HEAD", "/watch", "text/html", "text/html; charset=utf-8"},
		{"GET", "/watch/film/more", "text/html", "text/html; charset=utf-8"},
		{"GET", "/nothing", "*/*", rpc.ProblemType},
		{"GET", "/nothing", "", rpc.ProblemType},
		{"POST", "/nothing", "text/html", rpc.ProblemType},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(tt.method, tt.path, nil)
		r.Header.Set("Accept", tt.accept)
		s.mux.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != tt.wantType {
			t.Errorf("%s %s for %q: %d %s", tt.method, tt.path, tt.accept, w.Code, w.Header().Get("Content-Type"))
		}
		if tt.wantType == rpc.ProblemType && !strings.Contains(w.Body.String(), `"code":"route_not_found"`) {
			t.Errorf("%s %s: %s", tt.method, tt.path, w.Body)
		}
	}
}

func TestSlashAtTheEnd(t *testing.T) {
	s := newSite(t, film())
	for _, path := range []string{"/watch/film/?t=75", "/embed/film/?t=75"} {
		w := s.ask(http.MethodGet, path)
		if got := w.Header().Get("Location"); w.Code != http.StatusPermanentRedirect || got != "../film?t=75" {
			t.Errorf("%s: %d to %q", path, w.Code, got)
		}
	}
}

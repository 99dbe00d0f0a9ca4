package ui

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/a-h/templ"
)

// checkSaid: the page is a notice with these words.
func checkSaid(t *testing.T, p page, title, detail string) {
	t.Helper()
	notice := p.one(t, ".notice")
	if got := notice.one(t, "h1").text; got != title {
		t.Errorf("the page is headed %q, want %q", got, title)
	}
	if got := notice.one(t, "p").text; got != detail {
		t.Errorf("the page says %q, want %q", got, detail)
	}
	if got := p.one(t, "title").text; got != title+" · StreamGate" {
		t.Errorf("the page is titled %q", got)
	}
}

func TestMethods(t *testing.T) {
	s := newSite(t, film())
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodHead, "/", http.StatusOK},
		{http.MethodHead, "/watch/film", http.StatusOK},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodPost, "/watch/film", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/s/token/", http.StatusMethodNotAllowed},
		{http.MethodPost, s.ui.Assets.Path("watch.js"), http.StatusMethodNotAllowed},
		{http.MethodGet, "/watch/film/more", http.StatusNotFound},
		{http.MethodGet, "/watch/", http.StatusNotFound},
		{http.MethodGet, "/nothing", http.StatusNotFound},
	} {
		if w := s.ask(c.method, c.path); w.Code != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, w.Code, c.status)
		}
	}
}

// TestPolicy: the policy allows what the player needs and no more.
func TestPolicy(t *testing.T) {
	for _, need := range []string{"default-src 'none'", "script-src 'self'", "media-src 'self' blob:", "base-uri 'none'"} {
		if !strings.Contains(policy, need) {
			t.Errorf("the policy lacks %s", need)
		}
	}
	for _, wide := range []string{"unsafe", "*", "http:", "https:"} {
		if strings.Contains(policy, wide) {
			t.Errorf("the policy has %s", wide)
		}
	}
}

// TestRenderFails: nothing of a page that breaks off is sent.
func TestRenderFails(t *testing.T) {
	s := newSite(t)
	broken := templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		io.WriteString(w, "half a page")
		return errors.New("ink ran out")
	})
	w := httptest.NewRecorder()
	s.ui.render(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusOK, broken)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "half") || strings.Contains(w.Body.String(), "ink") {
		t.Errorf("status %d, body %q", w.Code, w.Body)
	}
	if !strings.Contains(s.log.String(), "ink ran out") {
		t.Errorf("the log does not say why: %q", s.log)
	}
}

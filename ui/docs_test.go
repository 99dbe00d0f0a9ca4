package ui

import (
	"net/http"
	"strings"
	"testing"
)

// The page of a site that lies under a path reads the description that lies
// there; it is read in a real browser by cmd/streamgate/e2e.
func TestDocs(t *testing.T) {
	s := newSite(t)
	s.ui.Assets.Root = "/tv"
	w := s.ask(http.MethodGet, "/docs")
	checkHeaders(t, w.Header(), policy)
	if !strings.Contains(w.Body.String(), ` data-url="/tv/openapi.json"`) {
		t.Errorf("it reads another description:\n%s", w.Body)
	}
	if got := s.ask(http.MethodGet, "/docs/").Header().Get("Location"); got != "../docs" {
		t.Errorf("/docs/ leads to %q", got)
	}
}

package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"streamgate/app/console"
)

// TestDelete: a deletion needs no title typed, says for how long it can be
// undone and is undone by a form; whoever may only look is not offered that.
func TestDelete(t *testing.T) {
	s := newSite(t)
	operator := s.cookies[console.Operator]
	page := s.send(http.MethodGet, "/console/videos/film/delete", nil, operator, nil).Body.String()
	if !strings.Contains(page, "For 30 seconds you can undo it") || strings.Contains(page, `name="title"`) {
		t.Errorf("before: %s", page)
	}
	w := s.send(http.MethodPost, "/console/videos/film/delete", url.Values{}, operator, nil)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/console/videos" {
		t.Errorf("status %d to %s", w.Code, to)
	}
	undo := `action="/console/videos/deleted/undo"`
	page = s.send(http.MethodGet, "/console/videos", nil, operator, nil).Body.String()
	if !strings.Contains(page, undo) || !strings.Contains(page, "in 2") || strings.Contains(page, "/removing/undo") {
		t.Errorf("after: %s", page)
	}
	if w := s.send(http.MethodGet, "/console/videos/deleted", nil, operator, nil); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), undo) {
		t.Errorf("its own page: status %d, %s", w.Code, w.Body)
	}
	looks := s.send(http.MethodGet, "/console/videos", nil, s.cookies[console.ReadOnly], nil).Body.String()
	if strings.Contains(looks, undo) || !strings.Contains(looks, "is deleted, for good") {
		t.Error("who may only look is offered to undo it, or not told of it")
	}
	w = s.send(http.MethodPost, "/console/videos/deleted/undo", url.Values{}, operator, nil)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/console/videos/deleted" {
		t.Errorf("undone: status %d to %s", w.Code, to)
	}
	w = s.send(http.MethodPost, "/console/videos/other/undo", url.Values{}, operator, nil)
	if to := w.Header().Get("Location"); to != "/console/videos" {
		t.Errorf("too late: to %s", to)
	}
}

package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"streamgate/app/access/sessions"
	"streamgate/app/apptest"
	"streamgate/app/rpc"
	"streamgate/assets"
	"streamgate/store"
)

// library is a library of these videos. Like the real one it wants the right to
// read, and gives lists in pages.
type library struct {
	rpc.LibraryClient // what no page calls
	videos            []*rpc.Video
	err               error // of every call
	lists             int   // calls of ListVideos
}

func (s *library) GetVideo(ctx context.Context, req *rpc.GetVideoRequest) (*rpc.Video, error) {
	if err := errors.Join(rpc.Require(ctx, rpc.ScopeRead), s.err); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.videos, func(v *rpc.Video) bool { return v.Id == req.Id })
	if i < 0 {
		return nil, rpc.NotFound(store.ErrNotFound, "video", req.Id)
	}
	return s.videos[i], nil
}

func (s *library) ListVideos(ctx context.Context, req *rpc.ListVideosRequest) (*rpc.ListVideosResponse, error) {
	s.lists++
	if err := errors.Join(rpc.Require(ctx, rpc.ScopeRead), s.err); err != nil {
		return nil, err
	}
	start, _ := strconv.Atoi(req.Cursor)
	end := min(start+int(req.Limit), len(s.videos))
	list := &rpc.ListVideosResponse{Videos: s.videos[start:end]}
	if end < len(s.videos) {
		list.NextCursor = strconv.Itoa(end)
	}
	return list, nil
}

// ownKey makes a deployment's signing key.
type ownKey struct{}

func (ownKey) Secret(_ context.Context, _ string, make func() []byte) ([]byte, error) {
	return make(), nil
}

func newTickets(t *testing.T) *sessions.Tickets {
	t.Helper()
	tickets, err := sessions.NewTickets(t.Context(), ownKey{})
	if err != nil {
		t.Fatal(err)
	}
	return tickets
}

// nodeURL is where the site of the tests lies.
const nodeURL = "https://node.example"

// site is the pages, mounted.
type site struct {
	ui      *UI
	mux     *http.ServeMux
	library *library
	tickets *sessions.Tickets
	log     *apptest.Log
}

func newSite(t *testing.T, videos ...*rpc.Video) *site {
	t.Helper()
	set, err := assets.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{mux: http.NewServeMux(), library: &library{videos: videos}, tickets: newTickets(t), log: &apptest.Log{}}
	s.ui = New(Config{
		Library: s.library,
		Ticket: func(token string, now time.Time) (string, error) {
			ticket, err := s.tickets.Verify(token, now)
			return ticket.VideoID, err
		},
		Assets:  set,
		BaseURL: func(*http.Request) string { return nodeURL + set.Root },
		Log:     slog.New(slog.NewTextHandler(s.log, nil)),
	})
	s.ui.Routes(s.mux)
	return s
}

func (s *site) ask(method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// page is one answer, parsed.
type page struct {
	*element
	header http.Header
	body   string
}

// open asks for a page and checks what holds for every page.
func (s *site) open(t *testing.T, path string, status int) page {
	t.Helper()
	return s.openUnder(t, path, status, policy)
}

// openUnder opens a page that has a policy of its own.
func (s *site) openUnder(t *testing.T, path string, status int, policy string) page {
	t.Helper()
	w := s.ask(http.MethodGet, path)
	if w.Code != status {
		t.Errorf("%s: status %d, want %d", path, w.Code, status)
	}
	p := page{parse(t, w.Body.String()), w.Header(), w.Body.String()}
	checkHeaders(t, p.header, policy)
	checkPolicy(t, p)
	checkAccess(t, p)
	checkAssets(t, s, p)
	return p
}

// film is a video that plays, all of it made.
func film() *rpc.Video {
	return &rpc.Video{
		Id: "film", Title: "A film", State: "ready", Public: true, Progress: 100,
		DurationSeconds: 634.5, Width: 1920, Height: 1080,
		Poster: true, Storyboard: true, PosterUrl: "https://node.example/v/film/poster.jpg",
		Renditions: []*rpc.Rendition{
			{Name: "1080p", Kind: "video", Progress: 100},
			{Name: "360p", Kind: "video", Progress: 100},
			{Name: "audio-en", Kind: "audio", Progress: 100},
		},
		Made: []*rpc.Span{{Start: 0, End: 634.5}},
	}
}

// with is the film, changed.
func with(change func(*rpc.Video)) *rpc.Video {
	v := film()
	change(v)
	return v
}

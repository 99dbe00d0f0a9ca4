package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"streamgate/app/rpc"
	"streamgate/store"
)

func TestHomeEmpty(t *testing.T) {
	p := newSite(t).open(t, "/", http.StatusOK)
	if got := p.one(t, "pre").text; got != "streamgate push film.mp4 --public" {
		t.Errorf("the empty page advises %q", got)
	}
}

func TestHome(t *testing.T) {
	s := newSite(t,
		film(),
		with(func(v *rpc.Video) { v.Id, v.Title, v.PosterUrl, v.State = "bare", "<b>Bare</b>", "", "playable" }),
		with(func(v *rpc.Video) { v.Id, v.Title, v.Public = "hidden", "A secret", false }),
		with(func(v *rpc.Video) { v.Id, v.Title, v.State = "new", "Just arrived", "processing" }),
		with(func(v *rpc.Video) { v.Id, v.Title, v.State = "lost", "Lost", "failed" }),
		with(func(v *rpc.Video) { v.Id, v.Title, v.State = "half", "Half sent", "uploading" }),
	)
	p := s.open(t, "/", http.StatusOK)
	var got []string
	for _, li := range p.one(t, ".library").all("li") {
		row := li.one(t, "a").attrs["href"] + " " + li.one(t, ".name").text + " " + li.one(t, ".facts").text
		for _, img := range li.all("img") {
			row += " " + img.attrs["src"]
		}
		got = append(got, row)
	}
	want := []string{"/watch/film A film 10:34 /v/film/poster.jpg", "/watch/bare <b>Bare</b> 10:34"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the home page lists\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, secret := range []string{"A secret", "hidden/", "Just arrived", "Lost", "Half sent"} {
		if strings.Contains(p.body, secret) {
			t.Errorf("the home page tells of %q", secret)
		}
	}
}

// TestHomeBehindPrivate: a public video is found behind pages of private ones,
// at a bounded cost.
func TestHomeBehindPrivate(t *testing.T) {
	crowd := func(n int, public bool) (videos []*rpc.Video) {
		for i := range n {
			videos = append(videos, with(func(v *rpc.Video) { v.Id, v.Public = fmt.Sprint("crowd-", i), public }))
		}
		return videos
	}
	for _, c := range []struct {
		name          string
		videos        []*rpc.Video
		listed, lists int
	}{
		{"behind two pages", append(crowd(2*store.MaxLimit, false), film()), 1, 3},
		{"too far", append(crowd(homePages*store.MaxLimit, false), film()), 0, homePages},
		{"one page is enough", crowd(3*store.MaxLimit, true), store.MaxLimit, 1},
		{"no more than a page", append(crowd(1, false), crowd(3*store.MaxLimit, true)...), store.MaxLimit, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.videos...)
			p := s.open(t, "/", http.StatusOK)
			if got := len(p.all("li")); got != c.listed || s.library.lists != c.lists {
				t.Errorf("%d videos from %d lists, want %d from %d", got, s.library.lists, c.listed, c.lists)
			}
		})
	}
}

func TestHomeLibraryFails(t *testing.T) {
	s := newSite(t, film())
	s.library.err = errors.New("disk on fire")
	p := s.open(t, "/", http.StatusInternalServerError)
	checkSaid(t, p, "Something went wrong", "The videos cannot be listed just now.")
	if strings.Contains(p.body, "fire") || !strings.Contains(s.log.String(), "disk on fire") {
		t.Errorf("the reason belongs in the log only; the log has %q", s.log)
	}
}

package ui

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"streamgate/app/access/sessions"
	"streamgate/app/rpc"
	"streamgate/app/stream"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestWatch(t *testing.T) {
	p := newSite(t, film()).open(t, "/watch/film", http.StatusOK)
	player := p.one(t, ".player")
	for name, want := range map[string]string{
		"data-hls":        "/v/film/master.m3u8",
		"data-storyboard": "/v/film/storyboard.vtt",
		"data-duration":   "634.500",
		"data-state":      "ready",
		"class":           "player",
	} {
		if got := player.attrs[name]; got != want {
			t.Errorf("the player's %s is %q, want %q", name, got, want)
		}
	}
	if got := p.one(t, "video").attrs["poster"]; got != "/v/film/poster.jpg" {
		t.Errorf("the poster is %q", got)
	}
	if got := p.one(t, ".facts").text; got != "10:34 · 1920×1080 · 1080p, 360p" {
		t.Errorf("the facts are %q", got)
	}
	if got := p.header.Get("Refresh"); got != "" {
		t.Errorf("a page that plays reloads itself: %q", got)
	}
}

func TestWatchRefusals(t *testing.T) {
	for _, c := range []struct {
		name          string
		change        func(*rpc.Video)
		status        int
		title, detail string
	}{
		{
			"private", func(v *rpc.Video) { v.Public = false },
			http.StatusUnauthorized, "This video is private", "Ask its owner for a link that lets you watch it.",
		},
		{
			"private and failed", func(v *rpc.Video) {
				v.Public, v.State, v.Error = false, "failed", &rpc.Failure{Message: "Not for you."}
			},
			http.StatusUnauthorized, "This video is private", "Ask its owner for a link that lets you watch it.",
		},
		{
			"no such video", func(v *rpc.Video) { v.Id = "another" },
			http.StatusNotFound, "There is no such video", "It may have been removed, or the link is not complete.",
		},
		{
			"failed", func(v *rpc.Video) {
				v.State, v.Error = "failed", &rpc.Failure{Code: "not_a_video", Message: "The file is <no> video."}
			},
			http.StatusGone, "This video cannot be played", "The file is <no> video.",
		},
		{
			"uploading", func(v *rpc.Video) { v.State, v.DurationSeconds = "uploading", 0 },
			http.StatusNotFound, "This video is not here yet", "Its file has not been uploaded completely. Come back in a while.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newSite(t, with(c.change)).open(t, "/watch/film", c.status)
			checkSaid(t, p, c.title, c.detail)
			if strings.Contains(p.body, "A film") || p.header.Get("Refresh") != "" {
				t.Errorf("the refusal tells the title or reloads itself (Refresh %q)", p.header.Get("Refresh"))
			}
		})
	}
}

func TestWatchNotPlanned(t *testing.T) {
	s := newSite(t, with(func(v *rpc.Video) { v.State, v.DurationSeconds = "processing", 0 }))
	p := s.open(t, "/watch/film", http.StatusOK)
	checkSaid(t, p, "Getting ready", "The video has just arrived. This page shows it in a moment.")
	if got := p.header.Get("Refresh"); got != "1" {
		t.Errorf("Refresh is %q", got)
	}
}

func TestWatchLibraryFails(t *testing.T) {
	s := newSite(t, film())
	s.library.err = errors.New("disk on fire")
	p := s.open(t, "/watch/film", http.StatusInternalServerError)
	checkSaid(t, p, "Something went wrong", "The video cannot be shown just now.")
	if strings.Contains(p.body, "fire") || !strings.Contains(s.log.String(), "disk on fire") {
		t.Errorf("the reason belongs in the log only; the log has %q", s.log)
	}
}

// TestWatchNoStills: what is not there is not referred to.
func TestWatchNoStills(t *testing.T) {
	s := newSite(t, with(func(v *rpc.Video) { v.Poster, v.Storyboard = false, false }))
	p := s.open(t, "/watch/film", http.StatusOK)
	if poster, ok := p.one(t, "video").attrs["poster"]; ok {
		t.Errorf("the poster is %q", poster)
	}
	if got := p.one(t, ".player").attrs["data-storyboard"]; got != "" {
		t.Errorf("the storyboard is %q", got)
	}
}

func TestWatchSoundOnly(t *testing.T) {
	s := newSite(t, with(func(v *rpc.Video) {
		v.Width, v.Height, v.DurationSeconds, v.Renditions = 0, 0, 3723.9, v.Renditions[2:]
	}))
	p := s.open(t, "/watch/film", http.StatusOK)
	if got := p.one(t, ".player").attrs["class"]; got != "player sound" {
		t.Errorf("the player is a %q", got)
	}
	if got := p.one(t, ".facts").text; got != "1:02:03" {
		t.Errorf("the facts are %q", got)
	}
}

func TestWatchMade(t *testing.T) {
	for _, c := range []struct {
		name string
		made []*rpc.Span
		want []string // x and width in thousandths
	}{
		{"nothing", nil, nil},
		{"all", []*rpc.Span{{Start: 0, End: 10}}, []string{"0.0 1000.0"}},
		{"two stretches", []*rpc.Span{{Start: 0, End: 2}, {Start: 4, End: 9.5}}, []string{"0.0 200.0", "400.0 550.0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, with(func(v *rpc.Video) { v.DurationSeconds, v.Made = 10, c.made }))
			var got []string
			for _, rect := range s.open(t, "/watch/film", http.StatusOK).one(t, ".made").all("rect") {
				got = append(got, rect.attrs["x"]+" "+rect.attrs["width"])
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("made are %q, want %q", got, c.want)
			}
		})
	}
}

func TestWatchTitle(t *testing.T) {
	for _, title := range []string{
		`<script>alert(1)</script>`, `"quoted" & 'so' onclick="x"`, `</title></h1><img src=x onerror=y>`, `&amp; &lt;`,
		`日本語 🎬 Ünï`, "{{ .Title }} ${title} `x`", strings.Repeat("long ", 100) + "end",
	} {
		p := newSite(t, with(func(v *rpc.Video) { v.Title = title })).open(t, "/watch/film", http.StatusOK)
		for where, got := range map[string]string{
			"heading": p.one(t, "h1").text,
			"title":   strings.TrimSuffix(p.one(t, "title").text, " · StreamGate"),
			"label":   strings.TrimPrefix(p.one(t, ".player").attrs["aria-label"], "Player: "),
		} {
			if got != title {
				t.Errorf("the %s is %q, want %q", where, got, title)
			}
		}
	}
}

func TestWatchMaking(t *testing.T) {
	part := func(v *rpc.Video) {
		v.State, v.Progress = "playable", 61.34
		v.Renditions[0].Progress, v.Renditions[2].Progress = 40, 99.7
	}
	for _, c := range []struct {
		name     string
		change   func(*rpc.Video)
		want     string
		progress string // of the meter, "" without one
	}{
		{"ready", func(*rpc.Video) {}, "", ""},
		{"partly made", part, "Plays while it is being made. Still in the making: 1080p 40 %, audio-en 99 %", "61.3"},
		{
			"nothing made", func(v *rpc.Video) {
				v.State, v.Progress, v.Renditions = "processing", 0, []*rpc.Rendition{{Name: "720p", Kind: "video"}}
			},
			"Plays while it is being made. Still in the making: 720p 0 %", "0.0",
		},
		{
			"failed later", func(v *rpc.Video) { part(v); v.Error = &rpc.Failure{Message: "The disk is full."} },
			"Not everything was made. The disk is full.", "",
		},
		{"all made, not yet ready", func(v *rpc.Video) { v.State = "playable" }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			making := newSite(t, with(c.change)).open(t, "/watch/film", http.StatusOK).one(t, ".making")
			if got := strings.TrimSpace(making.text); got != c.want {
				t.Errorf("the page says %q, want %q", got, c.want)
			}
			progress := ""
			for _, meter := range making.all("progress") {
				progress = meter.attrs["value"]
			}
			if progress != c.progress {
				t.Errorf("the meter is at %q, want %q", progress, c.progress)
			}
			if role := making.attrs["role"]; role != "status" {
				t.Errorf("the line's role is %q", role)
			}
		})
	}
}

// TestWatchSession: a ticket opens its video, public or not, and all that the
// page refers to lies under the ticket.
func TestWatchSession(t *testing.T) {
	s := newSite(t, with(func(v *rpc.Video) { v.Public = false }))
	token := s.tickets.Sign(sessions.Ticket{SessionID: "session", VideoID: "film", Expires: time.Now().Add(time.Hour)})
	p := s.open(t, "/s/"+token+"/", http.StatusOK)
	base := "/s/" + token + "/"
	player := p.one(t, ".player").attrs
	for got, want := range map[string]string{
		player["data-hls"]:                base + "master.m3u8",
		player["data-storyboard"]:         base + "storyboard.vtt",
		p.one(t, "video").attrs["poster"]: base + "poster.jpg",
	} {
		if got != want {
			t.Errorf("the page refers to %q, want %q", got, want)
		}
	}
	if strings.Contains(p.body, "/v/film/") {
		t.Error("the page of a session refers to the public address")
	}
}

func TestWatchSessionRefusals(t *testing.T) {
	s := newSite(t, film())
	good := sessions.Ticket{SessionID: "session", VideoID: "film", Expires: time.Now().Add(time.Hour)}
	expired := good
	expired.Expires = time.Now().Add(-time.Second)
	token := s.tickets.Sign(good)
	for name, token := range map[string]string{
		"expired":               s.tickets.Sign(expired),
		"of another deployment": newTickets(t).Sign(good),
		"changed":               strings.Replace(token, token[4:8], "AAAB", 1),
		"cut":                   token[:len(token)-1],
		"no ticket":             "film",
		"a line end and markup": "%0A%3Cscript%3E",
	} {
		t.Run(name, func(t *testing.T) {
			p := s.open(t, "/s/"+token+"/", http.StatusUnauthorized)
			checkSaid(t, p, "This link has ended", "The link is not valid, or no longer. Ask the video's owner for a new one.")
			if strings.Contains(p.body, "film") {
				t.Error("the refusal tells of the video")
			}
		})
	}
}

// TestWatchSessionEnded: who had access and lost it reads why.
func TestWatchSessionEnded(t *testing.T) {
	s := newSite(t, film())
	s.ui.Ticket = func(string, time.Time) (string, error) {
		return "", fmt.Errorf("check: %w", &stream.EndedError{Code: "not_a_holder", Sentence: "The wallet <x> does not hold it."})
	}
	checkSaid(t, s.open(t, "/s/token/", http.StatusForbidden), "This session has ended", "The wallet <x> does not hold it.")
}

// TestWatchSessionOfRemoved: the ticket is good, the video gone.
func TestWatchSessionOfRemoved(t *testing.T) {
	s := newSite(t)
	token := s.tickets.Sign(sessions.Ticket{SessionID: "session", VideoID: "film", Expires: time.Now().Add(time.Hour)})
	checkSaid(t, s.open(t, "/s/"+token+"/", http.StatusNotFound),
		"There is no such video", "It may have been removed, or the link is not complete.")
}

// TestWatchScript: what watch.js looks for is on the page, also while the
// video is being made and has no picture.
func TestWatchScript(t *testing.T) {
	script, err := os.ReadFile("../assets/src/watch.js")
	if err != nil {
		t.Fatal(err)
	}
	looks := regexp.MustCompile(`(?:\$|querySelector)\('([.a-z-]+)'\)`).FindAllSubmatch(script, -1)
	if len(looks) < 15 {
		t.Fatalf("watch.js looks for %d things: the search is wrong", len(looks))
	}
	for _, v := range []*rpc.Video{film(), with(func(v *rpc.Video) { v.State, v.Width, v.Made = "playable", 0, nil })} {
		p := newSite(t, v).open(t, "/watch/film", http.StatusOK)
		for _, look := range looks {
			if len(p.all(string(look[1]))) == 0 {
				t.Errorf("watch.js looks for %q, which the page of a %s video lacks", look[1], v.State)
			}
		}
	}
}

// TestWatchGolden: the page as a whole, with the hashes of assets left out and
// an element a line.
func TestWatchGolden(t *testing.T) {
	s := newSite(t, with(func(v *rpc.Video) {
		v.Title, v.State, v.Progress = `Tom & "Jerry"`, "playable", 50
		v.Renditions[0].Progress = 12.5
		v.Made = []*rpc.Span{{Start: 0, End: 63.45}, {Start: 317.25, End: 634.5}}
	}))
	const golden = "testdata/watch.html"
	body := s.open(t, "/watch/film", http.StatusOK).body
	got := regexp.MustCompile(`\.[0-9a-f]{12}\.`).ReplaceAllString(body, ".hash.")
	got = strings.ReplaceAll(got, "><", ">\n<") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the page differs from %s; see git diff after \"go test ./ui -update\"\n%s", golden, got)
	}
}

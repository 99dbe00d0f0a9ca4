package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"streamgate/app/rpc"
)

// askOEmbed asks how to show a link.
func askOEmbed(t *testing.T, s *site, link, more string, status int) map[string]any {
	t.Helper()
	w := s.ask(http.MethodGet, "/oembed?url="+url.QueryEscape(link)+more)
	if w.Code != status || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%s%s: status %d, want %d; %v", link, more, w.Code, status, w.Header())
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s: %v\n%s", link, err, w.Body)
	}
	return answer
}

func TestOEmbed(t *testing.T) {
	s := newSite(t, with(func(v *rpc.Video) { v.Title = `A "film" <1>` }))
	link := askOEmbed(t, s, nodeURL+"/watch/film", "", http.StatusOK)
	for key, want := range map[string]any{
		"version": "1.0", "type": "link", "title": `A "film" <1>`, "provider_name": "StreamGate", "provider_url": nodeURL + "/",
		"thumbnail_url": nodeURL + "/v/film/poster.jpg", "thumbnail_width": 1280.0, "thumbnail_height": 720.0, "html": nil, "width": nil,
	} {
		if link[key] != want {
			t.Errorf("where no site may frame the player %s is %v, want %v", key, link[key], want)
		}
	}

	s.ui.Framers = []string{"https://blog.example"}
	video := askOEmbed(t, s, nodeURL+"/watch/film?t=1m15s&x=y", "&format=json", http.StatusOK)
	frame := parse(t, video["html"].(string)).one(t, "iframe").attrs
	for key, want := range map[string]string{
		"src": nodeURL + "/embed/film?t=1m15s", "width": "640", "height": "360", "title": `A "film" <1>`,
	} {
		if frame[key] != want {
			t.Errorf("the frame's %s is %q, want %q", key, frame[key], want)
		}
	}
	if video["type"] != "video" || video["width"] != 640.0 || video["height"] != 360.0 || !strings.Contains(frame["allow"], "fullscreen") {
		t.Errorf("the answer is %v", video)
	}
}

func TestOEmbedSizes(t *testing.T) {
	for _, c := range []struct {
		name          string
		change        func(*rpc.Video)
		bounds        string
		width, height float64
		thumbnail     bool
	}{
		{"narrow", func(*rpc.Video) {}, "&maxwidth=320", 320, 200, false},
		{"low", func(*rpc.Video) {}, "&maxheight=270", 480, 270, false},
		{"both", func(*rpc.Video) {}, "&maxwidth=4000&maxheight=4000000", 640, 360, true},
		{"tiny", func(*rpc.Video) {}, "&maxwidth=10&maxheight=10", 10, 10, false},
		{"upright", func(v *rpc.Video) { v.Width, v.Height = 1080, 1920 }, "&maxheight=640", 360, 640, false},
		{"gated", func(v *rpc.Video) { v.Width, v.Height, v.Public, v.Gated = 1080, 1920, false, true }, "", 640, 360, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, with(c.change))
			s.ui.Framers = []string{"*"}
			got := askOEmbed(t, s, nodeURL+"/watch/film", c.bounds, http.StatusOK)
			_, thumbnail := got["thumbnail_url"]
			if got["width"] != c.width || got["height"] != c.height || thumbnail != c.thumbnail {
				t.Errorf("the player is %v × %v, thumbnail %v; want %v × %v, %v", got["width"], got["height"], thumbnail, c.width, c.height, c.thumbnail)
			}
		})
	}
}

func TestOEmbedRefusals(t *testing.T) {
	s := newSite(t, film(), with(func(v *rpc.Video) { v.Id, v.Public = "private", false }))
	const good = nodeURL + "/watch/film"
	for _, c := range []struct {
		link, more string
		status     int
		code       string
	}{
		{"", "", http.StatusNotFound, "no_such_page"},
		{"/watch/film", "", http.StatusNotFound, "no_such_page"},
		{"https://other.example/watch/film", "", http.StatusNotFound, "no_such_page"},
		{"javascript://node.example/watch/film", "", http.StatusNotFound, "no_such_page"},
		{nodeURL + "/", "", http.StatusNotFound, "no_such_page"},
		{nodeURL + "/watch/film/more", "", http.StatusNotFound, "no_such_page"},
		{"https://node.example:99999999/watch/%zz", "", http.StatusNotFound, "no_such_page"},
		{nodeURL + "/watch/none", "", http.StatusNotFound, "video_not_found"},
		{nodeURL + "/watch/private", "", http.StatusUnauthorized, "video_private"},
		{good, "&format=xml", http.StatusNotImplemented, "format_not_supported"},
		{good, "&maxwidth=0", http.StatusBadRequest, "invalid_argument"},
		{good, "&maxheight=-5", http.StatusBadRequest, "invalid_argument"},
		{good, "&maxheight=tall", http.StatusBadRequest, "invalid_argument"},
	} {
		if got := askOEmbed(t, s, c.link, c.more, c.status); got["code"] != c.code || got["trace_id"] == "" {
			t.Errorf("%s%s: %v, want %s and a trace id", c.link, c.more, got, c.code)
		}
	}
}

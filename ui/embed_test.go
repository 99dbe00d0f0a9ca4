package ui

import (
	"net/http"
	"strings"
	"testing"

	"streamgate/app/rpc"
)

func TestEmbed(t *testing.T) {
	s := newSite(t, film(),
		with(func(v *rpc.Video) { v.Id, v.Public, v.Gated = "gated", false, true }),
		with(func(v *rpc.Video) { v.Id, v.Public = "private", false }))
	for _, c := range []struct {
		framers []string
		want    string // the end of the policy
	}{
		{nil, "frame-ancestors 'none'"},
		{[]string{"https://blog.example", "https://*.shop.example"}, "frame-ancestors 'self' https://blog.example https://*.shop.example"},
	} {
		s.ui.Framers = c.framers
		framed := strings.Replace(policy, "frame-ancestors 'self'", c.want, 1)
		if !strings.HasSuffix(framed, c.want) {
			t.Fatalf("the policy has moved: %s", framed)
		}
		for path, want := range map[string]struct {
			status int
			part   string
		}{
			"/embed/film":    {http.StatusOK, ".player"},
			"/embed/gated":   {http.StatusOK, ".gate"},
			"/embed/private": {http.StatusUnauthorized, ".notice"},
			"/embed/none":    {http.StatusNotFound, ".notice"},
		} {
			p := s.openUnder(t, path, want.status, framed)
			p.one(t, want.part)
			if class := p.one(t, "html").attrs["class"]; class != "embed" || len(p.all(".brand")) > 0 {
				t.Errorf("%s is no page for a frame: class %q", path, class)
			}
		}
		s.open(t, "/watch/film", http.StatusOK) // under the usual policy
	}
	framed := strings.Replace(policy, "frame-ancestors 'self'", "frame-ancestors 'self' "+strings.Join(s.ui.Framers, " "), 1)
	title := s.openUnder(t, "/embed/film", http.StatusOK, framed).one(t, ".title").attrs
	if title["href"] != "/watch/film" || title["target"] != "_blank" {
		t.Errorf("the title leads to %v", title)
	}
}

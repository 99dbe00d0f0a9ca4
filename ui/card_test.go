package ui

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"streamgate/app/rpc"
)

// tags are what services read from a page's head: meta by property or name, and
// links by rel.
func tags(p page) map[string]string {
	found := map[string]string{}
	for _, e := range p.all("meta") {
		if name := e.attrs["property"] + e.attrs["name"]; name != "" {
			found[name] = e.attrs["content"]
		}
	}
	for _, e := range p.all("link") {
		if rel := e.attrs["rel"]; rel == "canonical" || rel == "alternate" {
			found[rel] = e.attrs["href"]
		}
	}
	delete(found, "viewport")
	delete(found, "color-scheme")
	return found
}

func TestCard(t *testing.T) {
	const watch, oembed = nodeURL + "/watch/film", nodeURL + "/oembed?url=https%3A%2F%2Fnode.example%2Fwatch%2Ffilm"
	common := func(title, description string, more map[string]string) map[string]string {
		all := map[string]string{
			"canonical": watch, "alternate": oembed, "description": description,
			"og:site_name": "StreamGate", "og:type": "video.other", "og:url": watch, "og:title": title, "og:description": description,
			"twitter:title": title, "twitter:description": description, "twitter:card": "summary",
		}
		maps.Copy(all, more)
		return all
	}
	poster := nodeURL + "/v/film/poster.jpg"
	for name, c := range map[string]struct {
		change func(*rpc.Video)
		want   map[string]string
	}{
		"public": {func(*rpc.Video) {}, common("A film", "Watch: 10:34, 1920×1080", map[string]string{
			"og:image": poster, "og:image:width": "1280", "og:image:height": "720", "og:image:alt": "A picture of A film",
			"twitter:card": "summary_large_image", "twitter:image": poster,
		})},
		"a title with markup": {
			func(v *rpc.Video) { v.Title, v.Poster = `"><script>`, false },
			common(`"><script>`, "Watch: 10:34, 1920×1080", nil),
		},
		"sound": {
			func(v *rpc.Video) { v.Width, v.Height, v.Poster = 0, 0, false },
			common("A film", "Listen: 10:34", nil),
		},
		"gated": {
			func(v *rpc.Video) { v.Public, v.Gated = false, true },
			common("A film", "This video is for those whom its rule admits: open it to see how to watch.", nil),
		},
		"private":   {func(v *rpc.Video) { v.Public = false }, map[string]string{}},
		"not ready": {func(v *rpc.Video) { v.State, v.DurationSeconds = "processing", 0 }, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSite(t, with(c.change)).ask(http.MethodGet, "/watch/film")
			if got := tags(page{parse(t, w.Body.String()), w.Header(), ""}); !maps.Equal(got, c.want) {
				t.Errorf("the page tells\n%v, want\n%v", got, c.want)
			}
		})
	}
}

// TestUnderPath: a site that has only a path of its host stays within it.
func TestUnderPath(t *testing.T) {
	s := newSite(t, film(), with(func(v *rpc.Video) { v.Id, v.Public, v.Gated = "gated", false, true }))
	s.ui.Assets.Root = "/tv"
	s.ui.BaseURL = func(*http.Request) string { return nodeURL + "/tv" }
	for _, path := range []string{"/", "/watch/film", "/watch/gated", "/watch/none", "/embed/film"} {
		w := s.ask(http.MethodGet, path)
		refs := 0
		for _, e := range parse(t, w.Body.String()).all("") {
			for _, name := range []string{"src", "href", "poster", "data-hls", "data-storyboard", "data-link", "data-watch"} {
				ref, ok := e.attrs[name]
				if !ok {
					continue
				}
				refs++
				if !strings.HasPrefix(ref, "/tv/") && !strings.HasPrefix(ref, nodeURL+"/tv/") {
					t.Errorf("%s: <%s> refers to %q", path, e.name, ref)
				}
			}
		}
		if refs < 4 {
			t.Errorf("%s refers to %d addresses: the walk is wrong", path, refs)
		}
	}
}

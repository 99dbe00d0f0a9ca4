package stream

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		path string
		want target
	}{
		{"/v/abc/master.m3u8", target{scopePublic, "abc", "master.m3u8", kindPlaylist, "", 0}},
		{"/v/abc/manifest.mpd", target{scopePublic, "abc", "manifest.mpd", kindManifest, "", 0}},
		{"/v/abc/poster.jpg", target{scopePublic, "abc", "poster.jpg", kindStill, "", 0}},
		{"/s/t/session", target{scopeSession, "t", "session", kindSession, "", 0}},
		{"/v/abc/storyboard.vtt", target{scopePublic, "abc", "storyboard.vtt", kindStill, "", 0}},
		{"/v/abc/storyboard-12.jpg", target{scopePublic, "abc", "storyboard-12.jpg", kindStill, "", 0}},
		{"/s/Ab_-.~9/720p/index.m3u8", target{scopeSession, "Ab_-.~9", "720p/index.m3u8", kindPlaylist, "720p", 0}},
		{"/s/t/audio-en/init.mp4", target{scopeSession, "t", "audio-en/init.mp4", kindInit, "audio-en", 0}},
		{"/s/t/720p/0.m4s", target{scopeSession, "t", "720p/0.m4s", kindCell, "720p", 0}},
		{"/s/t/720p/1234567.m4s", target{scopeSession, "t", "720p/1234567.m4s", kindCell, "720p", 1234567}},
		{"/s/t/360p/iframe-3.m4s", target{scopeSession, "t", "360p/iframe-3.m4s", kindIFrame, "360p", 3}},
		{"/s/t/360p/iframes.m3u8", target{scopeSession, "t", "360p/iframes.m3u8", kindPlaylist, "360p", 0}},
	}
	for _, tt := range tests {
		if got, ok := parse(tt.path); !ok || got != tt.want {
			t.Errorf("parse(%q) = %+v, %v; want %+v", tt.path, got, ok, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, path := range []string{
		"", "/", "/v", "/v/", "/v/abc", "/v/abc/", "/v//master.m3u8", "/x/abc/master.m3u8", "v/abc/master.m3u8",
		"/v/ABC/master.m3u8", "/v/../master.m3u8", "/v/a.b/master.m3u8", "/v/abc/master.m3u8/", "/v/abc/Master.m3u8",
		"/v/abc/720p", "/v/abc/720p/", "/v/abc/720p/x/0.m4s", "/v/abc//0.m4s", "/v/abc/../0.m4s", "/v/abc/a.b/0.m4s",
		"/v/abc/720p/00.m4s", "/v/abc/720p/01.m4s", "/v/abc/720p/-1.m4s", "/v/abc/720p/+1.m4s", "/v/abc/720p/.m4s",
		"/v/abc/720p/12345678.m4s", "/v/abc/720p/0.mp4", "/v/abc/720p/iframe-.m4s", "/v/abc/720p/iframe-01.m4s", "/v/abc/iframes.m3u8", "/v/abc/720p/0", "/v/abc/source", "/v/abc/stills/poster.jpg",
		"/v/abc/storyboard-.jpg", "/v/abc/storyboard-01.jpg", "/v/abc/storyboard-1.png", "/v/abc/7.jpg", "/v/abc/720p/poster.jpg",
		"/s/to ken/master.m3u8", "/s/tok%2e/master.m3u8", "/s/" + strings.Repeat("a", maxToken+1) + "/master.m3u8",
		"/v/" + strings.Repeat("a", maxID+1) + "/master.m3u8", "/v/abc/" + strings.Repeat("r", maxRendition+1) + "/0.m4s",
	} {
		if got, ok := parse(path); ok {
			t.Errorf("parse(%q) = %+v", path, got)
		}
	}
}

// What is accepted is safe to use as parts of an object's key, and there is
// one way to write each address.
func FuzzParse(f *testing.F) {
	for _, path := range []string{"/v/abc/master.m3u8", "/s/t/720p/17.m4s", "/s/t/360p/iframe-0.m4s", "/v/a/storyboard-3.jpg", "/s/../x/0.m4s"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, ok := parse(path)
		if !ok {
			return
		}
		if path != "/"+string(got.scope)+"/"+got.owner+"/"+got.name {
			t.Errorf("%q was read as %+v", path, got)
		}
		if strings.Contains(got.name, "..") || strings.HasPrefix(got.name, "/") || strings.Count(got.name, "/") > 1 {
			t.Errorf("%q names %q", path, got.name)
		}
		if got.kind == kindOther || got.kind >= kinds || got.segment < 0 || strings.ContainsAny(got.rendition, "/.%\\") {
			t.Errorf("%q was read as %+v", path, got)
		}
	})
}

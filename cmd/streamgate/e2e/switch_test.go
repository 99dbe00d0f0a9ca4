package e2e

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

// switchProfiles is the default, and one that copies a source whose key frames
// are 10 s apart.
const switchProfiles = `
transcoder:
  profiles:
    default:
      preset: ultrafast
      rungs: &rungs
        - {name: 360p, height: 360, crf: 30, max_rate: 900000, buf_size: 1350000}
        - {name: 180p, height: 180, crf: 30, max_rate: 300000, buf_size: 450000}
    patient:
      preset: ultrafast
      copy_group_seconds: 12
      rungs: *rungs
`

// shownVideo is what testdata/players.js tells of a video in a player.
type shownVideo struct {
	Heights  []int
	Pictures int
	Wrong    []string
	Still    float64 // seconds
	Jump     float64
	Ranges   int
}

// TestSwitches changes the rendition in mid-play and back, between a copy and an
// encode and between two encodes: in three players, without a gap, a stall or a
// picture at a wrong time.
func TestSwitches(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(switchProfiles), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--config", config)
	often, seldom := numberedClip(t, "640x360", 24, 100), numberedClip(t, "640x360", 24, 250)
	type given struct {
		Name    string `json:"name"`
		HLS     string `json:"hls"`
		DASH    string `json:"dash"`
		Heights []int  `json:"heights"`
	}
	var videos []given
	for _, source := range []struct {
		name, file, profile string
		copied              bool
		target              uint // duration, seconds
	}{
		{"key frames 4 s apart, copied", often, "default", true, 4},
		{"key frames 10 s apart, copied", seldom, "patient", true, 10},
		{"key frames 10 s apart, encoded", seldom, "default", false, 4},
	} {
		p := n.push(source.file, "--public", "--profile", source.profile, "--wait", "ready")
		if copied := n.video(p.VideoID).Renditions[0].Copy; copied != source.copied {
			t.Errorf("%s: copied: %v", source.name, copied)
		}
		expectOneTimeline(t, source.name, p.HLSURL, source.target)
		videos = append(videos, given{source.name, p.HLSURL, p.DASHURL, []int{360, 180}})
	}

	b := openTab(t, playersPage(t, often, videos))
	all := eval[map[string]shownVideo](b, `await Promise.race([done, new Promise((late) => setTimeout(late, 60000))]); return seen`)
	plain := all["plain"]
	t.Logf("without a player a picture stood for %.3f s at most", plain.Still)
	delete(all, "plain")
	if len(all) != 3*len(videos) {
		t.Errorf("%d videos were shown, want %d", len(all), 3*len(videos))
	}
	for name, seen := range all {
		t.Run(name, func(t *testing.T) { seen.check(t, plain) })
	}
	b.expectQuiet()
}

// playersPage serves testdata/players.html with the players, and a film for it to
// play without one.
func playersPage(t *testing.T, plain string, videos any) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/lib/", http.StripPrefix("/lib/", http.FileServer(http.Dir("../../../assets/node_modules"))))
	mux.HandleFunc("/plain.mp4", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, plain) })
	mux.Handle("/", http.FileServer(http.Dir("testdata")))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	given, err := json.Marshal(map[string]any{"plain": "plain.mp4", "videos": videos})
	if err != nil {
		t.Fatal(err)
	}
	return server.URL + "/players.html?" + url.Values{"given": {string(given)}}.Encode()
}

// check compares what was shown with what should be, and its longest stall with
// that of a film that was played beside it without a player: the machine may be busy.
func (seen shownVideo) check(t *testing.T, plain shownVideo) {
	t.Logf("%d pictures, one stood for %.3f s, the largest jump is %.3f s", seen.Pictures, seen.Still, seen.Jump)
	if h := seen.Heights; len(h) != 3 || h[0] == h[1] || h[0] != h[2] {
		t.Errorf("the renditions shown are %v, want one, another and the first", h)
	}
	if wrong := len(seen.Wrong); wrong > 0 || seen.Pictures < 5 {
		t.Errorf("%d of %d pictures are at wrong times: %v", wrong, seen.Pictures, seen.Wrong[:min(5, wrong)])
	}
	if seen.Still > max(0.25, 2*plain.Still) || seen.Jump > 0.25 {
		t.Errorf("a picture stood for %.3f s, and %.3f s were jumped over", seen.Still, seen.Jump)
	}
	if seen.Ranges != 1 {
		t.Errorf("the buffer has %d ranges", seen.Ranges)
	}
}

// expectOneTimeline holds the playlists of a video against what native players
// change renditions by (RFC 8216 §6.2.4): the same target duration, the same
// borders, no discontinuity.
func expectOneTimeline(t *testing.T, name, master string, target uint) {
	t.Helper()
	base := strings.TrimSuffix(master, "master.m3u8")
	var first []float64
	for _, v := range readPlaylist[*m3u8.MasterPlaylist](t, master).Variants {
		if v.Iframe {
			continue
		}
		list := readPlaylist[*m3u8.MediaPlaylist](t, base+v.URI)
		if list.TargetDuration != target || !list.IndependentSegments() || list.DiscontinuitySeq != 0 {
			t.Errorf("%s: %s has the target duration %d, want %d", name, v.URI, list.TargetDuration, target)
		}
		var borders []float64
		for _, s := range list.GetAllSegments() {
			if s.Discontinuity || math.Round(s.Duration) > float64(target) {
				t.Errorf("%s: %s: segment of %f s, discontinuity %v", name, v.URI, s.Duration, s.Discontinuity)
			}
			borders = append(borders, s.Duration)
		}
		if first == nil {
			first = borders
		}
		if !slices.Equal(borders, first) {
			t.Errorf("%s: %s has segments of %v s, another rendition of %v", name, v.URI, borders, first)
		}
	}
	if len(first) < 3 {
		t.Errorf("%s: only the segments %v", name, first)
	}
}

// readPlaylist fetches a playlist of a kind.
func readPlaylist[List m3u8.Playlist](t *testing.T, url string) List {
	t.Helper()
	list, _, err := m3u8.DecodeFrom(bytes.NewReader(get(t, url)), true)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return list.(List)
}

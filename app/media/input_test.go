package media

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"streamgate/store"
)

// From a URL come the same cells as from a file, byte by byte, and ffmpeg is shut
// off from all but that port.
func TestEncodeFromURL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"clip.mp4", "clip.mkv"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := shoot(t, smallProfile(false), name, "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine -t 6 "+
				"-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -c:a aac -b:a 96k")
			f.tools.Confine = true
			want := f.encode(t, 2)
			file := f.source
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/octet-stream")
				http.ServeFile(w, r, file)
			}))
			defer srv.Close()
			f.source = srv.URL + "/secret"
			for rendition, cells := range f.encode(t, 2) {
				for i, cell := range cells {
					if !bytes.Equal(cell, want[rendition][i]) {
						t.Errorf("%s: cell %d differs", rendition, i)
					}
				}
			}
			poster := filepath.Join(t.TempDir(), "poster.jpg")
			if err := f.tools.Poster(t.Context(), f.source, &f.Plan, poster); err != nil {
				t.Error(err)
			}
			louder := smallProfile(false)
			louder.AudioBitRate = 64_000
			wantNames(t, f.edition(t, louder), "180p 90p audio-2")
		})
	}
}

// The demuxer is the plan's: what the address gives instead is not guessed.
func TestURLOfAnotherFormat(t *testing.T) {
	t.Parallel()
	f := shoot(t, smallProfile(false), "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25 -t 2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, f.source) }))
	defer srv.Close()
	f.Plan.Source.Format = "matroska"
	in := EncodeInput{Source: srv.URL, Plan: &f.Plan, Frames: f.Frames, From: 0, To: 1, Renditions: []string{"90p"}, Threads: 1}
	if err := f.tools.Encode(t.Context(), in, func(string, int, []byte) error { return nil }); err == nil {
		t.Error("an MP4 was read as the plan's Matroska")
	}
}

func TestInputOf(t *testing.T) {
	p := &store.Plan{Source: store.Source{Format: "mov"}}
	for source, want := range map[string]string{
		"/data/source":             "-protocol_whitelist file,pipe -format_whitelist " + Formats + " -i file:/data/source",
		"http://127.0.0.1:80/x":    "-protocol_whitelist http,tcp -format_whitelist " + Formats + " -f mov -i http://127.0.0.1:80/x",
		"http://example.org:80/x":  "-protocol_whitelist file,pipe -format_whitelist " + Formats + " -i file:http://example.org:80/x",
		"https://127.0.0.1:80/x":   "-protocol_whitelist file,pipe -format_whitelist " + Formats + " -i file:https://127.0.0.1:80/x",
		"concat:/etc/passwd|/data": "-protocol_whitelist file,pipe -format_whitelist " + Formats + " -i file:concat:/etc/passwd|/data",
	} {
		if got := strings.Join(inputOf(source, p), " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", source, got, want)
		}
	}
	policy := run{tools: testTools, path: "ffmpeg", args: inputOf("http://127.0.0.1:4711/x", p)}.policy()
	if policy.Connect != 4711 || len(policy.Read) != 0 {
		t.Errorf("policy %+v", policy)
	}
	if _, _, err := openSource(t.Context(), filepath.Join(t.TempDir(), "missing")); !os.IsNotExist(err) {
		t.Errorf("nothing is opened: %v", err)
	}
}

// A plan that is made from a URL is the one that is made from the file, of every kind
// of source, and its runs may reach no other port.
func TestPlanFromURL(t *testing.T) {
	t.Parallel()
	const both = "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine -t 6 -pix_fmt yuv420p "
	for _, tc := range []struct{ name, args string }{
		{"end.mp4", both + "-c:v libx264 -preset ultrafast -g 50 -c:a aac"},
		{"front.mp4", both + "-c:v libx264 -preset ultrafast -bf 2 -g 50 -c:a aac -movflags +faststart"},
		{"fragmented.mp4", both + "-c:v libx264 -preset ultrafast -g 50 -c:a aac -movflags frag_keyframe+empty_moov"},
		{"clip.mkv", both + "-c:v libx264 -preset ultrafast -g 50 -c:a aac"},
		{"clip.webm", both + "-c:v libvpx -deadline realtime -auto-alt-ref 1 -lag-in-frames 16 -b:v 300k -c:a libopus"},
		{"clip.ts", both + "-c:v libx264 -preset ultrafast -g 50 -c:a aac"},
		{"clip.avi", both + "-c:v mpeg4 -c:a libmp3lame"},
		{"clip.flv", both + "-c:v libx264 -preset ultrafast -c:a aac"},
		{"sound.m4a", "-f lavfi -i sine -t 6 -c:a aac"},
		{"sound.mp3", "-f lavfi -i sine -t 6 -c:a libmp3lame"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := clip(t, tc.name, tc.args)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/octet-stream")
				http.ServeFile(w, r, file)
			}))
			defer srv.Close()
			tools := testTools
			tools.Confine = true
			var plans [2]Planned
			for i, source := range []string{file, srv.URL + "/secret"} {
				in := PlanInput{VideoID: "v", Source: source, Dir: t.TempDir(), Profile: smallProfile(true)}
				var err error
				if plans[i], err = tools.Plan(t.Context(), in); err != nil {
					t.Fatal(err)
				}
			}
			want, got := plans[0], plans[1]
			if (want.Normal == "") != (got.Normal == "") {
				t.Errorf("normalised to %q and %q", want.Normal, got.Normal)
			}
			if !reflect.DeepEqual(want.Plan, got.Plan) || !reflect.DeepEqual(want.Frames, got.Frames) {
				t.Errorf("another plan from the URL:\n%+v\nfrom the file:\n%+v", got.Plan, want.Plan)
			}
			byName := func(a, b Cell) int { return cmp.Compare(a.Rendition, b.Rendition) } // they come side by side
			slices.SortFunc(want.Cells, byName)
			slices.SortFunc(got.Cells, byName)
			if !reflect.DeepEqual(want.Cells, got.Cells) {
				t.Errorf("%d other first cells than the %d from the file", len(got.Cells), len(want.Cells))
			}
		})
	}
}

// What cannot be read at its address is nobody's fault but the address's.
func TestPlanFromURLThatFails(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	in := PlanInput{VideoID: "v", Source: srv.URL + "/gone", Dir: t.TempDir(), Profile: smallProfile(true)}
	if _, err := testTools.Plan(t.Context(), in); err == nil || errors.As(err, new(Refusal)) {
		t.Errorf("planned what is not there: %v", err)
	}
}

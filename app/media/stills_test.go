package media

import (
	"bytes"
	"errors"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamgate/store"
)

func TestStills(t *testing.T) {
	t.Parallel()
	// Two seconds of black, then a film: its poster must not be black.
	path := clip(t, "a.mp4", "-f lavfi -i color=black:size=320x180:rate=25:duration=2 "+picture+
		" -filter_complex [0][1]concat "+x264+" -g 12 ROTATE")
	out, err := testTools.decide(t.Context(), PlanInput{VideoID: "v", Source: path, Dir: t.TempDir(), Profile: DefaultProfile()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	poster := filepath.Join(dir, "poster.jpg")
	if err := testTools.Poster(t.Context(), path, &out.Plan, poster); err != nil {
		t.Fatal(err)
	}
	if w, h := jpegSize(t, poster); w != 180 || h != 320 {
		t.Errorf("poster is %d × %d", w, h)
	}
	if dark, err := isDark(poster); err != nil || dark {
		t.Errorf("poster is dark (%v)", err)
	}

	sheets, vtt, err := testTools.Storyboard(t.Context(), path, &out.Plan, dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(sheets) != 1 || sheets[0] != "storyboard-0.jpg" {
		t.Fatalf("sheets %v", sheets)
	}
	if w, h := jpegSize(t, filepath.Join(dir, sheets[0])); w != 1600 || h != 284 {
		t.Errorf("sheet is %d × %d", w, h)
	}
	if n := bytes.Count(vtt, []byte("-->")); n != 8 {
		t.Errorf("%d cues for 8 seconds", n)
	}
}

func jpegSize(t *testing.T, path string) (width, height int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := jpeg.DecodeConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.Width, c.Height
}

func TestStillsOfSound(t *testing.T) {
	p := &store.Plan{Source: store.Source{VideoStream: -1}}
	_, _, err := testTools.Storyboard(t.Context(), "x", p, t.TempDir())
	if !errors.Is(err, ErrNoPicture) || !errors.Is(testTools.Poster(t.Context(), "x", p, "y"), ErrNoPicture) {
		t.Error("stills of a source without pictures")
	}
}

func TestBoard(t *testing.T) {
	plan := func(seconds float64) *store.Plan {
		return &store.Plan{Source: store.Source{Width: 1920, Height: 1080},
			Timeline: store.Timeline{Timescale: 1000, Bounds: []int64{0, int64(seconds * 1000)}}}
	}
	for _, tc := range []struct {
		seconds       float64
		tiles, sheets int
	}{{0.04, 1, 1}, {30, 30, 1}, {30.5, 31, 1}, {100, 100, 1}, {101, 101, 2}, {3600, 200, 2}, {86400, 200, 2}} {
		b := storyboardOf(plan(tc.seconds))
		if b.tiles != tc.tiles || b.sheets() != tc.sheets || b.height != 90 {
			t.Errorf("%g seconds: %+v on %d sheets", tc.seconds, b, b.sheets())
		}
	}
	got := string(storyboardOf(plan(101.25)).vtt())
	for _, want := range []string{
		"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nstoryboard-0.jpg#xywh=0,0,160,90\n",
		"\n00:00:11.000 --> 00:00:12.000\nstoryboard-0.jpg#xywh=160,90,160,90\n",
		"\n00:01:40.000 --> 00:01:41.000\nstoryboard-1.jpg#xywh=0,0,160,90\n",
		"\n00:01:41.000 --> 00:01:41.250\nstoryboard-1.jpg#xywh=160,0,160,90\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

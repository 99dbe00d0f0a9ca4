package media

import (
	"slices"
	"testing"
)

func TestLadder(t *testing.T) {
	for _, tc := range []struct {
		side   int
		copied bool
		want   []string
	}{
		{2160, false, []string{"1080p", "720p", "480p", "360p"}},
		{1080, false, []string{"1080p", "720p", "480p", "360p"}},
		{1080, true, []string{"720p", "480p", "360p"}},
		{1079, false, []string{"1079p", "720p", "480p", "360p"}},
		{800, false, []string{"720p", "480p", "360p"}},
		{576, false, []string{"576p", "480p", "360p"}},
		{480, true, []string{"360p"}},
		{432, true, nil},
		{360, false, []string{"360p"}},
		{240, false, []string{"240p"}},
		{240, true, nil},
		{2, false, []string{"2p"}},
	} {
		var got []string
		for _, r := range DefaultProfile().ladder(tc.side, tc.copied) {
			got = append(got, r.Name)
			if r.MaxRate <= 0 || r.BufSize <= 0 || r.Height > tc.side {
				t.Errorf("%d: rung %+v", tc.side, r)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("ladder(%d, %v) = %v, want %v", tc.side, tc.copied, got, tc.want)
		}
	}
}

func TestRungRendition(t *testing.T) {
	full := DefaultProfile().Rungs
	for _, tc := range []struct {
		rung          Rung
		width, height int
		fps           float64
		w, h, rate    int
	}{
		{full[0], 1920, 1080, 25, 1920, 1080, 5_500_000},
		{full[1], 1920, 1080, 60, 1280, 720, 4_500_000},
		{full[1], 1080, 1920, 30, 720, 1280, 3_000_000},
		{full[3], 2048, 858, 24, 860, 360, 900_000},
		{full[3].shrink(101), 303, 101, 30, 302, 100, 70_840},
		{full[3].shrink(2), 2, 2, 30, 16, 16, 64_000},
	} {
		r := tc.rung.rendition(tc.width, tc.height, tc.fps, "veryfast")
		if r.Width != tc.w || r.Height != tc.h || r.MaxRate != tc.rate {
			t.Errorf("%dx%d at %g: got %dx%d, %d bit/s; want %dx%d, %d",
				tc.width, tc.height, tc.fps, r.Width, r.Height, r.MaxRate, tc.w, tc.h, tc.rate)
		}
	}
}

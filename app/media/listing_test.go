package media

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestListingIsFFprobes compares the packets that are read from the tables of
// MP4 files with those that ffprobe lists: they are the same, or there are none.
// The usual files must be read from their tables.
func TestListingIsFFprobes(t *testing.T) {
	t.Parallel()
	const (
		picture = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=5 "
		sound   = "-f lavfi -i sine=440:sample_rate=48000:duration=5 "
		both    = picture + sound
		bframes = x264 + " -g 25 -bf 3 -x264-params b-adapt=0:b-pyramid=normal "
		plain   = x264 + " -g 25 -bf 0 "
		jumpy   = "-vf select='not(mod(n\\,3))+lt(mod(n\\,7)\\,3)' -fps_mode vfr "
	)
	for _, tc := range []struct{ name, file, args, again, want string }{
		{"B-frames and AAC", "a.mp4", both + bframes + "-c:a aac", "", "va"},
		{"no B-frames", "a.mp4", both + plain + "-c:a aac -ar 44100", "", "va"},
		{"moov first", "a.mp4", both + bframes + "-c:a aac -movflags +faststart", "", "va"},
		{"QuickTime", "a.mov", both + bframes + "-c:a aac", "", "va"},
		{"QuickTime without B-frames", "a.mov", both + plain + "-c:a aac -ac 1", "", "va"},
		{"3GP", "a.3gp", both + plain + "-c:a aac", "", "va"},
		{"negative offsets", "a.mp4", both + bframes + "-c:a aac -movflags +negative_cts_offsets", "", "va"},
		{"open groups", "a.mp4", picture + x264 + " -g 25 -bf 3 -x264-params b-adapt=0:open-gop=1", "", "v"},
		{"sound alone", "a.m4a", sound + "-c:a aac", "", "a"},
		{"two channels of sound at 44.1 kHz", "a.mp4", "-f lavfi -i aevalsrc=sin(t)|cos(t):s=44100:d=3.3 -c:a aac", "", "a"},
		{"HEVC", "a.mp4", both + "-c:v libx265 -preset ultrafast -x265-params log-level=error -c:a aac", "", "va"},
		{"HEVC in QuickTime", "a.mov", picture + "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=error:bframes=4", "", "v"},
		{"90 kHz", "a.mp4", both + bframes + "-c:a aac -video_track_timescale 90000", "", "va"},
		{"an odd time scale", "a.mp4", both + bframes + "-c:a aac -video_track_timescale 1717", "", "va"},
		{"29.97 pictures a second", "a.mp4", "-f lavfi -i testsrc2=size=128x72:rate=30000/1001:duration=5 " + sound + bframes + "-c:a aac", "", "va"},
		{"movie time scale of 90 kHz", "a.mp4", both + bframes + "-c:a aac -movie_timescale 90000", "", "va"},
		{"changing rate", "a.mp4", both + jumpy + plain + "-c:a aac", "", "va"},
		{"changing rate and B-frames", "a.mp4", picture + jumpy + bframes, "", "v"},
		{"sound late", "a.mp4", picture + "-itsoffset 0.7 " + sound + bframes + "-c:a aac", "", "va"},
		{"picture late", "a.mp4", "-itsoffset 0.52 " + picture + sound + bframes + "-c:a aac", "", "va"},
		{"picture late, without B-frames", "a.mp4", "-itsoffset 0.52 " + picture + sound + plain + "-c:a aac", "", "va"},
		{"sound early by a little", "a.mp4", "-itsoffset 0.013 " + picture + sound + plain + "-c:a aac", "", "va"},
		{"without edit lists", "a.mp4", both + bframes + "-c:a aac -use_editlist 0", "", "va"},
		{"picture ends early", "a.mp4", "-f lavfi -i testsrc2=size=128x72:rate=25:duration=1.5 " + sound + bframes + "-c:a aac", "", "va"},
		{"one picture", "a.mp4", picture + x264 + " -frames:v 1", "", "v"},
		{"two pictures", "a.mp4", picture + bframes + "-frames:v 2", "", "v"},
		{"a tenth of a second", "a.mp4", both + bframes + "-c:a aac -t 0.1", "", "va"},
		{"a still of 5 s", "a.mp4", "-f lavfi -i testsrc2=size=128x72:rate=0.2:duration=5 " + x264, "", "v"},
		{"many silent frames of one size", "a.mp4", "-f lavfi -i anullsrc=r=48000:cl=mono -t 3 -c:a aac", "", "a"},
		{"large chunks", "a.mp4", both + bframes + "-c:a aac -max_interleave_delta 0 -flags +global_header", "", "va"},
		{"three streams", "a.mp4", both + "-map 0 -map 1 -map 1 " + plain + "-c:a aac", "", "va"},
		{"a cover", "a.mp4", both + bframes + "-c:a aac", "-i SRC -f lavfi -i color=size=16x16:duration=0.04 -map 0 -map 1 -c copy -c:v:1 png -disposition:v:1 attached_pic", "va"},
		{"cut between key frames", "a.mp4", both + bframes + "-c:a aac", "-ss 1.3 -i SRC -c copy", "va"},
		{"cut at a key frame", "a.mp4", both + bframes + "-c:a aac", "-ss 2 -i SRC -t 2 -c copy", "va"},
		{"cut without B-frames", "a.mp4", both + plain + "-c:a aac", "-ss 1.3 -i SRC -t 2.1 -c copy", "va"},
		{"cut open groups", "a.mp4", both + x264 + " -g 25 -bf 3 -x264-params b-adapt=0:open-gop=1 -c:a aac", "-ss 2.5 -i SRC -c copy", "va"},
		{"cut QuickTime", "a.mov", both + bframes + "-c:a aac", "-ss 1.3 -i SRC -t 1.7 -c copy", "va"},
		{"cut sound", "a.m4a", sound + "-c:a aac", "-ss 1.111 -i SRC -t 2 -c copy", "a"},
		{"from Matroska", "a.mkv", both + bframes + "-c:a aac", "-i SRC -c copy OUT.mp4", "va"},
		{"from a transport stream", "a.ts", both + bframes + "-c:a aac", "-i SRC -c copy -bsf:a aac_adtstoasc OUT.mp4", "va"},
		{"from fragments", "a.mp4", both + bframes + "-c:a aac -movflags frag_keyframe+empty_moov", "-i SRC -c copy", "va"},
		{"Opus", "a.mp4", both + bframes + "-c:a libopus", "", "v"},
		{"MP3", "a.mp4", both + bframes + "-c:a libmp3lame", "", "v"},
		{"PCM", "a.mov", both + bframes + "-c:a pcm_s16le", "", "v"},
		{"fragmented", "a.mp4", both + bframes + "-c:a aac -movflags frag_keyframe+empty_moov", "", ""},
		{"MPEG-4", "a.mp4", picture + "-c:v mpeg4 -bf 2", "", ""},
		{"AV1", "a.mp4", "-f lavfi -i testsrc2=size=128x72:rate=25:duration=1 -c:v libsvtav1 -preset 12", "", ""},
		{"Matroska", "a.mkv", both + plain + "-c:a aac", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := clip(t, tc.file, tc.args)
			if tc.again != "" {
				again, out, named := strings.Cut(strings.Replace(tc.again, "SRC", path, 1), " OUT")
				if !named {
					out = filepath.Ext(tc.file)
				}
				path = clip(t, "again"+out, again)
			}
			got := compareListing(t, path)
			if got != tc.want {
				t.Errorf("%q are read from tables, want %q", got, tc.want)
			}
		})
	}
}

// TestListingOfFilms does so with films of other makers, where there are any.
func TestListingOfFilms(t *testing.T) {
	t.Parallel()
	films, _ := filepath.Glob("../../../shared/media/*.mp4")
	if more := os.Getenv("FILMS"); more != "" {
		list, _ := filepath.Glob(more)
		films = append(films, list...)
	}
	for _, film := range films {
		if got := compareListing(t, film); !strings.HasPrefix(got, "v") {
			t.Errorf("%s: %q are read from tables", film, got)
		}
	}
}

// compareListing tells which streams of a file are read from tables, "v" and
// "a", and fails where ffprobe lists other packets.
func compareListing(t *testing.T, path string) (taken string) {
	t.Helper()
	src, err := testTools.probe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l := openListing(t.Context(), path)
	defer l.close()
	for i, st := range []*stream{src.video, src.audio} {
		if st == nil {
			continue
		}
		got, err := l.list(st)
		if err != nil {
			t.Logf("%s: stream %d: %v", filepath.Base(path), st.index, err)
			continue
		}
		taken += "va"[i : i+1]
		want, err := testTools.packets(t.Context(), path, st)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffPackets(got.packets, want); diff != "" {
			t.Errorf("%s: stream %d: %s", path, st.index, diff)
		}
	}
	return taken
}

// TestKeyScanIsFFmpegs compares what is found out about key frames with what
// ffmpeg finds.
func TestKeyScanIsFFmpegs(t *testing.T) {
	t.Parallel()
	const small, large = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=3 ", "-f lavfi -i testsrc2=size=256x144:rate=25:duration=3 "
	one, other := clip(t, "a.ts", small+x264+" -g 25"), clip(t, "b.ts", large+x264+" -g 25")
	for _, tc := range []struct {
		name, args string
		want       keyScan
	}{
		{"closed groups", small + x264 + " -g 25 -bf 3", keyScan{3, true}},
		{"slices", small + x264 + " -g 10 -x264-params slices=4", keyScan{8, true}},
		{"open groups", small + x264 + " -g 25 -bf 3 -x264-params b-adapt=0:open-gop=1", keyScan{1, true}},
		{"intra refresh", small + x264 + " -g 25 -x264-params intra-refresh=1", keyScan{1, true}},
		{"parameter sets in the stream", "-i " + one + " -c copy", keyScan{3, true}},
		{"parameter sets that change", "-i concat:" + one + "|" + other + " -c copy", keyScan{6, false}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := clip(t, "a.mp4", tc.args)
			src, err := testTools.probe(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			l := openListing(t.Context(), path)
			defer l.close()
			list, err := l.list(src.video)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.scanKeys(t.Context(), src.video, list)
			if err != nil || got != tc.want {
				t.Errorf("read %+v, %v; want %+v", got, err, tc.want)
			}
			if got, err := testTools.scanKeys(t.Context(), path, src.video); err != nil || got != tc.want {
				t.Errorf("ffmpeg finds %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

// diffPackets is the first difference of two lists; "" if there is none.
func diffPackets(got, want []packet) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("packet %d of %d is %+v, ffprobe's %+v", i, len(want), got[i], want[i])
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("%d packets, ffprobe has %d", len(got), len(want))
	}
	return ""
}

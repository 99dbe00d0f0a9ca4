package media

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"streamgate/store"
)

// Sources of test clips: a moving picture with a frame counter, and a tone.
const (
	picture = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=6"
	tone    = "-f lavfi -i sine=440:sample_rate=48000:duration=6"
	x264    = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
)

// clip makes a file with ffmpeg; args are separated by spaces. ROTATE at the
// end turns the picture.
func clip(t *testing.T, name, args string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if first, turned := strings.CutSuffix(args, " ROTATE"); turned {
		args = "-i " + clip(t, name, first) + " -c copy -metadata:s:v rotate=90"
	}
	cmd := exec.Command("ffmpeg", append(strings.Fields("-v error -y "+args), path)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", args, err, out)
	}
	return path
}

// encodeOnly is the default profile without the stream copy.
func encodeOnly() Profile {
	p := DefaultProfile()
	p.Copy = false
	return p
}

// longGroups copies whatever a profile may copy.
func longGroups() Profile {
	p := DefaultProfile()
	p.CopyGroupSeconds = MaxCopyGroup
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, file, args string
		profile          Profile
		renditions       string
		frames           int
		seconds          float64 // within 0.1
		width, height    int
		normal           bool
		format           string
	}{
		{"copied", "a.mp4", picture + " " + tone + " " + x264 + " -g 25 -bf 2 -c:a aac -ac 2", DefaultProfile(),
			"source audio/copy", 150, 6, 320, 180, false, "mov"},
		{"encoded", "a.mp4", picture + " " + tone + " " + x264 + " -g 25 -bf 2 -c:a aac", encodeOnly(),
			"180p audio", 150, 6, 320, 180, false, "mov"},
		{"long group of pictures", "a.mp4", "-f lavfi -i testsrc2=size=160x90:rate=25:duration=14 " + x264 + " -g 999", DefaultProfile(),
			"90p", 350, 14, 160, 90, false, "mov"},
		{"key frames 5 s apart at 29.97", "a.mp4", "-f lavfi -i testsrc2=size=160x90:rate=30000/1001:duration=10 " + x264 + " -g 150 -sc_threshold 0", DefaultProfile(),
			"source", 300, 10, 160, 90, false, "mov"},
		{"one group of 6 s", "a.mp4", "-f lavfi -i testsrc2=size=160x90:rate=25:duration=14 " + x264 + " -g 999 -force_key_frames 2,4,10,12", DefaultProfile(),
			"90p", 350, 14, 160, 90, false, "mov"},
		{"one group of 6 s, allowed", "a.mp4", "-f lavfi -i testsrc2=size=160x90:rate=25:duration=14 " + x264 + " -g 999 -force_key_frames 2,4,10,12", longGroups(),
			"source", 350, 14, 160, 90, false, "mov"},
		{"open groups of pictures", "a.mkv", picture + " " + x264 + " -g 25 -bf 3 -x264-params open-gop=1:b-adapt=0", DefaultProfile(),
			"180p", 150, 6, 320, 180, false, "matroska"},
		{"copied from Matroska", "a.mkv", picture + " " + tone + " " + x264 + " -g 25 -bf 2 -metadata:s:a language=ger -c:a aac", DefaultProfile(),
			"source audio-de", 150, 6, 320, 180, false, "matroska"},
		{"variable rate", "a.mp4", picture + " -vf select='not(mod(n\\,3))+lt(mod(n\\,40)\\,20)' -fps_mode vfr " + x264 + " -bf 3", encodeOnly(),
			"180p", 103, 6, 320, 180, false, "mov"},
		{"rotated", "a.mp4", picture + " " + x264 + " ROTATE", DefaultProfile(),
			"180p", 150, 6, 180, 320, false, "mov"},
		{"wide pixels", "a.mp4", picture + " -vf setsar=2/1 " + x264, DefaultProfile(),
			"180p", 150, 6, 640, 180, false, "mov"},
		{"AVI", "a.avi", picture + " " + tone + " -c:v mpeg4 -bf 2 -c:a libmp3lame", DefaultProfile(),
			"180p audio", 150, 6, 320, 180, true, "matroska"},
		{"WebM", "a.webm", picture + " " + tone + " -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus", DefaultProfile(),
			"180p audio", 150, 6, 320, 180, false, "matroska"},
		{"transport stream that wraps", "a.ts", picture + " " + tone + " " + x264 + " -g 25 -c:a mp2 -metadata:s:a language=ger -output_ts_offset 95440 -muxdelay 0", encodeOnly(),
			"180p audio-de", 150, 6, 320, 180, true, "matroska"},
		{"Matroska that begins late", "a.mkv", picture + " " + tone + " " + x264 + " -g 25 -c:a aac -output_ts_offset 90000", DefaultProfile(),
			"source audio", 150, 6, 320, 180, false, "matroska"},
		{"Matroska whose picture begins late", "a.mkv", "-itsoffset 3 " + picture + " " + tone + " " + x264 + " -g 25 -c:a aac", DefaultProfile(),
			"source audio", 150, 6, 320, 180, false, "matroska"},
		{"cut by its edit list", "a.mp4", picture + " " + tone + " " + x264 + " -c:a aac -output_ts_offset -3 -avoid_negative_ts disabled", DefaultProfile(),
			"180p audio", 75, 3, 320, 180, false, "mov"},
		{"FLV", "a.flv", picture + " " + tone + " " + x264 + " -c:a libmp3lame -ar 44100", encodeOnly(),
			"180p audio", 150, 6, 320, 180, true, "matroska"},
		{"Ogg", "a.ogv", picture + " -c:v libtheora", DefaultProfile(), "180p", 150, 6, 320, 180, true, "matroska"},
		{"no sound", "a.mp4", picture + " " + x264 + " -g 50", DefaultProfile(), "source", 150, 6, 320, 180, false, "mov"},
		{"sound only", "a.m4a", tone + " -c:a aac", DefaultProfile(), "audio", 0, 6, 0, 0, false, "mov"},
		{"sound only, MP3", "a.mp3", tone + " -c:a libmp3lame", DefaultProfile(), "audio", 0, 6, 0, 0, true, "matroska"},
		{"cover art", "a.m4a", tone + " -f lavfi -i color=red:size=64x64:duration=0.04 -c:a aac -c:v mjpeg -disposition:v attached_pic -map 0 -map 1", DefaultProfile(),
			"audio", 0, 6, 0, 0, false, "mov"},
		{"one frame", "a.mp4", "-f lavfi -i testsrc2=size=64x64:rate=25:duration=0.04 " + x264, encodeOnly(), "64p", 1, 0.04, 64, 64, false, "mov"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out, err := testTools.decide(t.Context(), PlanInput{VideoID: "v", Source: clip(t, tc.file, tc.args), Dir: dir, Profile: tc.profile})
			if err != nil {
				t.Fatal(err)
			}
			checkPlan(t, &out)
			p := out.Plan
			var names []string
			for _, r := range p.Renditions {
				if r.Copy && r.Kind == store.KindAudio {
					r.Name += "/copy"
				}
				names = append(names, r.Name)
			}
			if got := strings.Join(names, " "); got != tc.renditions {
				t.Errorf("renditions %q, want %q", got, tc.renditions)
			}
			if len(out.Frames.PTS) != tc.frames {
				t.Errorf("%d frames, want %d", len(out.Frames.PTS), tc.frames)
			}
			if s := p.Timeline.Seconds(p.Timeline.Ticks()); s < tc.seconds-0.1 || s > tc.seconds+0.1 {
				t.Errorf("%g seconds, want %g", s, tc.seconds)
			}
			if p.Source.Width != tc.width || p.Source.Height != tc.height || p.Source.Format != tc.format {
				t.Errorf("source %+v", p.Source)
			}
			if (out.Normal != "") != tc.normal || tc.normal != (p.Source.Object == store.NormalKey("v")) {
				t.Errorf("normalised copy %q, object %q", out.Normal, p.Source.Object)
			}
		})
	}
}

// checkPlan holds what every plan guarantees.
func checkPlan(t *testing.T, out *Planned) {
	t.Helper()
	p := &out.Plan
	checkTimeline(t, &p.Timeline, out.Frames)
	for _, r := range p.Renditions {
		if r.Bandwidth < r.AverageBandwidth || r.AverageBandwidth <= 0 || r.Timescale == 0 || r.Delay < 0 {
			t.Errorf("rendition %s: bandwidth %d, average %d, timescale %d, delay %d", r.Name, r.Bandwidth, r.AverageBandwidth, r.Timescale, r.Delay)
		}
		if r.Kind == store.KindVideo {
			if r.Width > p.Source.Width || r.Height > p.Source.Height || r.Width%2+r.Height%2 != 0 {
				t.Errorf("rendition %s: %dx%d of %dx%d", r.Name, r.Width, r.Height, p.Source.Width, p.Source.Height)
			}
			continue
		}
		if v := &p.Renditions[0]; v.Kind == store.KindVideo && r.Delay != rescale(v.Delay, v.Timescale, r.Timescale) ||
			v.Kind == store.KindAudio && r.Delay != 0 {
			t.Errorf("%s has the delay %d/%d, %s %d/%d", r.Name, r.Delay, r.Timescale, v.Name, v.Delay, v.Timescale)
		}
		if len(r.Bounds) != len(p.Timeline.Bounds) || r.Bounds[0] != 0 || !ascends(r.Bounds) {
			t.Errorf("bounds of %s: %v for %v", r.Name, r.Bounds, p.Timeline.Bounds)
		}
		end, want := float64(r.Bounds[len(r.Bounds)-1])/float64(r.Timescale), p.Timeline.Seconds(p.Timeline.Ticks())
		frame := float64(aacFrame) / float64(r.Timescale)
		if end > want+frame || !r.Copy && end < want-1e-6 || end < want-frame {
			t.Errorf("%s ends at %g, the timeline at %g", r.Name, end, want)
		}
	}
}

// checkTimeline holds what every timeline guarantees.
func checkTimeline(t *testing.T, tl *store.Timeline, f Frames) {
	t.Helper()
	if tl.Segments() < 1 || tl.Bounds[0] != 0 || !ascends(tl.Bounds) || tl.Timescale == 0 {
		t.Fatalf("timeline %+v", tl)
	}
	if len(f.PTS) == 0 {
		return
	}
	if len(tl.Frames) != len(tl.Bounds) || tl.Frames[0] != 0 || tl.Frames[len(tl.Frames)-1] != len(f.PTS) || tl.Ticks() != f.End {
		t.Fatalf("timeline %+v with %d frames until %d", tl, len(f.PTS), f.End)
	}
	for i := range tl.Segments() {
		if tl.Frames[i] >= tl.Frames[i+1] || tl.Bounds[i] != f.PTS[tl.Frames[i]] {
			t.Fatalf("segment %d begins with frame %d at %d", i, tl.Frames[i], tl.Bounds[i])
		}
	}
	if !ascends(f.PTS) || f.PTS[0] != 0 || f.End <= f.PTS[len(f.PTS)-1] {
		t.Fatal("frames do not ascend")
	}
}

// ascends tells whether each number is larger than the one before.
func ascends(v []int64) bool {
	return slices.IsSorted(v) && len(slices.Compact(slices.Clone(v))) == len(v)
}

// TestDecideClips plans the two shared clips, where they are present.
func TestDecideClips(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		frames     int
		segments   int
		renditions int
	}{
		{"bbb480.mp4", 720, 9, 3},
		{"car-detection.mp4", 377, 7, 2},
	} {
		path := filepath.Join("..", "..", "..", "shared", "media", tc.name)
		if _, err := os.Stat(path); err != nil {
			continue // a checkout without the clips
		}
		out, err := testTools.decide(t.Context(), PlanInput{VideoID: "v", Source: path, Dir: t.TempDir(), Profile: DefaultProfile()})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		checkPlan(t, &out)
		if len(out.Frames.PTS) != tc.frames || out.Plan.Timeline.Segments() != tc.segments || len(out.Plan.Renditions) != tc.renditions {
			t.Errorf("%s: %d frames, %+v, %d renditions", tc.name, len(out.Frames.PTS), out.Plan.Timeline, len(out.Plan.Renditions))
		}
	}
}

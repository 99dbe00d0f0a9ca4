package media

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestIndexIsWhatDecodes compares the frames of the index, which decodes
// nothing, with those that a decoder makes of the same file.
func TestIndexIsWhatDecodes(t *testing.T) {
	t.Parallel()
	const picture = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=5"
	const bframes = x264 + " -g 25 -bf 3 -x264-params b-adapt=0:b-pyramid=normal"
	for _, tc := range []struct{ name, file, args, again string }{
		{"B-frames", "a.mp4", picture + " " + bframes, ""},
		{"edit list", "a.mp4", picture + " " + bframes, "-ss 1.3 -i SRC -c copy"},
		{"fragmented", "a.mp4", picture + " " + bframes + " -movflags frag_keyframe+empty_moov", ""},
		{"open groups", "a.mp4", picture + " " + bframes + ":open-gop=1", ""},
		{"open groups cut", "a.mkv", picture + " " + bframes + ":open-gop=1", "-ss 2.5 -i SRC -c copy"},
		{"stream cut between key frames", "a.ts", picture + " " + bframes, "-i SRC -c copy -bsf:v noise=drop=lt(n\\,7)"},
		{"open groups in a stream, cut", "a.ts", picture + " " + bframes + ":open-gop=1", "-i SRC -c copy -bsf:v noise=drop=lt(n\\,30)"},
		{"interlaced", "a.ts", picture + " -vf interlace " + bframes + ":tff=1", ""},
		{"MPEG-2 program stream", "a.mpg", picture + " -c:v mpeg2video -bf 2 -b:v 2M", ""},
		{"MPEG-2 interlaced", "a.ts", picture + " -c:v mpeg2video -flags +ildct+ilme -bf 2 -b:v 2M", ""},
		{"MPEG-4 in AVI", "a.avi", picture + " -c:v mpeg4 -bf 2", ""},
		{"H.264 in AVI", "a.avi", picture + " " + x264 + " -g 25 -bf 0", ""},
		{"WMV", "a.asf", picture + " -c:v wmv2", ""},
		{"VP8 with hidden frames", "a.webm", picture + " -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -b:v 200k -deadline good -cpu-used 8", ""},
		{"VP9 with hidden frames", "a.webm", picture + " -c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -b:v 200k -deadline good -cpu-used 8", ""},
		{"HEVC", "a.mp4", picture + " -c:v libx265 -preset ultrafast -x265-params log-level=error", ""},
		{"AV1", "a.mp4", "-f lavfi -i testsrc2=size=128x72:rate=25:duration=2 -c:v libsvtav1 -preset 12", ""},
		{"MJPEG", "a.mov", picture + " -c:v mjpeg -pix_fmt yuvj420p", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := clip(t, tc.file, tc.args)
			if strings.Contains(tc.args, "libvpx ") { // only a second pass makes hidden frames
				stats := filepath.Join(t.TempDir(), "stats")
				clip(t, tc.file, tc.args+" -pass 1 -passlogfile "+stats)
				path = clip(t, tc.file, tc.args+" -pass 2 -passlogfile "+stats)
			}
			if tc.again != "" {
				path = clip(t, tc.file, strings.Replace(tc.again, "SRC", path, 1))
			}
			out, err := testTools.decide(t.Context(), PlanInput{VideoID: "v", Source: path, Dir: t.TempDir(), Profile: encodeOnly()})
			if err != nil {
				t.Fatal(err)
			}
			if out.Normal != "" {
				path = out.Normal
			}
			var want []int64
			for _, pts := range decodedPTS(t, path) {
				if pts >= out.Plan.Source.Start { // Encode seeks to there
					want = append(want, pts-out.Plan.Source.Start)
				}
			}
			if !slices.Equal(out.Frames.PTS, want) {
				t.Errorf("index has %d frames, the decoder %d\n%v\n%v", len(out.Frames.PTS), len(want), out.Frames.PTS, want)
			}
		})
	}
}

// decodedPTS are the times of the frames that ffmpeg decodes.
func decodedPTS(t *testing.T, path string) (list []int64) {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-v", "quiet", "-copyts", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough",
		"-enc_time_base", "-1", "-c:v", "rawvideo", "-f", "framecrc", "-")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		fields := strings.Split(string(line), ",")
		if len(fields) < 6 || fields[0][0] == '#' {
			continue
		}
		pts, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, pts)
	}
	return list
}

func TestParsePacket(t *testing.T) {
	for _, tc := range []struct {
		line string
		num  int64
		want packet
		ok   bool
	}{
		{"1536,512,19686,K_", 1, packet{pts: 1536, duration: 512, size: 19686, key: true}, true},
		{"-1024,1024,7,KD,", 2, packet{pts: -2048, duration: 2048, size: 7, key: true, discard: true}, true},
		{"N/A,N/A,7,__", 1, packet{pts: missing, size: 7}, true},
		{"99999999999999999,1,7,__", 1, packet{pts: missing, duration: 1, size: 7}, true},
		{"1,1,-7,__", 1, packet{}, false},
		{"", 1, packet{}, false},
		{"1,2,3", 1, packet{}, false},
		{",,,", 1, packet{}, false},
	} {
		if got, ok := parsePacket([]byte(tc.line), tc.num); got != tc.want || ok != tc.ok {
			t.Errorf("%q: %+v, %v", tc.line, got, ok)
		}
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add("1536,512,19686,K_", int64(1))
	f.Add("N/A,-9223372036854775808,0,KD,", int64(1<<40))
	f.Fuzz(func(t *testing.T, line string, num int64) {
		p, ok := parsePacket([]byte(line), num)
		if ok && (p.size < 0 || p.duration < 0 || p.pts != missing && (p.pts > maxPTS || p.pts < -maxPTS)) {
			t.Errorf("%q: %+v", line, p)
		}
	})
}

func TestLineWriter(t *testing.T) {
	var got []string
	w := &lineWriter{line: func(b []byte) error { got = append(got, string(b)); return nil }}
	for _, part := range []string{"a", "b\nc\r\n", "", "\nd", "\ne"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := []string{"ab", "c", "", "d"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	if _, err := w.Write(make([]byte, maxLine+1)); !errors.Is(err, errTooMuch) {
		t.Errorf("a line without end: %v", err)
	}
}

func FuzzReadIVF(f *testing.F) {
	frame := "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	f.Add([]byte(strings.Repeat("h", 32) + frame + "\x10x" + frame + "\x00x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if hidden, err := readIVF(bytes.NewReader(b)); err == nil && len(hidden) > len(b)/12 {
			t.Errorf("%d frames in %d bytes", len(hidden), len(b))
		}
	})
}

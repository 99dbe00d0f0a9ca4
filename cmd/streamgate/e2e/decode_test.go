package e2e

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"
)

// TestEveryFrameArrives compares what players are given with the source: every
// frame, at its time, in HLS and in DASH, and no complaint from the decoder.
func TestEveryFrameArrives(t *testing.T) {
	n := startNode(t)
	constant := testPicture + testTone + x264 + "-bf 3 -g 48 -c:a aac -t 9"
	variable := testPicture + testTone + "-vf select='not(mod(n\\,3))+gt(mod(n\\,7)\\,4)' -fps_mode vfr " + x264 + "-bf 3 -g 30 -c:a aac -t 9"
	tests := map[string]string{
		"constant rate, copied":   ffmpeg(t, "c.mp4", constant),
		"constant rate, encoded":  ffmpeg(t, "c.mkv", strings.Replace(constant, x264, "-c:v mpeg4 -q:v 4 ", 1)),
		"variable rate, copied":   ffmpeg(t, "v.mp4", variable),
		"variable rate, encoded":  ffmpeg(t, "v.mp4", strings.Replace(variable, x264, x264+"-flags -cgop ", 1)+" -x264-params open-gop=1"),
		"short sound":             ffmpeg(t, "s.mp4", testPicture+"-f lavfi -i sine=duration=5 "+x264+"-g 48 -c:a aac -t 9"),
		"1001 time base, encoded": ffmpeg(t, "n.mp4", "-f lavfi -i testsrc2=size=640x360:rate=30000/1001:duration=9 "+x264+"-pix_fmt yuv422p -bf 2"),
		"real: Big Buck Bunny":    realClip(t, "bbb480.mp4"),
	}
	for name, file := range tests {
		if file == "" {
			continue // the real clip is not at hand; the made clips stand in
		}
		t.Run(name, func(t *testing.T) {
			n := &node{t: t, data: n.data}
			p := n.push(file, "--public", "--wait", "ready")
			v := n.video(p.VideoID)
			want := sourceTimes(t, file)
			base := strings.TrimSuffix(p.HLSURL, "master.m3u8")
			sound := slices.ContainsFunc(v.Renditions, func(r struct {
				Name string `json:"name"`
				Kind string `json:"kind"`
				Copy bool   `json:"copy"`
			}) bool {
				return r.Kind == "audio"
			})
			for i, r := range v.Renditions {
				if r.Kind != "video" {
					continue
				}
				got := cellTimes(t, base, r.Name, r.Copy)
				compareTimes(t, r.Name, got, want)
				for kind, url := range map[string]string{"HLS": p.HLSURL, "DASH": p.DASHURL} {
					expectDecodes(t, kind+" "+r.Name, url, i, sound, want)
				}
			}
		})
	}
}

// sourceTimes are the presentation times of the source's frames, seconds from
// the first.
func sourceTimes(t *testing.T, file string) []float64 {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var times []float64
	for _, line := range strings.Fields(string(out)) {
		at, err := strconv.ParseFloat(strings.TrimRight(line, ","), 64)
		if err != nil {
			t.Fatalf("ffprobe printed %q", line)
		}
		times = append(times, at)
	}
	for i := len(times) - 1; i >= 0; i-- {
		times[i] -= times[0]
	}
	return times
}

// cellTimes reads the cells of a rendition box by box and returns each
// sample's presentation time, sorted, seconds. It checks that cells follow
// each other without a gap and begin with a sync sample, and that others come
// no closer than the I-frame playlist wants them.
func cellTimes(t *testing.T, base, rendition string, copied bool) []float64 {
	t.Helper()
	init := decode(t, get(t, base+rendition+"/init.mp4"))
	track := init.Moov.Trak
	timescale := float64(track.Mdia.Mdhd.Timescale)
	delay := int64(0)
	if track.Edts != nil {
		delay = track.Edts.Elst[0].Entries[0].MediaTime
	}
	playlist := string(get(t, base+rendition+"/index.m3u8"))
	var times []float64
	next := int64(0)
	for i := range strings.Count(playlist, "#EXTINF") {
		cell := decode(t, get(t, fmt.Sprintf("%s%s/%d.m4s", base, rendition, i)))
		moof := cell.Segments[0].Fragments[0].Moof
		moof.Traf.Trun.AddSampleDefaultValues(moof.Traf.Tfhd, init.Moov.Mvex.Trex)
		at := int64(moof.Traf.Tfdt.BaseMediaDecodeTime())
		if at != next {
			t.Errorf("%s/%d begins at %d, the one before ends at %d", rendition, i, at, next)
		}
		synced := at
		for s, sample := range moof.Traf.Trun.Samples {
			if s == 0 && !sample.IsSync() || s > 0 && sample.IsSync() && !copied && float64(at-synced) < timescale { // a copy may have more key frames
				t.Errorf("%s/%d: sample %d is a sync sample: %v", rendition, i, s, sample.IsSync())
			}
			if sample.IsSync() {
				synced = at
			}
			if sample.CompositionTimeOffset < 0 {
				t.Errorf("%s/%d: sample %d has a negative offset", rendition, i, s)
			}
			times = append(times, float64(at+int64(sample.CompositionTimeOffset)-delay)/timescale)
			at += int64(sample.Dur)
		}
		next = at
	}
	slices.Sort(times)
	return times
}

func decode(t *testing.T, data []byte) *mp4.File {
	t.Helper()
	f, err := mp4.DecodeFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func compareTimes(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d frames, the source %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 2e-6 { // ffprobe prints microseconds
			t.Fatalf("%s: frame %d is shown at %.6f s, in the source at %.6f s", what, i, got[i], want[i])
		}
	}
}

// expectDecodes lets ffmpeg play one rendition, with the sound, to the end.
func expectDecodes(t *testing.T, what, url string, stream int, sound bool, want []float64) {
	t.Helper()
	args := []string{"-nostdin", "-hide_banner", "-v", "warning", "-copyts", "-i", url, "-map", fmt.Sprintf("0:v:%d", stream)}
	if sound {
		args = append(args, "-map", "0:a:0")
	}
	cmd := exec.Command("ffmpeg", append(args, "-fps_mode", "passthrough", "-enc_time_base", "1:1000000", "-f", "framecrc", "-")...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("%s: ffmpeg says\n%s", what, lastLines(stderr.String(), 8))
	}
	spans := frameSpans(t, stdout.String())
	if got := spans[0].frames; got != len(want) {
		t.Errorf("%s: ffmpeg sees %d frames, the source has %d", what, got, len(want))
	}
	if !sound {
		return
	}
	frame := want[len(want)-1] - want[len(want)-2]
	if d := math.Abs(spans[0].start - spans[1].start); d > 0.030 {
		t.Errorf("%s: picture and sound begin %.3f s apart", what, d)
	}
	if d := math.Abs(spans[0].end - spans[1].end); d > max(frame, 1024.0/44100)+0.002 {
		t.Errorf("%s: picture ends at %.3f s, sound at %.3f s", what, spans[0].end, spans[1].end)
	}
}

type frameSpan struct {
	frames     int
	start, end float64 // seconds
}

// frameSpans reads ffmpeg's framecrc: "#tb 0: 1/1000000", then lines of
// stream, dts, pts, duration, size, crc.
func frameSpans(t *testing.T, text string) [2]frameSpan {
	t.Helper()
	var spans [2]frameSpan
	var base [2]float64
	lines := csv.NewReader(strings.NewReader(text))
	lines.FieldsPerRecord, lines.TrimLeadingSpace = -1, true
	records, err := lines.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		var s, num, den int
		if _, err := fmt.Sscanf(r[0], "#tb %d: %d/%d", &s, &num, &den); err == nil {
			base[s] = float64(num) / float64(den)
		}
		if strings.HasPrefix(r[0], "#") || len(r) < 6 {
			continue
		}
		s, _ = strconv.Atoi(r[0])
		pts, _ := strconv.ParseFloat(r[2], 64)
		length, _ := strconv.ParseFloat(r[3], 64)
		if spans[s].frames == 0 {
			spans[s].start = pts * base[s]
		}
		spans[s].frames++
		spans[s].end = (pts + length) * base[s]
	}
	return spans
}

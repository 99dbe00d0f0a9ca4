package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"streamgate/store"
)

// film is a made clip, planned.
type film struct {
	Planned
	tools  Tools
	source string
}

// shoot makes a clip with ffmpeg and plans it.
func shoot(t *testing.T, profile Profile, name, args string) film {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	list := append([]string{"-v", "error", "-nostdin", "-y"}, strings.Fields(args)...)
	if out, err := exec.Command("ffmpeg", append(list, path)...).CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", name, err, out)
	}
	return planFilm(t, profile, path)
}

// planFilm plans a source.
func planFilm(t *testing.T, profile Profile, path string) film {
	t.Helper()
	f := film{tools: testTools, source: path}
	var err error
	f.Planned, err = f.tools.Plan(t.Context(), PlanInput{VideoID: "v", Source: path, Dir: t.TempDir(), Profile: profile})
	if err != nil {
		t.Fatalf("plan %s: %v", filepath.Base(path), err)
	}
	if f.Normal != "" {
		f.source = f.Normal
	}
	return f
}

// smallProfile makes two small renditions, fast, of short segments.
func smallProfile(copied bool) Profile {
	return Profile{
		Rungs: []Rung{
			{Name: "180p", Height: 180, CRF: 28, MaxRate: 800_000, BufSize: 1_200_000},
			{Name: "90p", Height: 90, CRF: 28, MaxRate: 300_000, BufSize: 450_000},
		},
		Preset: "veryfast", SegmentSeconds: 1.5, FirstSegmentSeconds: 1, Copy: copied, CopyGroupSeconds: 5, AudioBitRate: 96_000,
	}
}

// cells are a rendition's cells by segment.
type cells map[string][][]byte

// encode makes all cells of the named renditions (of all, if none is named),
// chunk segments at a time.
func (f *film) encode(t *testing.T, chunk int, only ...string) cells {
	t.Helper()
	got := cells{}
	var mu sync.Mutex
	n := f.Plan.Timeline.Segments()
	for _, r := range f.Plan.Renditions {
		got[r.Name] = make([][]byte, n)
	}
	for _, names := range families(&f.Plan) {
		if len(only) > 0 {
			names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(only, name) })
		}
		for from := 0; from < n && len(names) > 0; from += chunk {
			in := EncodeInput{
				Source: f.source, Plan: &f.Plan, Frames: f.Frames,
				From: from, To: min(n, from+chunk), Renditions: names, Threads: 1,
			}
			next := map[string]int{}
			err := f.tools.Encode(t.Context(), in, func(rendition string, segment int, cell []byte) error {
				mu.Lock()
				defer mu.Unlock()
				if segment != from+next[rendition] {
					t.Errorf("%s: segment %d came as number %d from %d", rendition, segment, next[rendition], from)
				}
				next[rendition]++
				got[rendition][segment] = cell
				return nil
			})
			if err != nil {
				t.Fatalf("encode %v from %d: %v", names, from, err)
			}
			for _, name := range names {
				if next[name] != in.To-in.From {
					t.Fatalf("%s: %d cells of %d", name, next[name], in.To-in.From)
				}
			}
		}
	}
	return got
}

// check reads every cell box by box and compares its samples' times with the
// plan.
func (f *film) check(t *testing.T, got cells) {
	t.Helper()
	for _, r := range f.Plan.Renditions {
		for i, cell := range got[r.Name] {
			f.checkCell(t, &r, i, readCell(t, cell))
		}
	}
}

func readCell(t *testing.T, cell []byte) *fragment {
	t.Helper()
	var fr fragment
	if err := newFragmentReader(bytes.NewReader(cell)).next(&fr); err != nil {
		t.Fatal(err)
	}
	return &fr
}

func (f *film) checkCell(t *testing.T, r *store.Rendition, i int, fr *fragment) {
	t.Helper()
	bounds, want := bounds(&f.Plan, r), []int64(nil)
	if r.Kind == store.KindVideo {
		frames := f.Plan.Timeline.Frames
		want = f.Frames.PTS[frames[i]:frames[i+1]]
	} else {
		for at := bounds[i]; at < bounds[i+1]; at += aacFrame {
			want = append(want, at)
		}
	}
	var pts []int64
	at := fr.start
	for k, s := range fr.samples {
		key := k == 0 || r.Kind == store.KindAudio ||
			slices.Contains(r.IFrames, at)
		if s.offset < 0 || s.sync != key && !r.Copy {
			t.Errorf("%s %d: sample %d: %+v", r.Name, i, k, s)
		}
		pts = append(pts, at+int64(s.offset)-r.Delay)
		at += int64(s.duration)
	}
	slices.Sort(pts)
	if fr.start != bounds[i] || at != bounds[i+1] {
		t.Errorf("%s %d: it spans [%d, %d), not [%d, %d)", r.Name, i, fr.start, at, bounds[i], bounds[i+1])
	}
	if !slices.Equal(pts, want) {
		t.Errorf("%s %d: times\n%v, want\n%v", r.Name, i, pts, want)
	}
	if fr.sequence != uint32(i+1) {
		t.Errorf("%s %d: sequence %d", r.Name, i, fr.sequence)
	}
}

// checkDecode has ffmpeg decode the best rendition, whole and a cell alone:
// without a complaint, and every frame.
func (f *film) checkDecode(t *testing.T, got cells) {
	t.Helper()
	r := &f.Plan.Renditions[0]
	if n := decodedFrames(t, r.Init, got[r.Name]...); n != len(f.Frames.PTS) {
		t.Errorf("%s: %d frames decoded of %d", r.Name, n, len(f.Frames.PTS))
	}
	cell := got[r.Name][len(got[r.Name])-1]
	if n := decodedFrames(t, r.Init, cell); n != len(readCell(t, cell).samples) {
		t.Errorf("%s: the last cell alone: %d frames decoded", r.Name, n)
	}
	key, err := IFrameCell(got[r.Name][0], 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := decodedFrames(t, r.Init, key); n != 1 {
		t.Errorf("%s: %d key frames decoded", r.Name, n)
	}
}

// decode has ffmpeg decode an init and cells, and fails if it complains.
func decode(t *testing.T, args []string, init []byte, cells ...[]byte) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-v", "warning", "-i", "-"}, args...)...)
	cmd.Stdin = bytes.NewReader(slices.Concat(init, bytes.Join(cells, nil)))
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("decode: %v\n%s", err, complaints.String())
	}
	return out.Bytes()
}

func decodedFrames(t *testing.T, init []byte, cells ...[]byte) int {
	t.Helper()
	args := strings.Fields("-fps_mode passthrough -copyts -f framecrc -")
	lines := strings.Split(strings.TrimSpace(string(decode(t, args, init, cells...))), "\n")
	return len(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "#") }))
}

// TestEncodeKeepsTime compares every sample's time, over containers, rates and
// chunkings.
func TestEncodeKeepsTime(t *testing.T) {
	const (
		ntsc    = "-f lavfi -i testsrc2=s=320x180:r=30000/1001:d=3.7"
		x264    = " -c:v libx264 -preset veryfast -bf 3 -g 50"
		uneven  = " -vf select='not(mod(n,3))+gt(mod(n,7),4)+lt(mod(n,40),11)' -fps_mode vfr"
		sound   = " -f lavfi -i sine=440:r=44100:d=3 -c:a aac"
		unevenx = uneven + x264
	)
	for name, c := range map[string]struct {
		file, args string
		copied     bool
	}{
		"mp4":                 {file: "a.mp4", args: ntsc + sound + x264},
		"mp4 late video":      {file: "a.mp4", args: "-itsoffset 0.5 " + ntsc + sound + x264},
		"mp4 uneven":          {file: "a.mp4", args: ntsc + unevenx},
		"mkv":                 {file: "a.mkv", args: ntsc + sound + x264},
		"mkv uneven":          {file: "a.mkv", args: ntsc + unevenx},
		"webm":                {file: "a.webm", args: ntsc + " -c:v libvpx -deadline realtime -g 70"},
		"ts":                  {file: "a.ts", args: ntsc + sound + x264},
		"odd size":            {file: "a.mkv", args: "-f lavfi -i testsrc2=s=333x187:r=25:d=3 -pix_fmt yuv444p" + x264},
		"slow":                {file: "a.mp4", args: "-f lavfi -i testsrc2=s=320x180:r=1:d=6" + x264},
		"copy":                {file: "a.mp4", args: "-f lavfi -i testsrc2=s=640x360:r=30000/1001:d=4 -f lavfi -i sine=440:r=44100:d=5 -c:a aac" + x264 + " -flags +cgop", copied: true},
		"copy of long groups": {file: "a.mp4", args: "-f lavfi -i testsrc2=s=640x360:r=30000/1001:d=9 -f lavfi -i sine=440:r=48000:d=9 -c:a aac" + x264 + " -g 1000 -sc_threshold 0 -force_key_frames 4.9", copied: true},
		"copy uneven":         {file: "a.mkv", args: "-f lavfi -i testsrc2=s=640x360:r=30:d=4" + unevenx, copied: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := shoot(t, smallProfile(c.copied), c.file, c.args)
			for _, r := range f.Plan.Renditions {
				if r.Copy != (c.copied && !strings.HasSuffix(r.Name, "0p")) {
					t.Fatalf("%s copied: %v", r.Name, r.Copy)
				}
			}
			whole := f.encode(t, f.Plan.Timeline.Segments())
			f.check(t, whole)
			parts := f.encode(t, 1)
			f.check(t, parts)
			f.checkDecode(t, parts)
		})
	}
}

// TestEncodeRotated tells by its size that a turned source was turned.
func TestEncodeRotated(t *testing.T) {
	flat := filepath.Join(t.TempDir(), "flat.mp4")
	out, err := exec.Command("ffmpeg", strings.Fields("-v error -f lavfi -i testsrc2=s=320x180:r=25:d=2 "+flat)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f := shoot(t, smallProfile(true), "turned.mp4", "-i "+flat+" -c copy -metadata:s:v rotate=90")
	r := f.Plan.Renditions[0]
	if r.Copy || r.Width >= r.Height {
		t.Fatalf("%+v", r)
	}
	f.check(t, f.encode(t, 1))
}

// TestEncodeEmitsEarly has the first cells before the run's end: ffmpeg cannot
// have ended while a rendition's second cell is awaited.
func TestEncodeEmitsEarly(t *testing.T) {
	f := shoot(t, smallProfile(false), "a.mp4", "-f lavfi -i testsrc2=s=320x180:r=30:d=20 -c:v libx264 -preset ultrafast")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in := EncodeInput{
		Source: f.source, Plan: &f.Plan, Frames: f.Frames,
		To: f.Plan.Timeline.Segments(), Renditions: []string{"180p"},
	}
	args := ffmpegOf(t, &in)
	first := true
	err := f.tools.Encode(ctx, in, func(_ string, segment int, _ []byte) error {
		if first {
			if n := len(processes(t, args)); n != 1 {
				t.Errorf("%d ffmpeg run as the first cell comes", n)
			}
			cancel()
		}
		first = false
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if n := len(processes(t, args)); n != 0 {
		t.Fatalf("%d ffmpeg outlive their context", n)
	}
}

// TestEncodeStopsOnEmitError has the emitter's error back, whatever it is.
func TestEncodeStopsOnEmitError(t *testing.T) {
	f := shoot(t, smallProfile(false), "a.mp4", "-f lavfi -i testsrc2=s=320x180:r=30:d=4 -c:v libx264 -preset ultrafast")
	in := EncodeInput{Source: f.source, Plan: &f.Plan, Frames: f.Frames, To: 2, Renditions: []string{"180p", "90p"}}
	err := f.tools.Encode(t.Context(), in, func(string, int, []byte) error { return os.ErrDeadlineExceeded })
	if err == nil || !strings.Contains(err.Error(), os.ErrDeadlineExceeded.Error()) {
		t.Fatal(err)
	}
}

// TestEncodeRefusesAnotherHeader emits nothing that the plan's init does not fit.
func TestEncodeRefusesAnotherHeader(t *testing.T) {
	f := shoot(t, smallProfile(false), "a.mp4", "-f lavfi -i testsrc2=s=320x180:r=30:d=2 -c:v libx264 -preset ultrafast")
	r, _ := f.Plan.Rendition("180p")
	r.MaxRate, r.BufSize = 20*r.MaxRate, 20*r.BufSize // another level
	in := EncodeInput{Source: f.source, Plan: &f.Plan, Frames: f.Frames, To: 1, Renditions: []string{"180p"}}
	err := f.tools.Encode(t.Context(), in, func(string, int, []byte) error {
		t.Error("a cell came")
		return nil
	})
	if !errors.Is(err, ErrForeign) {
		t.Errorf("got %v, want ErrForeign", err)
	}
}

// ffmpegOf is the command line of the run that Encode would start.
func ffmpegOf(t *testing.T, in *EncodeInput) string {
	t.Helper()
	c, _, err := in.command()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(c.args, "\x00")
}

// processes are the live processes with these arguments.
func processes(t *testing.T, args string) (pids []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), args) {
			pids = append(pids, path)
		}
	}
	return pids
}

// TestEncodeAudioHasNoSeam compares decoded cells with the source sample by
// sample: where chunks meet, they must be as near to it as one run is.
func TestEncodeAudioHasNoSeam(t *testing.T) {
	const tones = "-f lavfi -i testsrc2=s=64x36:r=25:d=8 -f lavfi -i aevalsrc='0.3*sin(2*PI*(300+40*t)*t)+0.2*sin(2*PI*1234.5*t)+0.1*random(0)':s=%r:d=8 -c:v libx264 -preset ultrafast -c:a "
	for name, c := range map[string]struct{ file, rate, codec string }{
		"mp4":      {"a.mp4", "48000", "aac"},
		"mp4 44.1": {"a.mp4", "44100", "aac"},
		"mkv 44.1": {"a.mkv", "44100", "aac"},
		"mkv flac": {"a.mkv", "44100", "flac"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := shoot(t, smallProfile(false), c.file, strings.ReplaceAll(tones, "%r", c.rate)+c.codec)
			r, ok := f.Plan.Rendition("audio")
			if !ok || r.Copy {
				t.Fatalf("%+v", r)
			}
			decoded := exec.Command("ffmpeg", strings.Fields("-v error -i "+f.source+" -vn -ar 48000 -ac 1 -f s16le -")...)
			raw, err := decoded.Output()
			if err != nil {
				t.Fatal(err)
			}
			source, end := samplesOf(raw), r.Bounds[len(r.Bounds)-1]
			whole, parts := f.pcm(t, r, f.encode(t, 99, "audio")["audio"]), f.pcm(t, r, f.encode(t, 1, "audio")["audio"])
			if int64(len(whole)) != end || int64(len(parts)) != end {
				t.Fatalf("%d and %d samples, want %d", len(whole), len(parts), end)
			}
			joins := r.Bounds[1 : len(r.Bounds)-1]
			source = source[shift(whole, source):]
			once, joined := rms(whole, source, joins), rms(parts, source, joins)
			t.Logf("error near joins: %.5f in one run, %.5f in chunks", once, joined)
			if once > 0.1 || joined > 1.1*once {
				t.Errorf("error near joins: %.5f in one run, %.5f in chunks", once, joined)
			}
		})
	}
}

// shift is by how many samples b is behind a: what the container says of when
// the picture begins.
func shift(a, b []float32) (best int) {
	least := math.Inf(1)
	for d := range 2000 {
		if r := rms(a, b[d:], []int64{20000}); r < least {
			best, least = d, r
		}
	}
	return best
}

// rms is how far two signals are apart within a frame of the joins.
func rms(a, b []float32, joins []int64) float64 {
	sum, n := 0.0, 0
	for _, j := range joins {
		for i := j - aacFrame; i < j+aacFrame; i++ {
			d := float64(a[i] - b[i])
			sum, n = sum+d*d, n+1
		}
	}
	return math.Sqrt(sum / float64(n))
}

// pcm decodes cells to samples of the first channel, -1 to 1.
func (f *film) pcm(t *testing.T, r *store.Rendition, cells [][]byte) []float32 {
	t.Helper()
	return samplesOf(decode(t, strings.Fields("-ac 1 -f s16le -"), r.Init, cells...))
}

func samplesOf(raw []byte) []float32 {
	out := make([]float32, len(raw)/2)
	for i := range out {
		out[i] = float32(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / 32768
	}
	return out
}

// TestEncodeAudioKeepsTime has a beep in the source come at the right time
// in the cells, whatever the container says of where the sound begins.
func TestEncodeAudioKeepsTime(t *testing.T) {
	const beep = "aevalsrc='if(gt(t,2),sin(2*PI*1000*t),0)':s=48000:d=3"
	for name, c := range map[string]struct {
		file, before, codec string
		want                float64 // seconds
	}{
		"mp4":         {"a.mp4", "", "aac", 2},
		"mp4 late":    {"a.mp4", "-itsoffset 0.7 ", "aac", 2.7},
		"mkv late":    {"a.mkv", "-itsoffset 0.7 ", "aac", 2.7},
		"mkv":         {"a.mkv", "", "flac", 2},
		"ts":          {"a.ts", "-itsoffset 0.3 ", "aac", 2.3},
		"webm opus":   {"a.webm", "", "libopus", 1.993}, // the muxer puts the picture 7 ms late
		"mp4 trimmed": {"a.mp4", "-ss 0.4 ", "aac", 1.6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			video := " -f lavfi -i testsrc2=s=64x36:r=25:d=6 -map 1 -map 0 -c:v libx264 -preset ultrafast -c:a "
			if strings.HasSuffix(c.file, "webm") {
				video = strings.ReplaceAll(video, "libx264 -preset ultrafast", "libvpx -deadline realtime")
			}
			f := shoot(t, smallProfile(false), c.file, c.before+"-f lavfi -i "+beep+video+c.codec)
			r, ok := f.Plan.Rendition("audio")
			if !ok {
				t.Fatal("no audio")
			}
			pcm := f.pcm(t, r, f.encode(t, 2, "audio")["audio"])
			at := float64(slices.IndexFunc(pcm, func(v float32) bool { return v > 0.3 })) / 48000
			if at < c.want-0.003 || at > c.want+0.003 {
				t.Errorf("the beep comes at %.4f s, not %.4f", at, c.want)
			}
			if end := r.Bounds[len(r.Bounds)-1]; int64(len(pcm)) != end {
				t.Errorf("%d samples of %d", len(pcm), end)
			}
		})
	}
}

// TestEncodeSound makes all cells of sound that stands alone, or that ends long
// before the picture.
func TestEncodeSound(t *testing.T) {
	const sine = "-f lavfi -i sine=440:r=44100:d=4"
	for name, c := range map[string]struct{ file, args string }{
		"mp3":             {"a.mp3", sine},
		"m4a":             {"a.m4a", sine + " -c:a aac"},
		"flac":            {"a.flac", sine},
		"short in mp4":    {"a.mp4", "-f lavfi -i testsrc2=s=64x36:r=10:d=14 " + sine + " -c:v libx264 -preset ultrafast -c:a aac"},
		"short in webm":   {"a.webm", "-f lavfi -i testsrc2=s=64x36:r=10:d=14 " + sine + " -c:v libvpx -deadline realtime -c:a libopus"},
		"six channels":    {"a.mkv", "-f lavfi -i testsrc2=s=64x36:r=10:d=2 -f lavfi -i anoisesrc=d=2,aformat=channel_layouts=5.1 -c:v libx264 -c:a ac3"},
		"begins way late": {"a.mp4", "-itsoffset 5 " + sine + " -f lavfi -i testsrc2=s=64x36:r=10:d=8 -c:v libx264 -preset ultrafast -c:a aac"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := shoot(t, smallProfile(false), c.file, c.args)
			got := f.encode(t, 3, "audio")
			r, _ := f.Plan.Rendition("audio")
			for i, cell := range got["audio"] {
				f.checkCell(t, r, i, readCell(t, cell))
			}
			if n, end := len(f.pcm(t, r, got["audio"])), r.Bounds[len(r.Bounds)-1]; int64(n) != end {
				t.Errorf("%d samples of %d", n, end)
			}
		})
	}
}

// TestEncodeDamaged loses pictures, not time; a segment without any is refused.
func TestEncodeDamaged(t *testing.T) {
	f := shoot(t, smallProfile(false), "a.mkv", "-f lavfi -i testsrc2=s=320x180:r=30:d=6 -c:v mjpeg")
	whole, err := os.ReadFile(f.source)
	if err != nil {
		t.Fatal(err)
	}
	f.source = filepath.Join(t.TempDir(), "wrecked.mkv")

	wreck(t, f.source, whole, 0.50, 0.53)
	frames := 0
	for i, cell := range f.encode(t, 2, "180p")["180p"] {
		fr := readCell(t, cell)
		frames += len(fr.samples)
		end := fr.start
		for _, s := range fr.samples {
			end += int64(s.duration)
		}
		if b := f.Plan.Timeline.Bounds; fr.start != b[i] || end != b[i+1] {
			t.Errorf("cell %d spans [%d, %d)", i, fr.start, end)
		}
	}
	if all := len(f.Frames.PTS); frames == all || frames < all-20 {
		t.Errorf("%d frames of %d", frames, all)
	}

	wreck(t, f.source, whole, 0.20, 0.90)
	in := EncodeInput{Source: f.source, Plan: &f.Plan, Frames: f.Frames, From: 2, To: 3, Renditions: []string{"180p"}}
	err = f.tools.Encode(t.Context(), in, func(string, int, []byte) error { return nil })
	if r, ok := errors.AsType[Refusal](err); !ok || r.Code != CodeDamaged {
		t.Errorf("got %v, want a refusal", err)
	}
}

// wreck writes a file with a part of it, from and to in 0–1, spoilt.
func wreck(t *testing.T, path string, whole []byte, from, to float64) {
	t.Helper()
	b := bytes.Clone(whole)
	for i := int(from * float64(len(b))); i < int(to*float64(len(b))); i += 7 {
		b[i] = 0xff
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

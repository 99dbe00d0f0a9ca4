package media

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestColourProfile plays a source whose sample entry has an ICC profile.
func TestColourProfile(t *testing.T) {
	const made = "-f lavfi -i testsrc2=s=640x360:r=25:d=3 -f lavfi -i sine=d=3 -c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac"
	plain, err := os.ReadFile(clip(t, "plain.mp4", made))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "icc.mp4")
	if err := os.WriteFile(path, withColourProfile(t, plain), 0o600); err != nil {
		t.Fatal(err)
	}
	f := planFilm(t, smallProfile(true), path)
	for _, r := range f.Plan.Renditions {
		if bytes.Contains(r.Init, []byte("acsp")) {
			t.Errorf("%s: the profile is in the header", r.Name)
		}
	}
	got := f.encode(t, 2)
	f.check(t, got)
	f.checkDecode(t, got)
}

// withColourProfile adds a colr box of type prof (ISO/IEC 14496-12 §12.1.5) to
// the avc1 sample entry of an MP4 whose moov is last.
func withColourProfile(t *testing.T, file []byte) []byte {
	t.Helper()
	profile := bytes.Repeat([]byte{7}, 600)
	binary.BigEndian.PutUint32(profile, 600)
	copy(profile[36:], "acsp")
	colr := append(appendBox(nil, 12+len(profile), "colr"), "prof"...)
	colr = append(colr, profile...)

	file, at := slices.Clone(file), 0
	for _, parent := range []string{"moov", "trak", "mdia", "minf", "stbl", "stsd", "avc1"} {
		i := bytes.Index(file[at:], []byte(parent))
		if i < 4 {
			t.Fatalf("there is no %s behind byte %d", parent, at)
		}
		at += i - 4
		size := binary.BigEndian.Uint32(file[at:])
		if parent == "moov" && at+int(size) != len(file) {
			t.Fatal("moov is not last")
		}
		binary.BigEndian.PutUint32(file[at:], size+uint32(len(colr)))
		if parent == "avc1" {
			return slices.Insert(file, at+int(size), colr...)
		}
		at += 8
	}
	return nil
}

// TestLosslessCut plays a film that was cut without encoding it again, whose
// edit list hides what lies between the key frame before the cut and the cut:
// a flash and a beep are where players show them, in one chunk and in several.
func TestLosslessCut(t *testing.T) {
	const flash = 6.0 // seconds of the source
	whole := clip(t, "whole.mp4", "-f lavfi -i color=black:s=320x180:r=25:d=14 -f lavfi -i aevalsrc=between(t\\,6\\,6.2)*sin(2*PI*880*t):s=48000:d=14"+
		" -vf drawbox=t=fill:color=white:enable='between(t,5.99,6.19)' -c:v libx264 -preset veryfast -bf 3 -g 250 -sc_threshold 0 -pix_fmt yuv420p -c:a aac")
	for cut, chunk := range map[float64]int{2.4: 100, 3.21: 3} {
		path := filepath.Join(t.TempDir(), "cut.mp4")
		args := "-v error -ss " + decimal(cut) + " -i " + whole + " -t 8 -c copy " + path
		if out, err := exec.Command("ffmpeg", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		f := planFilm(t, smallProfile(true), path)
		if want := len(decodedPTS(t, path)); len(f.Frames.PTS) != want || want < 200 {
			t.Errorf("cut at %g s: %d frames planned, players show %d", cut, len(f.Frames.PTS), want)
		}
		sound := &f.Plan.Renditions[len(f.Plan.Renditions)-1]
		got := f.encode(t, chunk)
		f.check(t, got)
		seen, heard := f.firstBright(t, got["180p"]), firstLoud(f.pcm(t, sound, got[sound.Name]))
		t.Logf("cut at %g s: flash at %.3f s, beep at %.3f s, want %.3f", cut, seen, heard, flash-cut)
		if math.Abs(seen-(flash-cut)) > 0.041 || math.Abs(heard-(flash-cut)) > 0.03 {
			t.Errorf("cut at %g s: flash at %.3f s, beep at %.3f s, want %.3f", cut, seen, heard, flash-cut)
		}
	}
}

// firstBright is the time of the first bright picture of a rendition, seconds.
func (f *film) firstBright(t *testing.T, cells [][]byte) float64 {
	t.Helper()
	r, _ := f.Plan.Rendition("180p")
	luma := decode(t, strings.Fields("-fps_mode passthrough -vf scale=16:16,setsar=1 -pix_fmt gray -f rawvideo -"), r.Init, cells...)
	i := slices.IndexFunc(luma, func(y byte) bool { return y > 128 })
	if i < 0 {
		t.Fatal("no flash")
	}
	return f.Plan.Timeline.Seconds(f.Frames.PTS[i/(16*16)])
}

// firstLoud is where sound of 48 kHz begins to be heard, seconds.
func firstLoud(pcm []float32) float64 {
	return float64(slices.IndexFunc(pcm, func(s float32) bool { return s > 0.3 })) / 48000
}

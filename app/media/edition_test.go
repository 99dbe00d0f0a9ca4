package media

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"streamgate/store"
)

// An edition takes what there is and makes the rest, frame by frame on the
// timeline that the plan has.
func TestEdition(t *testing.T) {
	film := shoot(t, smallProfile(true), "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000"+
		" -t 5 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac -b:a 64k")
	plan := &film.Plan
	wantNames(t, plan.Renditions, "source 90p audio")

	other := smallProfile(false)
	other.SegmentSeconds, other.FirstSegmentSeconds = 3, 3 // without effect
	other.Rungs = append([]Rung{other.Rungs[0]}, Rung{Name: "90p", Height: 90, CRF: 35, MaxRate: 300_000, BufSize: 450_000}, other.Rungs[1])
	other.Rungs[2].Name = "small"
	next := film.edition(t, other)
	wantNames(t, next, "180p 90p-2 90p audio-2")
	if !bytes.Equal(next[2].Init, plan.Renditions[1].Init) || bytes.Equal(next[2].Init, nil) {
		t.Error("what was taken has another init")
	}
	whole := film
	whole.Plan.Renditions = next
	whole.check(t, whole.encode(t, 2))

	// The copy is there for those who want it, as long as its record is; the
	// sound with it.
	plan.Begin(store.Edition{Renditions: next}, plan.RemovalDue())
	plan.Show(plan.RemovalDue())
	wantNames(t, film.edition(t, smallProfile(true)), "source 90p audio")
	for i := range plan.Retired {
		plan.Retired[i].Removing = true
	}
	again := film.edition(t, smallProfile(true))
	wantNames(t, again, "source-2 90p audio-3")
	if again[0].Codecs != plan.Retired[0].Codecs || !again[2].Copy || len(again[0].Init) == 0 {
		t.Errorf("copied again: %+v", again)
	}
}

// A video of before sound had the delay of the picture goes on without.
func TestEditionOfUndelayedSound(t *testing.T) {
	film := shoot(t, smallProfile(false), "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000"+
		" -t 3 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac")
	planned, _ := film.Plan.Rendition("audio")
	if planned.Delay != 3840 { // two pictures
		t.Errorf("sound is planned with the delay %d, want 3840", planned.Delay)
	}
	planned.Delay = 0
	wantNames(t, film.edition(t, smallProfile(false)), "180p 90p audio")
	softer := smallProfile(false)
	softer.AudioBitRate = 64_000
	next := film.edition(t, softer)
	wantNames(t, next, "180p 90p audio-2")
	if next[2].Delay != 0 || bytes.Contains(next[2].Init, []byte("elst")) {
		t.Errorf("its sound is made with the delay %d", next[2].Delay)
	}
}

// A timeline that was not cut for a copy has none, and a source without
// pictures only sound.
func TestEditionWithoutACopy(t *testing.T) {
	film := shoot(t, smallProfile(false), "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25 -t 3 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25")
	wantNames(t, film.edition(t, smallProfile(true)), "180p 90p")
	small := film.edition(t, smallProfile(true))[1]
	if old, _ := film.Plan.Rendition("90p"); !slices.Equal(small.IFrames, old.IFrames) || len(old.IFrames) == 0 {
		t.Errorf("pictures at %v, before at %v", small.IFrames, old.IFrames)
	}

	song := shoot(t, smallProfile(false), "song.m4a", "-f lavfi -i sine=frequency=440:sample_rate=48000 -t 3 -c:a aac")
	louder := smallProfile(true)
	louder.AudioBitRate = 64_000
	wantNames(t, song.edition(t, smallProfile(true)), "audio")
	wantNames(t, song.edition(t, louder), "audio-2")
}

// The key frames of the I-frame playlist where no rendition had any: the
// smallest was a copy.
func TestEditionPlansIFrames(t *testing.T) {
	film := shoot(t, Profile{Preset: "ultrafast", SegmentSeconds: 10, FirstSegmentSeconds: 10, Copy: true, CopyGroupSeconds: MaxCopyGroup, AudioBitRate: 64_000}, "clip.mp4",
		"-f lavfi -i testsrc2=size=320x180:rate=25 -t 10 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 250")
	wantNames(t, film.Plan.Renditions, "source")
	next := film.edition(t, smallProfile(true))
	wantNames(t, next, "source 90p")
	if n := IFrames(&film.Plan, &next[1]); n != 5 {
		t.Errorf("%d pictures in 10 s, want 5", n)
	}
	whole := film
	whole.Plan.Renditions = next
	whole.check(t, whole.encode(t, 2))
}

func (f *film) edition(t *testing.T, profile Profile) []store.Rendition {
	t.Helper()
	rs, err := f.tools.Edition(t.Context(), EditionInput{Source: f.source, Plan: &f.Plan, Frames: f.Frames, Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func wantNames(t *testing.T, rs []store.Rendition, want string) {
	t.Helper()
	var names []string
	for _, r := range rs {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != want {
		t.Fatalf("renditions %s, want %s", got, want)
	}
}

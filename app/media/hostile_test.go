package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a hostile file may cost at most. A planned one takes about a tenth of
// either.
const (
	hostileTime   = 40 * time.Second
	hostileMemory = 512 << 20 // bytes, each process
)

// source is a small, good file.
type source struct {
	name    string
	content []byte
}

// sources are small files of every kind that is accepted.
var sources = sync.OnceValues(func() (list []source, err error) {
	const (
		picture = "-f lavfi -i testsrc2=size=64x48:rate=10:duration=1.5 "
		tone    = "-f lavfi -i sine=440:sample_rate=16000:duration=1.5 "
		h264    = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 5 -bf 2 "
	)
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, s := range []struct{ name, args string }{
		{"late.mp4", picture + tone + h264 + "-c:a aac"},
		{"fast.mp4", picture + tone + h264 + "-c:a aac -movflags +faststart"},
		{"fragmented.mp4", picture + tone + h264 + "-c:a aac -movflags +frag_keyframe+empty_moov+global_sidx"},
		{"a.mov", picture + tone + "-c:v mjpeg -c:a pcm_s16le"},
		{"a.mkv", picture + tone + h264 + "-c:a aac"},
		{"a.webm", picture + tone + "-c:v libvpx -deadline realtime -cpu-used 8 -auto-alt-ref 1 -c:a libvorbis"},
		{"a.ts", picture + tone + h264 + "-c:a mp2 -ar 44100"},
		{"a.mpg", picture + tone + "-r 25 -c:v mpeg2video -c:a mp2 -ar 44100 -f mpeg"},
		{"a.avi", picture + tone + "-c:v mpeg4 -bf 2 -c:a libmp3lame -ar 22050"},
		{"a.flv", picture + tone + h264 + "-c:a libmp3lame -ar 22050"},
		{"a.ogv", picture + tone + "-c:v libtheora -c:a libvorbis"},
		{"a.asf", picture + tone + "-c:v wmv2 -c:a wmav2 -ar 22050"},
		{"a.aac", tone + "-c:a aac"},
		{"a.mp3", tone + "-c:a libmp3lame"},
		{"a.wav", tone},
		{"a.flac", tone},
	} {
		path := filepath.Join(dir, s.name)
		if out, err := exec.Command("ffmpeg", append(strings.Fields("-v error -y "+s.args), path)...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make %s: %w: %s", s.name, err, out)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		list = append(list, source{s.name, content})
	}
	return list, nil
})

// sourceNamed is the content of one of the sources.
func sourceNamed(t *testing.T, name string) []byte {
	t.Helper()
	list, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.name == name {
			return bytes.Clone(s.content)
		}
	}
	t.Fatalf("no source %s", name)
	return nil
}

// planHostile plans a file, confined. However bad the file is, it has to be a
// plan or a refusal that a user can read, soon, and within its memory.
func planHostile(t *testing.T, content []byte) error {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "source")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	tools := testTools
	tools.MaxMemory = hostileMemory
	ctx, cancel := context.WithTimeout(t.Context(), hostileTime)
	defer cancel()
	out, err := tools.Plan(ctx, PlanInput{VideoID: "v", Source: path, Dir: dir, Profile: smallProfile(true)})
	if err == nil {
		if out.Plan.Timeline.Segments() < 1 || len(out.Plan.Renditions) == 0 {
			t.Errorf("an empty plan: %+v", out.Plan)
		}
		return nil
	}
	var r Refusal
	switch {
	case !errors.As(err, &r):
		t.Errorf("neither a plan nor a refusal: %v", err)
	case r.Code == "" || !strings.HasSuffix(r.Message, ".") || strings.Contains(r.Message, dir):
		t.Errorf("an unclear refusal: %v", r)
	}
	return err
}

// TestMutants plans files that a generator damaged: every eighth, or all with
// HOSTILE=all (make hostile).
func TestMutants(t *testing.T) {
	t.Parallel()
	list, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	step := 8
	if os.Getenv("HOSTILE") == "all" {
		step = 1
	}
	for i := 0; i < mutants; i += step {
		// i/16 keeps a step of 8 from choosing the same sources again and again.
		name, content := mutant(min(mutants-1, i+i/16%step), list)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_ = planHostile(t, content) // which of them it is does not matter
		})
	}
}

package media

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProbeLimits(t *testing.T) {
	video := func(fields string) string {
		return `{"streams":[{"codec_type":"video","codec_name":"h264",` + fields + `}]}`
	}
	many := func(n int) string {
		return `{"streams":[` + strings.Repeat(`{"codec_type":"audio","codec_name":"aac"},`, n-1) + `{"codec_type":"audio","codec_name":"aac"}]}`
	}
	for name, tc := range map[string]struct{ json, code, says string }{
		"8K":            {json: video(`"width":8192,"height":4320`)},
		"8K, upright":   {json: video(`"width":4320,"height":8192`)},
		"too wide":      {video(`"width":8193,"height":2`), CodeTooLarge, "8193 × 2 pixels; the limit is 8192 on each side."},
		"too many":      {video(`"width":8192,"height":8192`), CodeTooLarge, "8192 × 8192 pixels; the limit is 35 million pixels."},
		"pixels wide":   {video(`"width":8000,"height":4400,"sample_aspect_ratio":"2:1"`), CodeTooLarge, "16000 × 4400"},
		"as many":       {json: many(maxStreams)},
		"one more":      {many(maxStreams + 1), CodeTooComplex, "it has 257 streams; the limit is 256."},
		"a day":         {json: video(`"width":8,"height":8,"duration":"86400"`)},
		"a second more": {video(`"width":8,"height":8,"duration":"86401"`), CodeTooLong, "longer than 24 hours."},
	} {
		var r Refusal
		_, err := parseProbe([]byte(tc.json))
		if errors.As(err, &r) != (tc.code != "") || r.Code != tc.code || !strings.Contains(r.Message, tc.says) {
			t.Errorf("%s: %v, want %s %q", name, err, tc.code, tc.says)
		}
	}
}

func TestRateLimit(t *testing.T) {
	for _, tc := range []struct {
		frames  int
		seconds float64
		refused bool
	}{{480, 1, false}, {481, 1, true}, {2, 1e-6, false}, {480, 1e-6, false}, {481, 1e-6, true}, {4801, 10, true}, {25 * 3600, 3600, false}} {
		if err := checkRate(tc.frames, tc.seconds); (err != nil) != tc.refused || err != nil && !errors.As(err, new(Refusal)) {
			t.Errorf("%d frames in %g s: %v", tc.frames, tc.seconds, err)
		}
	}
}

func TestClaimLimit(t *testing.T) {
	l := limits{size: 1 << 20}
	if err := l.checkClaim(maxClaim<<20 + claimSlack); err != nil {
		t.Error(err)
	}
	if err := l.checkClaim(maxClaim<<20 + claimSlack + 1); !errors.As(err, new(Refusal)) {
		t.Errorf("more than there is: %v", err)
	}
	if err := (limits{}).checkClaim(1 << 60); err != nil {
		t.Errorf("a size that is not known: %v", err)
	}
}

// TestWorkLimit: what a source may cost depends on its size, and a run that
// costs more is the source's fault.
func TestWorkLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(path, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	tools, err := Tools{}.reading(t.Context(), path)
	if err != nil || tools.limits.work != workAlways+3*workPerMB || tools.limits.copy != copyAlways+6<<20 {
		t.Errorf("limits %+v, %v", tools.limits, err)
	}
	tools.limits.work = 50 * time.Millisecond
	tools.StallAfter = 200 * time.Millisecond // looks at it four times as often
	var r Refusal
	err = run{tools: tools, path: "sh", args: []string{"-c", "while :; do :; done"}}.do(t.Context())
	if !errors.As(err, &r) || r.Code != CodeTooComplex {
		t.Errorf("a run without end ended with %v", err)
	}
}

// A tool that the source makes crash, or exceed its limits, says something
// about the source; one that somebody kills does not.
func TestSignalsOfTools(t *testing.T) {
	for signal, code := range map[string]string{"SEGV": CodeTooComplex, "ABRT": CodeTooComplex, "FPE": CodeTooComplex, "XCPU": CodeTooComplex, "XFSZ": CodeTooComplex, "KILL": "", "TERM": ""} {
		err := refuseTool(shell("kill -" + signal + " $$").do(t.Context()))
		var r Refusal
		if errors.As(err, &r); err == nil || r.Code != code {
			t.Errorf("%s: %v, want %q", signal, err, code)
		}
	}
}

// A wrapper's work is its child's.
func TestWorkOfAWrapper(t *testing.T) {
	tools := Tools{StallAfter: 300 * time.Millisecond}
	script := `awk 'BEGIN { t = systime(); while (systime() < t + 2) n++ }' & wait $!; kill -0 $$`
	if err := (run{tools: tools, path: "sh", args: []string{"-c", script}}).do(t.Context()); err != nil {
		t.Error(err)
	}
}

// What ffmpeg leaves out without an error is found out.
func TestTooFewFrames(t *testing.T) {
	t.Parallel()
	f := shoot(t, smallProfile(false), "a.mp4", picture+" "+x264)
	whole := 0
	for _, tc := range []struct {
		name  string
		bytes int // of ffmpeg's output
	}{{"nothing", 0}, {"half a header", 300}, {"a header", 2000}, {"half a cell", 9000}} {
		wrapper := filepath.Join(t.TempDir(), "ffmpeg")
		script := fmt.Sprintf("#!/bin/sh\nffmpeg \"$@\" 3>&1 2>/dev/null | head -c %d >&3\nexit 0\n", tc.bytes)
		if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		tools := Tools{FFmpeg: wrapper, FFprobe: "ffprobe"}
		in := EncodeInput{Source: f.source, Plan: &f.Plan, Frames: f.Frames, From: 0, To: 3, Renditions: []string{"180p"}}
		cells := 0
		err := tools.Encode(t.Context(), in, func(string, int, []byte) error { cells++; return nil })
		if err == nil || cells == 3 {
			t.Errorf("%s: %d cells, %v", tc.name, cells, err)
		}
		whole += cells
	}
	t.Logf("%d cells before the cuts", whole)
}

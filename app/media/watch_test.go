package media

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAStalledChildIsEnded(t *testing.T) {
	var w Watch
	tools := Tools{StallAfter: 200 * time.Millisecond}.Watched(&w)
	r := run{tools: tools, path: "sh", args: []string{"-c", "echo hello >&2; kill -STOP $$"}}
	if err := r.do(t.Context()); !errors.Is(err, ErrStalled) {
		t.Errorf("a stopped child ended with %v", err)
	}
	c := w.Child()
	if c.PID == 0 || c.Log != "hello\n" || c.Command[0] != "sh" || c.Started.IsZero() {
		t.Errorf("watched %+v", c)
	}
}

func TestAChildThatPrintsWithoutEndIsEnded(t *testing.T) {
	var w Watch
	tools := Tools{StallAfter: 400 * time.Millisecond}.Watched(&w)
	r := run{tools: tools, path: "sh", args: []string{"-c", "exec yes out of luck >&2"}}
	if err := r.do(t.Context()); !errors.Is(err, ErrPrints) {
		t.Errorf("it ended with %v", err)
	}
	if log := w.Child().Log; len(log) > maxStderr || !strings.Contains(log, "out of luck") {
		t.Errorf("kept of its log: %d bytes", len(log))
	}
}

// A child that waits for us is not stalled.
func TestAChildThatWaitsForUsIsNotEnded(t *testing.T) {
	tools := Tools{StallAfter: 50 * time.Millisecond}
	r := run{tools: tools, path: "sh", args: []string{"-c", "head -c 1000000 /dev/zero >&3"}}
	slow := time.After(300 * time.Millisecond)
	r.pipes = []func(io.Reader) error{func(pipe io.Reader) error {
		if _, err := io.ReadFull(pipe, make([]byte, 1000)); err != nil {
			return err
		}
		<-slow // the disk is slow
		_, err := io.Copy(io.Discard, pipe)
		return err
	}}
	if err := r.do(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAChildThatEatsMemoryIsEnded(t *testing.T) {
	var w Watch
	tools := Tools{MaxMemory: 50 << 20, StallAfter: 400 * time.Millisecond}.Watched(&w)
	// awk doubles a string until it is ended.
	r := run{tools: tools, path: "awk", args: []string{`BEGIN { s = "x"; while (length(s) < 200000000) s = s s; while (1) n++ }`}}
	if err := r.do(t.Context()); !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "the limit is 50 MB") {
		t.Errorf("a greedy child ended with %v", err)
	}
	if c := w.Child(); c.Resident <= 50<<20 || c.CPU <= 0 {
		t.Errorf("watched %+v", c)
	}
}

func TestParseUsage(t *testing.T) {
	stat := "1234 (a ) (b) c) S 1 2 3 4 5 6 7 8 9 10 100 50 40 10 15 16 17 18 19 20 1000 22"
	got, err := parseUsage([]byte(stat))
	if err != nil || got.cpu != 2*time.Second || got.resident != 1000*int64(os.Getpagesize()) {
		t.Errorf("usage %+v, %v", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", strings.Replace(stat, " 100 50", " many 50", 1)} {
		if _, err := parseUsage([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzParseUsage(f *testing.F) {
	f.Add([]byte("1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22"))
	f.Fuzz(func(_ *testing.T, stat []byte) { parseUsage(stat) })
}

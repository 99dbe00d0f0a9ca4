package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The ways in which a watched child is ended before it has said a word. Both
// are about this run, and may pass.
var (
	// ErrStalled: it used no processor time and wrote nothing for too long.
	ErrStalled = errors.New("media: the child makes no progress")
	// ErrPrints: it printed more than any run has to say.
	ErrPrints = errors.New("media: the child prints without end")
	// ErrMemory: it had more resident memory than it may have.
	ErrMemory = errors.New("media: the child uses too much memory")
)

const (
	defaultStall  = 20 * time.Second
	maxPrinted    = 64 << 20 // bytes on its standard error
	defaultMemory = 2 << 30  // bytes; four renditions of 1080p take a quarter
	watchEvery    = 500 * time.Millisecond
	clockTicks    = 100 // a second: USER_HZ of every Linux platform that Go knows
)

// Watch is a look at the children that a Tools runs: at the one that runs, or
// the last one. The zero value is ready; it may be read at any time.
type Watch struct {
	mu   sync.Mutex
	last Child
	log  *tail
}

// Child is what is known of one run of ffmpeg or ffprobe.
type Child struct {
	PID      int
	Command  []string
	Started  time.Time
	CPU      time.Duration // that it has used
	Resident int64         // bytes of memory
	Log      string        // the end of what it said
}

// Watched returns tools whose runs w sees.
func (t Tools) Watched(w *Watch) Tools {
	t.watch = w
	return t
}

// Child returns what is known of the run under way, or of the last one.
func (w *Watch) Child() Child {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.last
	if w.log != nil {
		c.Log = w.log.String()
	}
	return c
}

func (w *Watch) begin(c Child, log *tail) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.log = c, log
}

func (w *Watch) note(u usage) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last.CPU, w.last.Resident = u.cpu, u.resident
}

// flow counts what comes out of a child, and whether we are the ones who keep
// it waiting.
type flow struct {
	bytes atomic.Int64
	busy  atomic.Int32 // readers that deal with what they have read
}

// reader counts a pipe's bytes.
func (f *flow) reader(r io.Reader) io.Reader {
	f.busy.Add(1)
	return &flowReader{r, f}
}

type flowReader struct {
	io.Reader
	flow *flow
}

func (r *flowReader) Read(p []byte) (int, error) {
	r.flow.busy.Add(-1)
	n, err := r.Reader.Read(p)
	r.flow.busy.Add(1)
	r.flow.bytes.Add(int64(n))
	return n, err
}

// done ends a reader's part: it keeps nobody waiting any more.
func (f *flow) done() { f.busy.Add(-1) }

// writer counts what a child writes to its standard output.
func (f *flow) writer(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return &flowWriter{w, f}
}

type flowWriter struct {
	io.Writer
	flow *flow
}

func (w *flowWriter) Write(p []byte) (int, error) {
	w.flow.busy.Add(1)
	defer w.flow.busy.Add(-1)
	w.flow.bytes.Add(int64(len(p)))
	return w.Writer.Write(p)
}

// memory is the resident memory that a run may have, bytes.
func (t Tools) memory() int64 {
	if t.MaxMemory == 0 {
		return defaultMemory
	}
	return t.MaxMemory
}

// watchdog looks at a child until ctx is done, and ends the run with ErrStalled,
// ErrPrints or ErrMemory if it must.
func (t Tools) watchdog(ctx context.Context, pid int, f *flow, said *tail, end context.CancelCauseFunc) {
	stall, memory := t.StallAfter, t.memory()
	if stall == 0 {
		stall = defaultStall
	}
	look := time.NewTicker(min(watchEvery, stall/4))
	defer look.Stop()
	var last usage
	var lastBytes int64
	moved := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now, err := usageOf(pid)
		if err != nil {
			return // it has ended
		}
		t.watch.note(now)
		if now.resident > memory {
			end(fmt.Errorf("%w: %d MB, the limit is %d MB (transcoder.max_memory)", ErrMemory, now.resident>>20, memory>>20))
			return
		}
		if printed := said.Written(); printed > maxPrinted {
			end(fmt.Errorf("%w: %d MB so far", ErrPrints, printed>>20))
			return
		}
		if work := t.limits.work; work > 0 && now.cpu > work {
			end(errTooMuchWork(work))
			return
		}
		n := f.bytes.Load()
		if now.cpu != last.cpu || n != lastBytes || f.busy.Load() > 0 {
			last, lastBytes, moved = now, n, time.Now()
		}
		if time.Since(moved) >= stall {
			end(fmt.Errorf("%w for %s", ErrStalled, stall))
			return
		}
	}
}

// usage is what a process has used.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes
}

// maxDepth bounds how far a child's own children are looked for.
const maxDepth = 4

// usageOf adds up what a process and its children use: where the path is a
// wrapper, they do the work.
func usageOf(pid int) (usage, error) { return usageWithin(pid, maxDepth) }

// usageWithin reads /proc/PID/stat and /proc/PID/task/PID/children (proc(5)).
func usageWithin(pid, depth int) (usage, error) {
	proc := "/proc/" + strconv.Itoa(pid)
	data, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return usage{}, err
	}
	u, err := parseUsage(data)
	if err != nil || depth == 0 {
		return u, err
	}
	children, _ := os.ReadFile(proc + "/task/" + strconv.Itoa(pid) + "/children") // not every kernel has it
	for _, child := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(child)
		if err != nil {
			continue
		}
		if of, err := usageWithin(pid, depth-1); err == nil { // it may have ended
			u.cpu, u.resident = u.cpu+of.cpu, u.resident+of.resident
		}
	}
	return u, nil
}

// parseUsage reads the fields utime (14), stime (15), cutime (16), cstime (17)
// and rss (24); the name in field 2 may hold anything, parentheses too.
func parseUsage(stat []byte) (usage, error) {
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	fields := strings.Fields(string(rest)) // from field 3 on
	if len(fields) < 22 {
		return usage{}, fmt.Errorf("read a process's usage: %d fields", len(fields))
	}
	var ticks int64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("read a process's usage: %w", err)
		}
		ticks += n
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	if err != nil {
		return usage{}, fmt.Errorf("read a process's usage: %w", err)
	}
	return usage{cpu: time.Duration(ticks) * (time.Second / clockTicks), resident: pages * int64(os.Getpagesize())}, nil
}

package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"streamgate/app/media/confine"
)

// Formats are the ffmpeg demuxers that may read an upload.
const Formats = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mp3,wav,flac,aac"

// Tools are the external programs.
type Tools struct {
	FFmpeg  string // path of ffmpeg
	FFprobe string // path of ffprobe

	// Confine shuts the programs off from all but what a run is about (package
	// confine).
	Confine bool
	// MaxMemory is the resident memory that a run may have, bytes. Default 2 GiB.
	MaxMemory int64
	// StallAfter is how long a run may use no processor time and write nothing.
	// Default 20 s.
	StallAfter time.Duration

	watch  *Watch
	limits limits // of the source that is planned; none while it is encoded
}

// niceBackground is what a background encoder adds to its niceness, so that a
// demanded cell gets the cores at once.
const niceBackground = 15

// addressSpace is what a run may map beside four times its memory, bytes:
// libraries, and the stacks of its threads. Encoders map far more than they
// use, and give up where they cannot; resident memory is what is watched.
const addressSpace = 4 << 30

// maxStderr bounds what is kept of a child's complaints, bytes.
const maxStderr = 8 << 10

// ToolError is a run of ffmpeg or ffprobe that failed.
type ToolError struct {
	Tool   string
	Err    error  // how it ended
	Stderr string // the end of what it said
}

func (e *ToolError) Error() string {
	last := strings.TrimSpace(e.Stderr)
	if i := strings.LastIndexByte(last, '\n'); i >= 0 {
		last = last[i+1:]
	}
	return fmt.Sprintf("%s: %v: %s", e.Tool, e.Err, last)
}

func (e *ToolError) Unwrap() error { return e.Err }

// errCut is the error of a pipe that ended before its content did: the child's
// failure, not its reader's.
var errCut = errors.New("the stream ended early")

// run is one run of an external program.
type run struct {
	tools  Tools
	path   string
	args   []string
	stdout io.Writer
	// pipes consume the child's descriptors 3, 4, …, each in its own
	// goroutine. The first error kills the child and is what do returns; but
	// errCut is the child's own failure, and do reports that.
	pipes      []func(io.Reader) error
	background bool
}

// do runs the program until it ends, a pipe fails, the watchdog barks or ctx is
// done. The child dies with this process (PDEATHSIG), so that a killed node
// leaves no encoder behind.
func (r run) do(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, r.path, r.args...)
	// The whole group: where the path is a wrapper, its children hold the pipes.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out flow
	stderr := &tail{max: maxStderr}
	cmd.Stdout, cmd.Stderr = out.writer(r.stdout), stderr

	ours, release, err := r.start(cmd)
	defer closeAll(ours)
	if err != nil {
		return err
	}
	defer release()
	r.tools.watch.begin(Child{PID: cmd.Process.Pid, Command: append([]string{r.path}, r.args...), Started: time.Now()}, stderr)
	watched := make(chan struct{})
	watching, unwatch := context.WithCancel(ctx)
	go func() {
		defer close(watched)
		r.tools.watchdog(watching, cmd.Process.Pid, &out, stderr, cancel)
	}()
	cut := r.consume(ours, &out, cancel)
	err = cmd.Wait()
	unwatch()
	<-watched
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err == nil && cut {
		err = errCut
	}
	if err != nil {
		return &ToolError{Tool: r.path, Err: err, Stderr: stderr.String()}
	}
	return nil
}

// policy is what the run needs: the files and the address that its arguments name.
func (r run) policy() confine.Policy {
	p := confine.Policy{
		AddressSpace: addressSpace + 4*r.tools.memory(), FileSize: r.tools.limits.copy, CPU: 2 * r.tools.limits.work,
	}
	if r.background {
		p.Nice = niceBackground
	}
	for i, arg := range r.args {
		if i > 0 && r.args[i-1] == "-i" && isURL(arg) {
			p.Connect = portOf(arg)
		}
		path, ok := strings.CutPrefix(arg, "file:")
		switch {
		case !ok:
		case i > 0 && r.args[i-1] == "-i":
			p.Read = append(p.Read, path)
		default:
			p.Write = append(p.Write, filepath.Dir(path))
		}
	}
	return p
}

// start makes the pipes and starts the child. It returns our ends, which the
// caller closes, on error too; release is called when the child has ended.
func (r run) start(cmd *exec.Cmd) (ours []*os.File, release func(), err error) {
	defer func() { closeAll(cmd.ExtraFiles) }() // the child has its own copies
	for range r.pipes {
		pr, pw, err := os.Pipe()
		if err != nil {
			return ours, nil, fmt.Errorf("make a pipe: %w", err)
		}
		ours, cmd.ExtraFiles = append(ours, pr), append(cmd.ExtraFiles, pw)
	}
	if r.tools.Confine {
		release, err = r.policy().Start(cmd)
	} else {
		release, err = r.plain(cmd)
	}
	if err != nil {
		return ours, nil, &ToolError{Tool: r.path, Err: err}
	}
	return ours, release, nil
}

// plain starts the child with all that this process may do.
func (r run) plain(cmd *exec.Cmd) (release func(), err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if r.background {
		// The child has just started: threads made later inherit this.
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, niceBackground)
	}
	return func() {}, nil
}

// consume reads every pipe to its end, and tells whether one was cut short.
func (r run) consume(ours []*os.File, out *flow, cancel context.CancelCauseFunc) bool {
	var (
		readers sync.WaitGroup
		cut     atomic.Bool
	)
	for i, pipe := range r.pipes {
		readers.Go(func() {
			defer out.done()
			switch err := pipe(out.reader(ours[i])); {
			case errors.Is(err, errCut):
				cut.Store(true) // the child is about to end, and will say why
			case err != nil:
				cancel(err) // the first one stays the cause
			}
		})
	}
	readers.Wait()
	return cut.Load()
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// tail is a writer that keeps the last max bytes. It may be read at any time.
type tail struct {
	max     int
	mu      sync.Mutex
	buf     bytes.Buffer
	written int64
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	t.written += int64(len(p))
	if over := t.buf.Len() - t.max; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// Written is how many bytes were written in all.
func (t *tail) Written() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.written
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

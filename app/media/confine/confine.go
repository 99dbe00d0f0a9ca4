// Package confine starts a program that reads what strangers sent us so that
// it can do little harm: ffmpeg and ffprobe are large parsers of hostile files.
//
// # What
//
// Restrictions of Linux belong to a thread, and a child inherits them from the
// thread that starts it. So a thread of its own puts them on, starts the
// program, and is kept, doing nothing, until the program has ended; then it is
// thrown away. That costs 1.6 ms on two busy cores, where a plain start costs 6.
// (The usual way, to start our own binary again, which restricts itself and then
// becomes the program, costs 50 there: the initialisation of the 250 packages
// that are linked into it.)
//
// # Usage
//
//	cmd := exec.Command(ffmpeg, args...)
//	release, err := confine.Policy{Read: []string{source}, Write: []string{dir}}.Start(cmd)
//	if err != nil { … }
//	err = cmd.Wait()
//	release()
//
// # Guarantees
//
// The program gets no environment, limits (open files, size of a file, address
// space, processor time, no core dumps), is the first that the kernel ends for lack of memory,
// cannot gain privileges, and dies with this process. Where the kernel has
// Landlock (ABI 1 or later), it can read the libraries, itself and Read, read
// and write under Write, and nothing else; from ABI 4 on it can neither take
// TCP connections nor make any but to Connect, from ABI 6 on it can signal nobody but itself. Check
// tells what is in force here. A program that cannot be restricted as far as
// the kernel is able to is not run.
//
// The limits and the score are set just after the program was started, while
// it is still being linked: it has not looked at any file by then.
//
// # Testing
//
// The tests try what is forbidden, and that this process may still do it.
package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Policy is what a program may do. The zero value lets it read its own
// libraries, and its pipes.
type Policy struct {
	Read  []string // files that it may read
	Write []string // folders under which it may read and write
	// Connect is the one TCP port that it may connect to; 0 for none.
	Connect uint16
	Nice    int // added to its niceness, 0–19; above 0 its disk yields, too

	FileSize     int64         // the largest file that it may write, bytes; 0 is 1 TiB
	AddressSpace int64         // bytes; 0 is without limit
	CPU          time.Duration // of processor time, in whole seconds; 0 is a day
}

const (
	maxFiles    = 64           // open at a time
	maxFileSize = 1 << 40      // bytes: a stop to what runs away, the disk's own limits come first
	maxCPU      = 24 * 60 * 60 // seconds
	oomScore    = "1000"       // the first to go
)

// Start starts the program. If err is nil, the caller waits for it as usual,
// and then calls release: the program would not outlive it.
func (p Policy) Start(cmd *exec.Cmd) (release func(), err error) {
	cmd.Env = []string{}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	// It fires when the thread ends that started the child.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL

	started, ended := make(chan error), make(chan struct{})
	go p.thread(cmd, started, ended)
	if err := <-started; err != nil {
		return nil, err
	}
	release = func() { close(ended) }
	if err := p.limit(cmd.Process.Pid); err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		release()
		return nil, err
	}
	return release, nil
}

// thread starts the program from a thread that is restricted, and keeps the
// thread until the program has ended.
func (p Policy) thread(cmd *exec.Cmd, started chan<- error, ended <-chan struct{}) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The main thread cannot be thrown away. While this goroutine is
		// locked to it, another one gets another thread.
		defer runtime.UnlockOSThread()
		again := make(chan struct{})
		go func() { defer close(again); p.thread(cmd, started, ended) }()
		<-again
		return
	}
	// It is not unlocked: so the runtime ends the thread with the goroutine,
	// and starts no other thread from it.
	err := p.restrict(cmd.Path)
	if err == nil {
		err = cmd.Start()
	}
	started <- err
	if err == nil {
		<-ended
	}
}

// restrict restricts the calling thread.
func (p Policy) restrict(program string) error {
	if p.Nice > 0 {
		const self, bestEffort, lowest = 0, 2 << 13, 7
		if err := unix.Setpriority(unix.PRIO_PROCESS, self, p.Nice); err != nil {
			return fmt.Errorf("lower the priority by %d: %w", p.Nice, err)
		}
		// Not every scheduler of disks knows priorities.
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, 1, self, bestEffort|lowest)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	if err := p.landlock(program); err != nil {
		return fmt.Errorf("apply Landlock: %w", err)
	}
	return nil
}

// limit sets what belongs to the process as a whole.
func (p Policy) limit(pid int) error {
	for _, l := range []struct {
		name     string
		resource int
		max      uint64
	}{
		{"open files", unix.RLIMIT_NOFILE, maxFiles},
		{"file size", unix.RLIMIT_FSIZE, or(p.FileSize, maxFileSize)},
		{"address space", unix.RLIMIT_AS, or(p.AddressSpace, unix.RLIM_INFINITY)},
		{"processor time", unix.RLIMIT_CPU, or(int64(p.CPU/time.Second), maxCPU)},
		{"core dumps", unix.RLIMIT_CORE, 0},
	} {
		var now unix.Rlimit
		err := unix.Prlimit(pid, l.resource, nil, &now)
		if err == nil {
			to := min(l.max, now.Max)
			err = unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: to, Max: to}, nil)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended already
			return fmt.Errorf("limit %s to %d: %w", l.name, l.max, err)
		}
	}
	// Where /proc is hidden the kernel's own choice stands.
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(oomScore), 0) //nolint:gosec // exists
	return nil
}

func or(n int64, otherwise uint64) uint64 {
	if n > 0 {
		return uint64(n)
	}
	return otherwise
}

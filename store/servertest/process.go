package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// patience bounds the start and the stop of a server: the machine may be busy.
const patience = time.Minute

// process is a server that runs, or does not.
type process struct {
	dir   string
	cmd   *exec.Cmd
	ended chan error
}

// launch starts a program and waits until ready says nil.
func (p *process) launch(cmd *exec.Cmd, ready func() error) error {
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.ended = cmd, make(chan error, 1)
	go func() { p.ended <- cmd.Wait() }()
	for deadline := time.Now().Add(patience); ; {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case ended := <-p.ended:
			p.cmd = nil
			return p.withLog(fmt.Errorf("it ended at its start: %w", ended))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return p.withLog(errors.Join(fmt.Errorf("it does not answer: %w", err), p.end(syscall.SIGKILL)))
		}
	}
}

func (p *process) withLog(err error) error {
	log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return fmt.Errorf("%w\n%s", err, log[max(0, len(log)-4000):])
}

// end sends a signal and waits until the server is gone; its own error is that of
// a signal and no news.
func (p *process) end(signal syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case ended := <-p.ended:
		var exit *exec.ExitError
		if ended == nil || errors.As(ended, &exit) {
			return nil
		}
		return ended
	case <-time.After(patience):
		return errors.Join(errors.New("it did not stop"), syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	}
}

// command prepares a program that ends with this process, as a user who is not
// root, if that is who runs the test: such servers refuse to be root's.
func (p *process) command(owner, path string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(path, args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + p.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 || owner == "" {
		return cmd, nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return cmd, errors.Join(err1, err2, os.Chown(p.dir, int(uid), int(gid)))
}

// newestBin is where Debian keeps PostgreSQL's programs, of which several versions
// may be there; "" for none.
func newestBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		return ""
	}
	version := func(bin string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
		return n
	}
	return slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
}

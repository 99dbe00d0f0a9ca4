package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startLimit is how long a server may take until it answers, and workers until
// the first job is done.
const startLimit = 20 * time.Second

var errNothing = fmt.Errorf("nothing was done for %s", startLimit)

// account is whom servers run as: PostgreSQL refuses to be root's. nil is
// whoever runs this.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.New("neither postgres nor nobody is a user here, and PostgreSQL refuses to run as root")
}

// scratch makes a directory that belongs to the account.
func scratch(parent, name string) (string, error) {
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	who, err := account()
	if err != nil || who == nil {
		return dir, err
	}
	return dir, os.Chown(dir, int(who.Uid), int(who.Gid))
}

// command prepares a program that runs as the account in a directory, and ends
// with this process whatever happens.
func command(ctx context.Context, dir, path string, args ...string) (*exec.Cmd, error) {
	who, err := account()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: who}
	return cmd, nil
}

// program is a running server.
type program struct {
	cmd   *exec.Cmd
	dir   string
	stop  os.Signal // that ends it in order
	ended chan error
}

// startServer runs a program and returns when answers says so.
func startServer(ctx context.Context, dir string, stop os.Signal, answers func(context.Context) error, path string, args ...string) (*program, error) {
	cmd, err := command(context.WithoutCancel(ctx), dir, path, args...)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &program{cmd, dir, stop, make(chan error, 1)}
	go func() { s.ended <- cmd.Wait() }()
	if err := s.await(ctx, answers); err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w\n%s", errors.Join(err, s.close()), text)
	}
	return s, nil
}

func (s *program) await(ctx context.Context, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("it ended at its start: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// close ends the program in order, or else by force.
func (s *program) close() error {
	if err := s.cmd.Process.Signal(s.stop); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(startLimit):
		return errors.Join(fmt.Errorf("%s did not stop", s.cmd.Path), syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL))
	}
}

// version is what a program says of itself, without what packagers add.
func version(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	for word := range strings.FieldsSeq(string(out)) {
		word = strings.TrimPrefix(word, "v=")
		if word[0] >= '0' && word[0] <= '9' {
			return word, nil
		}
	}
	return "", fmt.Errorf("%s has no version: %q", path, out)
}

// postgresTool finds a program of PostgreSQL's, which Debian keeps out of the
// path because several versions may be there; the newest.
func postgresTool(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		return slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) }), nil
	}
	return exec.LookPath(name)
}

// major is the version in /usr/lib/postgresql/15/bin/initdb.
func major(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

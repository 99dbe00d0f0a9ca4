package servertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Redis is a Redis of its own. What it holds ends with it.
type Redis struct {
	process
	policy string
}

// StartRedis starts a server that never evicts; ErrMissing.
func StartRedis() (*Redis, error) { return StartRedisWith("noeviction") }

// StartRedisWith is StartRedis with another maxmemory-policy.
func StartRedisWith(policy string) (*Redis, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, fmt.Errorf("redis-server (Debian's package redis-server): %w", ErrMissing)
	}
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{process{dir: dir}, policy}
	if err := r.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	return r, nil
}

// Start starts a server that was killed, with nothing in it.
func (r *Redis) Start() error {
	cmd, err := r.command("", "redis-server", "--port", "0", "--unixsocket", r.socket(), "--save", "", "--appendonly", "no",
		"--dir", r.dir, "--maxmemory-policy", r.policy)
	if err != nil {
		return err
	}
	return r.launch(cmd, func() error {
		conn, err := net.Dial("unix", r.socket())
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// Kill ends the server at once.
func (r *Redis) Kill() error {
	defer os.Remove(r.socket())
	return r.end(syscall.SIGKILL)
}

// Close ends the server and removes its directory.
func (r *Redis) Close() error {
	defer os.RemoveAll(r.dir)
	return r.Kill()
}

func (r *Redis) socket() string { return filepath.Join(r.dir, "socket") }

// URL is the server's address, as the configuration takes it.
func (r *Redis) URL() string { return "unix://" + r.socket() }

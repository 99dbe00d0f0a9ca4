package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// configYAML has profiles for rows that need one of their own: the default
// ladder without a stream copy, a copy with next to nothing beside it, and two
// renditions that are made fast.
const configYAML = `transcoder:
  profiles:
    no-copy:
      copy: false
    copy-only:
      preset: ultrafast
      rungs:
        - {name: 144p, height: 144, crf: 35, max_rate: 150000, buf_size: 300000}
    fast:
      copy: false
      preset: ultrafast
      rungs:
        - {name: 1080p, height: 1080, crf: 26, max_rate: 5500000, buf_size: 8250000}
        - {name: 360p, height: 360, crf: 26, max_rate: 900000, buf_size: 1350000}
`

// unlimitedYAML is for rows whose clients all come from one address: no limit of
// requests that anybody would notice.
const unlimitedYAML = `api_gateway:
  rate_limit: {requests_per_second: 1000000, burst: 1000000}
`

// readyLimit is how long a node may take to be ready before it is given up.
const readyLimit = 20 * time.Second

// node is a running node with a data directory of its own.
type node struct {
	binary   string
	cmd      *exec.Cmd
	dir      string
	role     string   // of a cluster's node
	listen   string   // its address for other nodes
	args     []string // of serve, besides those of every node
	env      []string // likewise
	quota    *quota   // of CPU, or nil
	addrs    []string
	url      string // of the public edge
	operator string // host:port
	client   *http.Client
	key      string // admin
	took     time.Duration
	ended    chan error
}

// startNode runs a node until /readyz says that it is ready; took is the time
// from exec to there. Its configuration is configYAML and what is given.
func (b *bench) startNode(ctx context.Context, settings ...string) (*node, error) {
	n, err := b.newNode(settings...)
	if err != nil {
		return nil, err
	}
	if err := n.start(ctx); err != nil {
		os.RemoveAll(n.dir)
		return nil, err
	}
	return n, nil
}

// newNode prepares a node with an empty data directory.
func (b *bench) newNode(settings ...string) (*node, error) {
	dir, err := os.MkdirTemp(b.dir, "node-")
	if err != nil {
		return nil, err
	}
	n := &node{binary: b.binary, dir: dir, client: newClient()}
	if err := os.WriteFile(n.config(), []byte(configYAML+strings.Join(settings, "")), 0o600); err != nil {
		return nil, err
	}
	n.addrs, err = freeAddrs(4)
	if err != nil {
		return nil, err
	}
	n.url, n.operator = "http://"+n.addrs[0], n.addrs[1]
	return n, nil
}

// exec starts the program, and does not wait until it is ready.
func (n *node) exec(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	n.ended = make(chan error, 1)
	args := append([]string{
		"serve", "--config", n.config(), "--data", n.data(), "--listen", n.addrs[0], "--set", "monitor.listen=" + n.addrs[1],
		"--set", "api_gateway.grpc_port=" + port(n.addrs[2]), "--set", "transcoder.grpc_port=" + port(n.addrs[3]),
	}, n.args...)
	n.cmd = command(ctx, n.binary, args...)
	n.cmd.Stderr = log
	n.cmd.Env = append(append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(n.dir, "state")), n.env...)
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.binary, err)
	}
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(n.cmd, n.ended)
	if n.quota == nil {
		return nil
	}
	if err := n.quota.put(n.pid()); err != nil {
		n.kill()
		return err
	}
	return nil
}

func (n *node) start(ctx context.Context) error {
	began := time.Now()
	if err := n.exec(ctx); err != nil {
		return err
	}
	if err := n.awaitReady(ctx); err != nil {
		said := n.said()
		n.kill()
		return fmt.Errorf("%w\n%s", err, said)
	}
	n.took = time.Since(began)
	return nil
}

func (n *node) config() string { return filepath.Join(n.dir, "streamgate.yaml") }

func (n *node) data() string { return filepath.Join(n.dir, "data") }

func (n *node) pid() int { return n.cmd.Process.Pid }

// awaitReady asks every few milliseconds: often enough for the row that
// measures the start.
func (n *node) awaitReady(ctx context.Context) error {
	limit := time.After(readyLimit)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-n.ended:
			n.ended <- err
			return fmt.Errorf("the node ended at its start: %w", err)
		case <-limit:
			return fmt.Errorf("the node is not ready after %s", readyLimit)
		case <-poll.C:
		}
		resp, err := http.Get("http://" + n.operator + "/readyz")
		if err != nil {
			continue // it does not listen yet
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// kill ends the node with its children and removes what it kept.
func (n *node) kill() {
	_ = syscall.Kill(-n.pid(), syscall.SIGKILL) // it may have ended
	n.client.CloseIdleConnections()
	n.wait()
	os.RemoveAll(n.dir)
}

// end ends the node, with its children, and keeps what it kept.
func (n *node) end(sig syscall.Signal) error {
	if err := n.cmd.Process.Signal(sig); err != nil {
		return err
	}
	n.wait()
	return nil
}

// wait returns when the process has ended.
func (n *node) wait() {
	err := <-n.ended
	n.ended <- err
}

// stop ends the node in order; only for nodes that have nothing to do.
func (n *node) stop() error {
	defer n.kill()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-n.ended:
		n.ended <- err
		return err
	case <-time.After(readyLimit):
		return errors.New("the node did not stop")
	}
}

// said is the end of the node's log, for errors.
func (n *node) said() string {
	text, _ := os.ReadFile(filepath.Join(n.dir, "log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// freeAddrs returns addresses on loopback that nobody listens on.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = ln.Close() }() // all at the end, so that they differ
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// sleep waits unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

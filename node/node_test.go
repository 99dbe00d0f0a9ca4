package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal notes what happens, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) check(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(j.lines, "\n  "), strings.Join(want, "\n  "))
	}
}

// fake is a plugin that notes what is asked of it.
type fake struct {
	name     string
	j        *journal
	startErr error
	stall    bool // its Stop waits for the deadline
	loop     func(context.Context) error
}

func (f *fake) Name() string { return f.name }

func (f *fake) Start(_ context.Context, k *Kernel) error {
	f.j.note("start %s", f.name)
	if f.loop != nil {
		k.Go(f.name+" loop", f.loop)
	}
	return f.startErr
}

func (f *fake) Stop(ctx context.Context) error {
	f.j.note("stop %s", f.name)
	if f.stall {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// untilDone is a loop that notes its end.
func untilDone(j *journal, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		j.note("end %s", name)
		return nil
	}
}

func fakeNode(t *testing.T, plugins ...Plugin) *Node {
	t.Helper()
	cfg := Default()
	cfg.DataDir = t.TempDir()
	var parts []part
	for _, p := range plugins {
		parts = append(parts, part{p, every(), time.Second})
	}
	n, err := assemble(cfg, Options{Roles: []Role{RoleMonolith}}, parts)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		n := fakeNode(t, &fake{name: "a", j: j, loop: untilDone(j, "a")}, &fake{name: "b", j: j, loop: untilDone(j, "b")})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- n.Run(ctx) }()
		synctest.Wait()
		if got := n.kernel.state.readiness(ctx).Status; got != phaseReady {
			t.Errorf("status %s", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		j.check(t, "start a", "start b", "stop b", "end b", "stop a", "end a")
		if n.kernel.Draining().Err() == nil {
			t.Error("the node stopped and was not draining")
		}
		if err := n.Stop(); err != nil { // again, harmless
			t.Error(err)
		}
	})
}

func TestFailedStartStopsWhatStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		broken := errors.New("broken")
		n := fakeNode(t, &fake{name: "a", j: j}, &fake{name: "b", j: j, startErr: broken, loop: untilDone(j, "b")}, &fake{name: "c", j: j})
		if err := n.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		j.check(t, "start a", "start b", "end b", "stop a") // b's Stop is not called, but its loop is ended
	})
}

func TestCancelledStart(t *testing.T) {
	j := &journal{}
	n := fakeNode(t, &fake{name: "a", j: j})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	j.check(t)
}

func TestFailedLoopStopsTheNode(t *testing.T) {
	for _, c := range []struct {
		name string
		loop func(context.Context) error
		want string
	}{
		{"error", func(context.Context) error { return errors.New("out of luck") }, "b loop: out of luck"},
		{"panic", func(context.Context) error { panic("oh") }, "b loop: panic: oh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journal{}
				n := fakeNode(t, &fake{name: "a", j: j}, &fake{name: "b", j: j, loop: c.loop})
				if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				j.check(t, "start a", "start b", "stop b", "stop a")
			})
		})
	}
}

func TestLoopMayEndByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		n := fakeNode(t, &fake{name: "a", j: j, loop: func(context.Context) error { return nil }})
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-n.failed:
			t.Errorf("the node failed: %v", err)
		default:
		}
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestStallingStop: a part that does not stop costs its own time only.
func TestStallingStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		n := fakeNode(t, &fake{name: "a", j: j, loop: untilDone(j, "a")}, &fake{name: "b", j: j, stall: true})
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := n.Stop(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stop b") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v", took)
		}
		j.check(t, "start a", "start b", "stop b", "stop a", "end a")
	})
}

func TestReadiness(t *testing.T) {
	n := fakeNode(t)
	var fault error
	n.kernel.Check("disk", func(context.Context) error { return fault })
	status := func() Readiness { return n.kernel.state.readiness(t.Context()) }
	if got := status(); got.Status != phaseStarting {
		t.Errorf("before the start: %+v", got)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := status(); got.Status != phaseReady || got.Checks["disk"] != "ok" {
		t.Errorf("started: %+v", got)
	}
	fault = errors.New("the disk is gone")
	if got := status(); got.Status != notReady || got.Checks["disk"] != "the disk is gone" {
		t.Errorf("with a fault: %+v", got)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := status(); got.Status != phaseStopping {
		t.Errorf("stopped: %+v", got)
	}
}

func TestRoles(t *testing.T) {
	names := func(parts []part) (out []string) {
		for _, p := range parts {
			out = append(out, p.plugin.Name())
		}
		return out
	}
	all := names(partsOf([]Role{RoleMonolith}, table()))
	if len(all) != len(table()) {
		t.Errorf("the monolith lacks parts: %v", all)
	}
	own := map[Role]string{
		RoleGateway: "public", RoleUpload: "upload", RoleTranscoder: "transcoder",
		RoleStreaming: "streaming", RoleMetadata: "metadata",
	}
	for role, service := range own {
		got := names(partsOf([]Role{role}, table()))
		for _, name := range []string{"operator", "bus", "stores", service} {
			if !slices.Contains(got, name) {
				t.Errorf("role %s lacks %s: %v", role, name, got)
			}
		}
		for other, foreign := range own {
			if other != role && slices.Contains(got, foreign) {
				t.Errorf("role %s runs %s", role, foreign)
			}
		}
	}
	order := []string{"data directory", "registry", "stores", "transcoder", publicServer, "announcement"}
	at := func(name string) int { return slices.Index(all, name) }
	if !slices.IsSortedFunc(order, func(a, b string) int { return at(a) - at(b) }) {
		t.Errorf("not started in the order of %v: %v", order, all)
	}
	if all[0] != "operator" {
		t.Errorf("from %s", all[0])
	}
	if _, err := ParseRoles("transcode"); err == nil || !strings.Contains(err.Error(), "transcoder") {
		t.Errorf("got %v", err)
	}
}

func TestRefusedRoles(t *testing.T) {
	cfg := Default()
	cfg.DataDir = filepath.Join(t.TempDir(), "none")
	_, err := New(cfg, Options{Roles: []Role{RoleTranscoder}})
	if !errors.Is(err, ErrRole) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(cfg.DataDir); err == nil {
		t.Error("the data directory was made")
	}
}

// testConfig is a node on free ports.
func testConfig(t *testing.T, dir string) *Config {
	t.Helper()
	cfg := Default()
	cfg.DataDir = dir
	cfg.APIGateway.Port, cfg.APIGateway.GRPCPort, cfg.Transcoder.GRPCPort = 0, 0, 0
	cfg.Monitor.Listen = "127.0.0.1:0"
	return cfg
}

// startNode starts a whole node.
func startNode(t *testing.T, cfg *Config) *Node {
	t.Helper()
	n, err := New(cfg, Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return n
}

// get returns status and body.
func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, readAll(t, resp)
}

func TestNode(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, testConfig(t, dir))
	operator := "http://" + n.Addr("operator")

	status, body := get(t, http.DefaultClient, operator+"/readyz")
	var ready Readiness
	if err := json.Unmarshal([]byte(body), &ready); err != nil || status != http.StatusOK || ready.Status != phaseReady {
		t.Errorf("/readyz: %d %s", status, body)
	}
	for path, want := range map[string]string{
		"/healthz": "ok", "/metrics": "go_goroutines", "/debug/pprof/": "goroutine", "/": "/readyz",
	} {
		if status, body := get(t, http.DefaultClient, operator+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q", path, status, want)
		}
	}
	if status, _ := get(t, http.DefaultClient, n.URL()+"/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics on the public port: %d", status)
	}
	// The public port knows no caller, the socket's caller is admin.
	if status, _ := get(t, http.DefaultClient, n.URL()+"/api/v1/videos"); status != http.StatusUnauthorized {
		t.Errorf("public API without a key: %d", status)
	}
	if status, body := get(t, socketClient(dir), "http://socket/api/v1/videos"); status != http.StatusOK {
		t.Errorf("API over the socket: %d %s", status, body)
	}

	id := n.kernel.NodeID
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(AdminSocket(dir)); err == nil {
		t.Error("the socket outlived the node")
	}
	again := startNode(t, testConfig(t, dir))
	if again.kernel.NodeID != id || again.kernel.BootID == n.kernel.BootID {
		t.Errorf("node id %s then %s, boot id %s then %s", id, again.kernel.NodeID, n.kernel.BootID, again.kernel.BootID)
	}
}

// TestEventStreamEndsWhenTheNodeStops: it would hold up the server's end.
func TestEventStreamEndsWhenTheNodeStops(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, testConfig(t, dir))
	resp, err := socketClient(dir).Do(mustRequest(t, "http://socket/api/v1/events"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begun := time.Now()
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took >= serverGrace {
		t.Errorf("the stop took %v", took)
	}
	if body := readAll(t, resp); !strings.HasPrefix(body, ": connected") {
		t.Errorf("the stream was %q", body)
	}
}

func TestSecondNodeOnTheSameData(t *testing.T) {
	dir := t.TempDir()
	startNode(t, testConfig(t, dir))
	second, err := New(testConfig(t, dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = second.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "data_dir "+dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if status, _ := get(t, socketClient(dir), "http://socket/api/v1/videos"); status != http.StatusOK {
		t.Errorf("the second node took the first one's socket: %d", status)
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for key, set := range map[string]func(*Config){
		"api_gateway.port":      func(c *Config) { c.APIGateway.Port = port },
		"api_gateway.grpc_port": func(c *Config) { c.APIGateway.GRPCPort = port },
		"transcoder.grpc_port":  func(c *Config) { c.Transcoder.GRPCPort = port },
		"monitor.listen":        func(c *Config) { c.Monitor.Listen = taken.Addr().String() },
	} {
		t.Run(key, func(t *testing.T) {
			cfg := testConfig(t, t.TempDir())
			set(cfg)
			n, err := New(cfg, Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = n.Start(t.Context())
			if err == nil || !containsAll(err.Error(), []string{key, taken.Addr().String(), "in use", "free port"}) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMissingFFmpeg(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.Transcoder.FFmpeg = "/no/ffmpeg"
	n, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = n.Start(t.Context())
	if !errors.Is(err, ErrTools) || !containsAll(err.Error(), []string{"transcoder.ffmpeg", "/no/ffmpeg", "apt-get install ffmpeg"}) {
		t.Errorf("got %v", err)
	}
}

func TestProbeTools(t *testing.T) {
	tools, err := FindTools("")
	if err != nil {
		t.Fatal(err)
	}
	if version, err := ProbeTools(t.Context(), tools); err != nil || version == "" {
		t.Errorf("version %q, %v", version, err)
	}
	lame := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(lame, []byte("#!/bin/sh\necho ffmpeg version 1.2 x\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	tools.FFmpeg = lame
	if _, err := ProbeTools(t.Context(), tools); !errors.Is(err, ErrTools) || !strings.Contains(err.Error(), "libx264") {
		t.Errorf("got %v", err)
	}
}

func TestUnusableDataDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(testConfig(t, file), Options{})
	if err == nil || !containsAll(err.Error(), []string{"data_dir " + file, "--data DIR"}) {
		t.Errorf("got %v", err)
	}
}

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"streamgate/app/apptest"
	"streamgate/node"
)

// outcome is what a command did.
type outcome struct {
	code        int
	out, stderr string
}

// runCommand runs a command as main would.
func runCommand(t *testing.T, vars []string, args ...string) outcome {
	t.Helper()
	return runContext(t.Context(), t, vars, args...)
}

func runContext(ctx context.Context, t *testing.T, vars []string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(ctx, &env{name: "streamgate", vars: vars, stdout: &stdout, stderr: &stderr}, args)
	return outcome{code, stdout.String(), stderr.String()}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string // in stdout if the code is 0, else in the one line of stderr
	}{
		{"--help", 0, "push FILE"},
		{"help", 0, "Exit codes: 0 success, 1 failure, 2 wrong usage"},
		{"help push", 0, "--wait STATE"},
		{"help videos list", 0, "Usage: streamgate videos list"},
		{"help vidoes", 2, "did you mean streamgate videos"},
		{"push --help", 0, "--wait STATE"},
		{"keys create --help", 0, "--scope SCOPE"},
		{"version", 0, "streamgate "},
		{"--version", 0, "streamgate "},
		{"completion bash", 0, "__start_streamgate"},
		{"completion tcsh", 2, `"tcsh" is no shell`},
		{"frobnicate", 2, `"frobnicate" is no command; streamgate --help lists them`},
		{"vidoes list", 2, `"vidoes" is no command; did you mean streamgate videos?`},
		{"videos", 2, "streamgate videos cells or delete or list or show or update"},
		{"videos lst", 2, "did you mean streamgate videos list"},
		{"videos list --limit -1", 2, `--limit "-1" is not a number from 0 to 1000000`},
		{"videos list --state done", 2, `--state "done" is none of uploading, processing`},
		{"videos list -state ready", 2, "flags begin with two dashes"},
		{"videos update v1", 2, "say what to change: --title, --public or --rule"},
		{"videos update v1 --title", 2, "--title needs a value"},
		{"codes create premiere --count 0", 2, `--count "0" is not a number from 1 to 1000`},
		{"codes create premiere --count 1001", 2, `--count "1001" is not a number from 1 to 1000`},
		{"push --public=maybe x", 2, `--public "maybe" is not of type bool`},
		{"push --watch x y", 2, "exclude each other"},
		{"push --title T x y", 2, "names one video"},
		{"push --rule - -", 2, "can be read only once"},
		{"videos show", 2, "ID is missing"},
		{"videos show a b", 2, `"b" is one argument too many`},
		{"push", 2, "FILE is missing"},
		{"push --wait soon x", 2, "is none of playable, ready"},
		{"push --priority 101 x", 2, "0 to 100"},
		{"keys create --scope god --data /none", 2, "none of admin"},
		{"serve --listen 8080", 2, "host:port"},
		{"serve --role cook", 2, `"cook" is no role`},
		{"serve --nonsense", 2, "--nonsense is no flag"},
		{"serve --role transcoder --data /tmp/never", 1, "set deployment.mode to cluster"},
		{"serve --config /no/such.yaml", 1, "/no/such.yaml"},
		{"config check --set api_gateway.port=x", 1, "api_gateway.port"},
		{"config check --set port=1", 1, "did you mean api_gateway.port"},
		{"config check", 0, "is right"},
		{"config print --set api_gateway.port=1234", 0, "port: 1234"},
		{"healthcheck --set monitor.listen=127.0.0.1:1", 1, "no node answers at monitor.listen"},
		{"push /no/such.mp4", 1, "/no/such.mp4"},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := runCommand(t, []string{"HOME=" + t.TempDir()}, strings.Fields(c.args)...)
			text := got.out
			if c.code != 0 {
				text = got.stderr
				if strings.Count(text, "\n") != 1 {
					t.Errorf("not one line: %q", text)
				}
			}
			if got.code != c.code || !strings.Contains(text, c.want) {
				t.Errorf("code %d\nstdout %s\nstderr %s", got.code, got.out, got.stderr)
			}
		})
	}
}

func TestRolesOf(t *testing.T) {
	for _, c := range []struct {
		named, program string
		want           []node.Role
	}{
		{"", "/usr/bin/streamgate", []node.Role{node.RoleMonolith}},
		{"", "bin/streamgate-monolith", []node.Role{node.RoleMonolith}},
		{"", "bin/streamgate-api-gateway", []node.Role{node.RoleGateway}},
		{"", "streamgate-transcoder", []node.Role{node.RoleTranscoder}},
		{"upload", "streamgate-transcoder", []node.Role{node.RoleUpload}},
		{"upload, metadata,upload", "streamgate", []node.Role{node.RoleUpload, node.RoleMetadata}},
	} {
		if got, err := rolesOf(c.named, c.program); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q, %q: %s, %v", c.named, c.program, got, err)
		}
	}
	for _, program := range []string{"streamgate-cook", "streamgate-monolith,upload", "streamgate-upload,"} {
		if roles, err := rolesOf("", program); err == nil {
			t.Errorf("%s was taken: %v", program, roles)
		}
	}
}

func TestNoNode(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.mp4")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"videos list", "tasks show x", "keys create --scope read", "push " + file} {
		got := runCommand(t, []string{"HOME=" + dir}, append(strings.Fields(args), "--data", dir)...)
		if got.code != 1 || !strings.Contains(got.stderr, "no node is running on "+dir+"; start it with: streamgate serve --data "+dir) {
			t.Errorf("%s: %d %s", args, got.code, got.stderr)
		}
	}
}

// startNode runs a node through main's own door, on a fresh data directory and
// free ports; it returns the directory, and what stops the node.
func startNode(t *testing.T) (dir string, stop func() outcome) {
	t.Helper()
	dir = t.TempDir()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var said apptest.Log
	ready, done := make(chan struct{}), make(chan int, 1)
	var once sync.Once
	e := &env{name: "streamgate", stdout: io.Discard, stderr: writerFunc(func(b []byte) (int, error) {
		if bytes.Contains(b, []byte(`"msg":"ready"`)) {
			once.Do(func() { close(ready) })
		}
		return said.Write(b)
	})}
	go func() {
		done <- run(ctx, e, []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--set", "monitor.listen=127.0.0.1:0",
			"--set", "api_gateway.grpc_port=0", "--set", "transcoder.grpc_port=0"})
	}()
	select {
	case <-ready:
	case code := <-done:
		cancel()
		t.Fatalf("it ended with %d:\n%s", code, said.String())
	}
	stop = sync.OnceValue(func() outcome {
		cancel()
		return outcome{code: <-done, stderr: said.String()}
	})
	t.Cleanup(func() { stop() })
	return dir, stop
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestServe runs a node and stops it by the context of main's signals.
func TestServe(t *testing.T) {
	dir, stop := startNode(t)
	got := runCommand(t, nil, "keys", "create", "--scope", "admin", "--data", dir)
	if got.code != 0 || len(strings.Fields(got.out)) != 1 {
		t.Errorf("keys create: %+v", got)
	}
	if end := stop(); end.code != 0 {
		t.Errorf("serve: %+v", end)
	}
}

func TestHealthcheck(t *testing.T) {
	for _, c := range []struct {
		body string
		code int
		want string
	}{
		{`{"status":"ready","checks":{"bus":"ok"}}`, 0, "ready"},
		{`{"status":"not ready","checks":{"bus":"ok","media":"disk gone"}}`, 1, "not ready; media: disk gone"},
		{`{"status":"stopping","checks":{}}`, 1, "stopping"},
		{`<html>`, 1, "is no node"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(c.body)) }))
		got := runCommand(t, []string{"HOME=/"}, "healthcheck", "--set", "monitor.listen="+srv.Listener.Addr().String())
		srv.Close()
		if got.code != c.code || !strings.Contains(got.out+got.stderr, c.want) {
			t.Errorf("%s: %+v", c.body, got)
		}
	}
}

func TestDialable(t *testing.T) {
	for addr, want := range map[string]string{
		":6060": "127.0.0.1:6060", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "10.0.0.1:1": "10.0.0.1:1",
	} {
		if got := dialable(addr); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	held := httptest.NewServer(http.NotFoundHandler())
	defer held.Close()
	chains := filepath.Join(dir, "chains.yaml")
	if err := os.WriteFile(chains, []byte("chains: [{id: 7, name: Seven, urls: ["+held.URL+"]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := []string{"--set", "api_gateway.port=0", "--set", "api_gateway.grpc_port=0", "--set", "transcoder.grpc_port=0"}
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"missing ffmpeg", []string{"--set", "transcoder.ffmpeg=/no/ffmpeg", "--set", "monitor.listen=127.0.0.1:0"}, 1,
			[]string{"BAD  ffmpeg", "/no/ffmpeg", "mend it: sudo apt-get install ffmpeg"}},
		{"held port", []string{"--set", "monitor.listen=" + held.Listener.Addr().String()}, 1,
			[]string{"BAD  port", "address already in use", "ss -ltnp", "monitor.listen"}},
		{"new data directory", []string{"--set", "monitor.listen=127.0.0.1:0", "--data", filepath.Join(dir, "new", "data")}, -1,
			[]string{"ok   ffmpeg", "libx264", "ok   data directory", "will be made", "open files", " free"}},
		{"an endpoint of no chain", []string{"--config", chains, "--set", "monitor.listen=127.0.0.1:0"}, 1,
			[]string{"BAD  answer", "Seven, 127.0.0.1:", "HTTP status 404", "mend it: Look whether the URL"}},
		{"no directory", []string{"--set", "monitor.listen=127.0.0.1:0", "--data", "/proc/none"}, 1,
			[]string{"data directory", "/proc/none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"doctor", "--data", dir}, ports...), c.args...)
			got := runCommand(t, nil, args...)
			if c.code >= 0 && got.code != c.code { // this machine's disk may be small
				t.Errorf("code %d", got.code)
			}
			for _, want := range c.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("lacks %q:\n%s%s", want, got.out, got.stderr)
				}
			}
		})
	}
}

// TestDoctorAsksTheNode: the ports that the running node has are not in the
// way, whatever the configuration says; others' are.
func TestDoctorAsksTheNode(t *testing.T) {
	dir, _ := startNode(t)
	held := listeners(t.Context(), dir)
	if len(held) != 5 {
		t.Fatalf("the node says that it listens on %v", held)
	}
	for _, args := range [][]string{
		{"--set", "monitor.listen=" + held["operator"], "--set", "api_gateway.port=" + portOf(held["public"])}, // as it was started
		{"--set", "monitor.listen=127.0.0.1:1"},
	} {
		got := runCommand(t, nil, append([]string{"doctor", "--data", dir}, args...)...)
		for _, server := range []string{"public", "grpc", "transcoder grpc", "operator"} {
			if !strings.Contains(got.out, "the running node listens on "+held[server]) {
				t.Errorf("%q does not name %s %s", args, server, held[server])
			}
		}
		if strings.Contains(got.out, "BAD  port") {
			t.Errorf("%q:\n%s", args, got.out)
		}
	}
	got := runCommand(t, nil, "doctor", "--data", t.TempDir(), "--set", "monitor.listen="+held["operator"])
	if got.code != 1 || !strings.Contains(got.out, "BAD  port "+portOf(held["operator"])) {
		t.Errorf("another data directory: %+v", got)
	}
	got = runCommand(t, nil, "healthcheck", "--json", "--set", "monitor.listen="+held["operator"])
	if got.code != 0 || !strings.Contains(got.out, `"status": "ready"`) || strings.Contains(got.out, "listeners") {
		t.Errorf("healthcheck: %+v", got)
	}
}

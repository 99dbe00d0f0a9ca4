package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"streamgate/app/apptest"
)

// program is the binary under test, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "streamgate-e2e-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "streamgate")
		if err := build(program); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(to string, flags ...string) error {
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", to}, flags, []string{"streamgate/cmd/streamgate"})...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return nil
}

// node is a running program.
type node struct {
	t    *testing.T
	data string
	args []string
	env  []string // further variables
	// program is what start runs, unless it is the program under test.
	program string
	// made lists a video's cells, and when each was put, where the media are not
	// in the data directory.
	made func(id string) map[string]time.Time

	url, grpc, transcoder, operator string

	cmd  *exec.Cmd
	done chan error
	log  *apptest.Log // what the node says
	key  string       // of an admin, once asked for
}

// startNode runs a node on a fresh data directory and free ports, with further
// arguments for serve.
func startNode(t *testing.T, args ...string) *node {
	t.Helper()
	n := newNode(t, args...)
	n.start()
	return n
}

// newNode is startNode without the start.
func newNode(t *testing.T, args ...string) *node {
	t.Helper()
	n := &node{t: t, data: t.TempDir(), log: &apptest.Log{}}
	t.Cleanup(func() { apptest.WantNoSecrets(t, n.log.String()) })
	ports := freePorts(t, 4)
	n.url = "http://127.0.0.1:" + ports[0]
	n.grpc, n.transcoder, n.operator = "127.0.0.1:"+ports[1], "127.0.0.1:"+ports[2], "127.0.0.1:"+ports[3]
	n.args = append([]string{
		"serve", "--data", n.data, "--listen", "127.0.0.1:" + ports[0],
		"--set", "api_gateway.grpc_port=" + ports[1], "--set", "transcoder.grpc_port=" + ports[2],
		"--set", "monitor.listen=" + n.operator,
	}, args...)
	t.Cleanup(func() {
		if n.cmd != nil {
			n.kill()
		}
		if t.Failed() {
			t.Logf("the node said:\n%s", lastLines(n.log.String(), 40))
		}
	})
	return n
}

// start runs the program until it says that it is ready.
func (n *node) start() {
	n.t.Helper()
	if err := n.tryStart(); err != nil {
		n.t.Fatalf("%v\n%s", err, n.log)
	}
}

// tryStart is start, and tells whether the program ended instead.
func (n *node) tryStart() error {
	n.t.Helper()
	ready := n.launch()
	select {
	case <-ready:
		return nil
	case err := <-n.done:
		n.done <- err
		return fmt.Errorf("the node ended at its start: %w", err)
	case <-time.After(20 * time.Second):
		return errors.New("the node is not ready after 20 s")
	}
}

// launch runs the program, and tells when it says that it is ready.
func (n *node) launch() (ready <-chan struct{}) {
	n.t.Helper()
	n.cmd = exec.Command(cmp.Or(n.program, program), n.args...)
	n.cmd.Env = n.environ()
	stderr, err := n.cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	said, done := make(chan struct{}), make(chan error, 1)
	n.done = done
	cmd := n.cmd
	go func() {
		lines := bufio.NewScanner(io.TeeReader(stderr, n.log))
		lines.Buffer(nil, 1<<20)
		for once := false; lines.Scan(); {
			if !once && strings.Contains(lines.Text(), `"msg":"ready"`) {
				once = true
				close(said)
			}
		}
		done <- cmd.Wait()
	}()
	return said
}

// kill is kill -9.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may be gone
	err := <-n.done
	n.done <- err
}

// stop is SIGTERM; it returns the exit code.
func (n *node) stop() int {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	select {
	case err := <-n.done:
		n.done <- err
		return exitCode(err)
	case <-time.After(75 * time.Second):
		n.t.Fatal("the node did not stop")
		return -1
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// ctl runs one of the node's commands and returns what it printed on stdout.
func (n *node) ctl(args ...string) string {
	n.t.Helper()
	out, stderr, err := n.try(args...)
	if err != nil {
		n.t.Fatalf("streamgate %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr)
	}
	return out
}

func (n *node) try(args ...string) (stdout, stderr string, err error) {
	cmd := n.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (n *node) command(args ...string) *exec.Cmd {
	cmd := exec.Command(program, append(args, "--data", n.data)...)
	cmd.Env = n.environ()
	return cmd
}

func (n *node) environ() []string {
	return append(append(os.Environ(), "XDG_STATE_HOME="+n.data+"/state"), n.env...)
}

// pushed is what tests look at of the video that push --json prints.
type pushed struct {
	VideoID  string `json:"id"`
	TaskID   string `json:"task_id"`
	WatchURL string `json:"watch_url"`
	HLSURL   string `json:"hls_url"`
	DASHURL  string `json:"dash_url"`
}

func (n *node) push(file string, args ...string) pushed {
	n.t.Helper()
	var p pushed
	out := n.ctl(append([]string{"push", file, "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		n.t.Fatalf("push printed %q: %v", out, err)
	}
	return p
}

// video is what tests look at of a video.
type video struct {
	ID         string  `json:"id"`
	State      string  `json:"state"`
	Duration   float64 `json:"duration_seconds"`
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	Progress   float64 `json:"progress"`
	Size       float64 `json:"size_bytes"`
	SHA256     string  `json:"sha256"`
	TaskID     string  `json:"task_id"`
	Storyboard bool    `json:"storyboard"`
	Renditions []struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
		Copy bool   `json:"copy"`
	} `json:"renditions"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func (n *node) video(id string) video {
	n.t.Helper()
	var v video
	if err := json.Unmarshal([]byte(n.ctl("videos", "show", id, "--json")), &v); err != nil {
		n.t.Fatal(err)
	}
	return v
}

// wait asks until ok says so, or fails the test after limit.
func (n *node) wait(id string, limit time.Duration, what string, ok func(video) bool) video {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), limit)
	defer cancel()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		v := n.video(id)
		if ok(v) {
			return v
		}
		select {
		case <-ctx.Done():
			n.t.Fatalf("after %s the video is not %s: %+v", limit, what, v)
		case <-poll.C:
		}
	}
}

func (n *node) waitState(id, state string) video {
	n.t.Helper()
	return n.wait(id, 5*time.Minute, state, func(v video) bool {
		if v.State == "failed" && state != "failed" {
			n.t.Fatalf("the video has failed: %+v", v.Error)
		}
		return v.State == state
	})
}

// get fetches a URL; a status other than 200 fails the test.
func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s\n%s", url, resp.Status, body)
	}
	return body
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ports = append(ports, strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

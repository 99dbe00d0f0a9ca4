package e2e

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// newcomers are the faults that are in a node which is started beside a running
// cluster, or around it then.
func (c *clients) newcomers() {
	c.startsWithoutConsul()
	c.comesTwice()
	c.isOlder()
	c.isEarly()
}

// startsWithoutConsul: a node waits, says for what, and serves once it is there.
func (c *clients) startsWithoutConsul() {
	var n *node
	var ready <-chan struct{}
	c.during("Consul is gone when a node starts", func() {
		check(c.f.t, c.f.consul.Kill())
		n = c.f.newcomer("streaming")
		ready = n.launch()
		n.poll("it to wait", func() bool {
			return n.says(http.StatusServiceUnavailable, "starting", "waiting, and trying again: cluster.registry")
		})
	}, func() {
		check(c.f.t, c.f.consul.Start())
		select {
		case <-ready:
		case err := <-n.done:
			c.f.t.Fatalf("the node ended: %v\n%s", err, n.log)
		case <-time.After(time.Minute):
			c.f.t.Fatalf("the node is not ready\n%s", n.log)
		}
		n.stop()
	})
}

// comesTwice: a copy of a node's data directory ends, and does nothing before.
func (c *clients) comesTwice() {
	var n *node
	c.during("two nodes have one identity", func() {
		n = c.f.newNode("upload")
		copyFiles(c.f.t, n.data, c.f.node("upload").data)
		n.launch()
	}, func() { n.refuses("a copy of its data_dir was started") })
}

// isOlder: a node that does not know the tables ends.
func (c *clients) isOlder() {
	var n *node
	c.during("a node is older than the tables", func() {
		c.f.exec(`INSERT INTO schema_versions (version) VALUES (99)`)
		n = c.f.newcomer("metadata")
		n.launch()
	}, func() {
		n.refuses("version 99")
		c.f.exec(`DELETE FROM schema_versions WHERE version = 99`)
	})
}

// isEarly: a node whose clock is off is asked for nothing, and what is asked of a
// gateway of that kind is refused with the reason.
func (c *clients) isEarly() {
	var all []*node
	c.during("a node's clock is 5 min fast", func() {
		early := programOff(c.f.t, 5*time.Minute)
		for _, name := range []string{"metadata,upload,streaming,transcoder", "api-gateway"} {
			n := c.f.newcomer(name)
			n.program = early
			n.start()
			n.poll("it to say so", func() bool { return n.says(http.StatusServiceUnavailable, "not ready", "5m0s off") })
			all = append(all, n)
		}
		a := all[1].call("POST", "/api/v1/videos", c.f.front.key, map[string]any{"title": "Written"})
		if a.status != http.StatusServiceUnavailable || a.retry == "" || !strings.Contains(a.body, "clock") {
			c.f.t.Errorf("a gateway whose clock is off says %d, with Retry-After %q: %s", a.status, a.retry, a.body)
		}
	}, func() {
		for _, n := range all {
			n.stop()
		}
	})
}

// newcomer makes a node that may join, and is none of the fleet's.
func (f *fleet) newcomer(roles string) *node {
	n := f.newNode(roles)
	f.invite(n)
	return n
}

// says tells whether a node answers so when it is asked whether it is ready.
func (n *node) says(status int, what ...string) bool {
	a, err := answered(n.get("http://" + n.operator + "/readyz"))
	for _, part := range what {
		if !strings.Contains(a.body, part) {
			return false
		}
	}
	return err == nil && a.status == status
}

// get is a request.
func (n *node) get(url string) *http.Request {
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, url, nil)
	check(n.t, err)
	return req
}

// refuses waits for a node to end at its start, and for why.
func (n *node) refuses(why string) {
	n.t.Helper()
	select {
	case err := <-n.done:
		n.done <- err
		if exitCode(err) <= 0 || !strings.Contains(n.log.String(), why) {
			n.t.Errorf("it ended (%v), and does not say %q:\n%s", err, why, n.log)
		}
	case <-time.After(2 * time.Minute):
		n.t.Errorf("it did not end:\n%s", n.log)
	}
}

// exec changes the database behind the nodes' back.
func (f *fleet) exec(sql string) {
	f.t.Helper()
	conn, err := pgx.Connect(f.t.Context(), f.on.pg.Address("postgres"))
	check(f.t, err)
	defer conn.Close(f.t.Context())
	_, err = conn.Exec(f.t.Context(), sql)
	check(f.t, err)
}

// copyFiles copies what is a file of a directory that is in use.
func copyFiles(t *testing.T, to, from string) {
	t.Helper()
	check(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // it has gone since
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // it has gone since
		}
		at := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return err
		}
		return os.WriteFile(at, data, 0o600)
	}))
}

// programOff builds the program over a package time whose time of day is ahead: the
// clock that processes see cannot be moved for one of them.
func programOff(t *testing.T, by time.Duration) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	check(t, err)
	file := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(file)
	check(t, err)
	const reads = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(source), reads, reads+"\tsec += "+strconv.Itoa(int(by.Seconds()))+"\n", 1)
	if changed == string(source) {
		t.Fatalf("%s reads the clock in another way; change programOff", file)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: writeFile(t, "time.go", changed)}})
	check(t, err)
	program := filepath.Join(t.TempDir(), "streamgate")
	check(t, build(program, "-overlay", writeFile(t, "overlay.json", string(overlay))))
	return program
}

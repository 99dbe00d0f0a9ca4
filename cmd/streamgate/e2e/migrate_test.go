package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/postgres"
	"streamgate/store/servertest"
)

// movable is a node that moves between two configurations.
type movable struct {
	*node
	single, cluster string // files
	database        string // of the cluster
}

// startMovable runs a monolith from a file, on a machine with servers for a cluster.
func startMovable(t *testing.T) *movable {
	t.Helper()
	on := startAllServers(t)
	consul := servertest.NeedConsul(t, "../../../bin/consul")
	n := newNode(t)
	ports := freePorts(t, 2)
	_, port, _ := strings.Cut(strings.TrimPrefix(n.url, "http://"), ":")
	_, grpc, _ := strings.Cut(n.grpc, ":")
	_, transcoder, _ := strings.Cut(n.transcoder, ":")
	common := fmt.Sprintf("api_gateway: {port: %s, grpc_port: %s, public_url: %q}\ntranscoder: {grpc_port: %s, worker_pool_size: 2}\nmonitor: {listen: %q}\naccess: {ticket_ttl: 2m}\n",
		port, grpc, n.url, transcoder, n.operator)
	m := &movable{node: n, database: on.pg.Address("postgres")}
	m.single = writeFile(t, "streamgate.yaml", common)
	m.cluster = writeFile(t, "cluster.yaml", common+fmt.Sprintf("deployment: {mode: cluster}\nrecords: {url: %q}\nmedia: {url: %q}\ncache: {url: %q}\ncluster: {registry: %q, listen: \"127.0.0.1:%s\", events: \"127.0.0.1:%s\"}\n",
		on.pg.Address("postgres"), on.media, on.redis.URL(), "consul://"+consul.Address(), ports[0], ports[1]))
	n.args = []string{"serve", "--config", m.single, "--data", n.data}
	n.ctl("ca", "init")
	n.start()
	n.key = strings.TrimSpace(n.ctl("keys", "create", "--scope", "admin"))
	return m
}

// moved is what migrate --json prints.
type movedTo struct {
	Target  string
	Objects int
	Copied  int
	Tables  map[string]int
	Moved   bool
	Pause   float64 `json:"pause_seconds"`
}

func (m *movable) migrate(to string, args ...string) (got movedTo) {
	m.t.Helper()
	begun := time.Now()
	out := m.ctl(append([]string{"migrate", "--to", to, "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		m.t.Fatalf("migrate printed %q: %v", out, err)
	}
	m.t.Logf("migrate --to %s: %+v in %v", filepath.Base(to), got, time.Since(begun).Round(time.Millisecond))
	return got
}

// writer creates videos all the time, and notes for how long it could not.
type writer struct {
	stop    chan struct{}
	done    sync.WaitGroup
	kept    []string
	refused int
	pause   time.Duration // the longest
	odd     []string
}

func (m *movable) write() *writer {
	w := &writer{stop: make(chan struct{})}
	w.done.Go(func() {
		last := time.Now()
		for {
			a := m.call("POST", "/api/v1/videos", m.key, map[string]any{"title": "Written"})
			switch {
			case a.status/100 == 2:
				w.kept = append(w.kept, a.ID)
				w.pause = max(w.pause, time.Since(last))
				last = time.Now()
			case a.status == http.StatusServiceUnavailable && a.retry != "":
				w.refused++
			default:
				w.odd = append(w.odd, fmt.Sprintf("%d %s", a.status, a.body))
			}
			select {
			case <-w.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return w
}

// ended stops the writer: all that was acknowledged is there.
func (w *writer) ended(m *movable) {
	m.t.Helper()
	close(w.stop)
	w.done.Wait()
	m.t.Logf("%d writes acknowledged, %d refused, the longest time without one %v", len(w.kept), w.refused, w.pause.Round(time.Millisecond))
	if len(w.odd) > 0 {
		m.t.Errorf("%d writes ended oddly, the first: %s", len(w.odd), w.odd[0])
	}
	if w.pause > 10*time.Second {
		m.t.Errorf("writes were refused for %v", w.pause)
	}
	for _, id := range w.kept {
		m.call("GET", "/api/v1/videos/"+id, m.key, nil).want(m.t, "what was acknowledged", http.StatusOK)
	}
}

// tus sends a part of an upload, and returns its offset.
func (m *movable) tus(method, address string, at int, body []byte) (offset int) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.key)
	req.Header.Set("Tus-Resumable", "1.0.0")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/offset+octet-stream")
		req.Header.Set("Upload-Offset", strconv.Itoa(at))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	offset, err = strconv.Atoi(resp.Header.Get("Upload-Offset"))
	if err != nil {
		m.t.Fatalf("%s %s: %s, Upload-Offset: %v", method, address, resp.Status, err)
	}
	return offset
}

// beginUpload creates an upload of a source.
func (m *movable) beginUpload(size int, name string) (address string) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodPost, m.url+"/api/v1/uploads", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.key)
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Length", strconv.Itoa(size))
	req.Header.Set("Upload-Metadata", "filename "+base64.StdEncoding.EncodeToString([]byte(name)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		m.t.Fatalf("create an upload: %s", resp.Status)
	}
	return resp.Header.Get("Location")
}

// hashes are those of every cell of a video, by rendition and segment.
func (m *movable) hashes(id string) map[string]string {
	m.t.Helper()
	out := map[string]string{}
	for _, r := range m.video(id).Renditions {
		for i := 0; ; i++ {
			name := fmt.Sprintf("%s/%d.m4s", r.Name, i)
			resp, err := http.Get(m.url + "/v/" + id + "/" + name)
			if err != nil {
				m.t.Fatal(err)
			}
			sum := sha256.New()
			_, err = sum.Write(readAll(m.t, resp))
			if err != nil {
				m.t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK {
				break
			}
			out[name] = hex.EncodeToString(sum.Sum(nil))
		}
	}
	if len(out) == 0 {
		m.t.Fatalf("video %s has no cells", id)
	}
	return out
}

func readAll(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sameHashes(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d cells, want %d", len(got), len(want))
	}
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("cell %s: %s, want %s", name, got[name], sum)
		}
	}
}

// TestMigrate moves a monolith to a cluster's stores and back, while a player plays, a
// client writes, a video is encoded and another one is being uploaded.
func TestMigrate(t *testing.T) {
	m := startMovable(t)
	key := m.key
	reader := strings.TrimSpace(m.ctl("keys", "create", "--scope", "read"))
	played := m.push(copied(t), "--public", "--wait", "ready")
	encoded := m.push(smallClip(t, 240), "--public", "--wait", "playable")
	cells := m.hashes(played.VideoID)
	session := m.call("POST", "/api/v1/videos/"+played.VideoID+"/sessions", key, map[string]any{}).want(t, "a link", http.StatusCreated)
	public, gated := m.url+"/v/"+played.VideoID+"/", m.url+"/s/"+session.Token+"/"
	rendition := m.video(played.VideoID).Renditions[0].Name

	source, err := os.ReadFile(smallClip(t, 30))
	if err != nil {
		t.Fatal(err)
	}
	upload := m.beginUpload(len(source), "half.mkv")
	half := m.tus(http.MethodPatch, upload, 0, source[:len(source)/3])

	if dry := m.migrate(m.cluster, "--dry-run"); dry.Moved || dry.Target != "empty" || dry.Objects == 0 || dry.Tables["videos"] != 3 {
		t.Errorf("dry run: %+v", dry)
	}
	viewer := play(gated+"master.m3u8", gated+rendition+"/index.m3u8", gated+rendition+"/0.m4s", public+"manifest.mpd", public+rendition+"/0.m4s")
	for i, to := range []string{m.cluster, m.single} {
		clients := m.write()
		m.poll("writes", func() bool { return m.call("GET", "/api/v1/videos", reader, nil).status == http.StatusOK })
		if got := m.migrate(to); !got.Moved {
			t.Errorf("%+v", got)
		}
		clients.ended(m)
		sameHashes(t, m.hashes(played.VideoID), cells)
		if at := m.tus(http.MethodHead, upload, 0, nil); at != half {
			t.Fatalf("the upload is at %d, want %d", at, half)
		}
		half = m.tus(http.MethodPatch, upload, half, source[half:len(source)*(2+i)/3])
		m.call("GET", "/api/v1/videos", reader, nil).want(t, "the other key", http.StatusOK)
		m.call("POST", "/api/v1/keys", reader, map[string]any{"scope": "admin"}).want(t, "more than its scope", http.StatusForbidden)
		if now := m.task(encoded.TaskID); now.State == "failed" || now.Attempt > 1 {
			t.Errorf("the task: %+v", now)
		}
	}
	viewer.ended(t)
	m.wait(encoded.VideoID, 5*time.Minute, "ready", func(v video) bool { return v.State == "ready" })
	sum := sha256.Sum256(source)
	var list struct{ Videos []video }
	m.api(&list, "videos?limit=200")
	found := false
	for _, v := range list.Videos {
		found = found || v.SHA256 == hex.EncodeToString(sum[:])
	}
	if !found {
		t.Error("the upload that went on twice is not among the videos with its SHA-256")
	}
}

// startAnew starts the node on the configuration that is in use, and says which. What
// was left is refused in one line that says where to go.
func (m *movable) startAnew() (moved bool) {
	m.t.Helper()
	for _, file := range []string{m.single, m.cluster} {
		m.args = []string{"serve", "--config", file, "--data", m.data, "--role", "monolith"}
		from := len(m.log.String())
		err := m.tryStart()
		if err == nil {
			return file == m.cluster
		}
		lines := strings.Split(strings.TrimSpace(m.log.String()[from:]), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, "was moved away") || !strings.Contains(last, "--config "+m.cluster) || !strings.Contains(last, "to go back") {
			m.t.Fatalf("%v: %s", err, last)
		}
	}
	m.t.Fatal("neither configuration is in use")
	return false
}

// TestMigrateKilled kills the node with -9 in the middle of moves, again and again, and
// the command once: nothing that was acknowledged is lost, and the move goes on.
func TestMigrateKilled(t *testing.T) {
	m := startMovable(t)
	played := m.push(copied(t), "--public", "--wait", "ready")
	cells := m.hashes(played.VideoID)
	var kept []string
	create := func() {
		a := m.call("POST", "/api/v1/videos", m.key, map[string]any{"title": "Written"})
		if a.status/100 == 2 {
			kept = append(kept, a.ID)
		} else if a.status != http.StatusServiceUnavailable {
			t.Errorf("a write: %d %s", a.status, a.body)
		}
	}

	cut := m.command("migrate", "--to", m.cluster)
	if err := cut.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { cut.Process.Kill() })
	_ = cut.Wait() // it was killed
	m.poll("writes after the command was killed", func() bool {
		n := len(kept)
		create()
		return len(kept) > n
	})

	moved, kills := false, 0
	for delay := 200 * time.Millisecond; !moved; delay += 200 * time.Millisecond {
		if delay > 10*time.Second {
			t.Fatal("it never comes to its end")
		}
		create()
		cmd := m.command("migrate", "--to", m.cluster)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			t.Logf("a command ended by itself after less than %v: %v", delay, err)
		case <-time.After(delay):
		}
		m.kill()
		kills++
		moved = m.startAnew()
		sameHashes(t, m.hashes(played.VideoID), cells)
		create()
	}
	for _, id := range kept {
		m.call("GET", "/api/v1/videos/"+id, m.key, nil).want(t, "what was acknowledged", http.StatusOK)
	}
	t.Logf("killed %d times, %d writes acknowledged and there", kills, len(kept))
	if kills < 2 {
		t.Error("it was moved before it could be killed")
	}
}

// TestMigrateBackOthers moves a cluster of two nodes back to one of them: the other one
// refuses writes from the pause on, says why, and goes on playing; it does not start
// again.
func TestMigrateBackOthers(t *testing.T) {
	m := startMovable(t)
	played := m.push(copied(t), "--public", "--wait", "ready")
	m.migrate(m.cluster)
	ports := freePorts(t, 2)
	listen := strings.Split(strings.SplitN(string(must(os.ReadFile(m.cluster))), "listen: \"127.0.0.1:", 3)[2], "\"")[0]
	token := strings.TrimSpace(m.ctl("ca", "token", "--address", "127.0.0.1:"+listen))
	other := newNode(t, "--config", m.cluster, "--role", "api-gateway,metadata,streaming",
		"--set", "cluster.listen=127.0.0.1:"+ports[0], "--set", "cluster.events=127.0.0.1:"+ports[1])
	other.env = []string{"STREAMGATE_CLUSTER_JOIN_TOKEN=" + token}
	other.start()
	m.poll("both nodes", func() bool { return strings.Count(m.ctl("node", "list"), " ready ") == 2 })
	rendition := m.video(played.VideoID).Renditions[0].Name
	viewer := play(other.url+"/v/"+played.VideoID+"/master.m3u8", other.url+"/v/"+played.VideoID+"/"+rendition+"/0.m4s")

	codes := map[string]int{}
	var kept []string
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			a := other.call("POST", "/api/v1/videos", m.key, map[string]any{"title": "Written"})
			if a.status/100 == 2 {
				kept = append(kept, a.ID)
			} else if a.status != http.StatusServiceUnavailable || a.retry == "" {
				t.Errorf("a write at the other node: %d %s", a.status, a.body)
			}
			codes[a.Code]++
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	m.migrate(m.single)
	m.poll("the other node's word", func() bool {
		return other.call("POST", "/api/v1/videos", m.key, map[string]any{"title": "Late"}).Code == "moved"
	})
	close(stop)
	<-done
	viewer.ended(t)
	t.Logf("what writes at the other node ended with: %v", codes)
	if codes["read_only"] == 0 || codes["moved"] == 0 {
		t.Errorf("%v", codes)
	}
	for _, id := range kept {
		m.call("GET", "/api/v1/videos/"+id, m.key, nil).want(t, "what was acknowledged", http.StatusOK)
	}
	other.stop()
	if err := other.tryStart(); err == nil || !strings.Contains(lastLines(other.log.String(), 1), "was moved away") {
		t.Errorf("it starts again: %v, %s", err, lastLines(other.log.String(), 1))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestMigrateRecords moves records alone: the bucket stays, and is given to the cluster
// and back.
func TestMigrateRecords(t *testing.T) {
	m := startMovable(t)
	bucket := regexp.MustCompile(`(?m)^media: .*\n`).FindString(string(must(os.ReadFile(m.cluster))))
	m.migrate(m.cluster) // only to have media in the bucket
	db := must(postgres.Open(t.Context(), m.database, postgres.Options{}))
	entries, _, err := db.Catalog().Audit.List(t.Context(), store.Query{})
	db.Close()
	check(t, err)
	if !slices.ContainsFunc(entries, func(e store.AuditEntry) bool {
		return e.Action == "deployment.migrate" && e.Who == "this machine" && bytes.Contains(e.After, []byte("postgres on"))
	}) {
		t.Errorf("the move is not in the audit log: %+v", entries)
	}
	single := string(must(os.ReadFile(m.single)))
	if err := os.WriteFile(m.single, []byte(single+bucket), 0o600); err != nil {
		t.Fatal(err)
	}
	played := m.push(copied(t), "--public", "--wait", "ready")
	cells := m.hashes(played.VideoID)
	source := must(os.ReadFile(smallClip(t, 10)))
	upload := m.beginUpload(len(source), "half.mkv")
	half := m.tus(http.MethodPatch, upload, 0, source[:len(source)/2])
	for _, to := range []string{m.single, m.cluster} {
		if got := m.migrate(to); got.Objects != 0 {
			t.Errorf("%+v", got)
		}
		m.kill()
		m.args = []string{"serve", "--config", to, "--data", m.data, "--role", "monolith"}
		m.start()
		sameHashes(t, m.hashes(played.VideoID), cells)
		if at := m.tus(http.MethodHead, upload, 0, nil); at != half {
			t.Errorf("the upload is at %d, want %d", at, half)
		}
	}
	if at := m.tus(http.MethodPatch, upload, half, source[half:]); at != len(source) {
		t.Errorf("the upload ended at %d", at)
	}
}

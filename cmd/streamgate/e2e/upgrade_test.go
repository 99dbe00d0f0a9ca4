package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"streamgate/store/postgres"
)

// laterProgram builds the program of a version to come, which knows one step more of
// the database's tables.
func laterProgram(t *testing.T, step string) string {
	t.Helper()
	file, to := writeFile(t, "1.sql", step), filepath.Join(t.TempDir(), "streamgate")
	check(t, build(to, "-ldflags", "-X streamgate/store/postgres.laterSteps="+filepath.Dir(file)))
	return to
}

// TestClusterUpgrade exchanges the program of one node after the other while one
// video plays, another is encoded, and more are created. The two versions share the
// database, in which the newer one has changed the tables at once; a node of the older
// one that crashes starts again, and one that was upgraded can go back. A version that
// would take away what the others need is refused, and says whom it waits for.
func TestClusterUpgrade(t *testing.T) {
	f := startFleet(t, writeFile(t, "streamgate.yaml", "transcoder: {worker_pool_size: 2}\n"),
		"metadata", "metadata 2", "monitor", "transcoder", "transcoder 2", "upload", "streaming", "streaming 2", "api-gateway")
	known := f.schema()
	next := laterProgram(t, "-- compatible 4\nCREATE TABLE later (one text)")
	breaks := laterProgram(t, fmt.Sprintf("-- compatible %d\nDROP TABLE decisions", known+1))
	n := f.front
	n.key = strings.TrimSpace(n.ctl("keys", "create", "--scope", "admin"))
	played := n.push(copied(t), "--public", "--wait", "ready")
	encoded := n.push(smallClip(t, 240), "--public", "--wait", "playable")
	session := n.call("POST", "/api/v1/videos/"+played.VideoID+"/sessions", n.key, map[string]any{}).want(t, "a link", http.StatusCreated)
	gated, rendition := n.url+"/s/"+session.Token+"/", n.video(played.VideoID).Renditions[0].Name
	viewer := play(t, gated+"master.m3u8", gated+rendition+"/index.m3u8", gated+rendition+"/0.m4s")
	writes, before := &acknowledged{n: n}, n.cells(encoded.VideoID)

	exchange := func(name, program string) {
		t.Helper()
		old := f.node(name)
		if code := old.stop(); code != 0 {
			t.Errorf("%s ended with %d", name, code)
		}
		for range 5 {
			if old != n && !writes.create() {
				t.Errorf("a write is refused, though %s has left in order", name)
			}
		}
		old.program = program
		old.start()
		n.poll(name+" to be back", func() bool { return f.ready() == len(f.nodes) })
	}

	monitor := f.node("monitor")
	monitor.stop()
	monitor.program = breaks
	if err := monitor.tryStart(); err == nil || !strings.Contains(monitor.log.String(), "could not use the new ones") {
		t.Errorf("it changes the tables under the others: %v", err)
	}
	if got := f.schema(); got != known {
		t.Errorf("after a refused upgrade the tables have version %d, want %d", got, known)
	}
	monitor.program = next
	monitor.start()
	if got := f.schema(); got != known+1 {
		t.Errorf("the tables have version %d, want %d", got, known+1)
	}
	f.node("metadata 2").kill()
	f.node("metadata 2").start() // the older version, on the newer one's tables
	for _, name := range []string{"metadata", "metadata 2", "transcoder", "transcoder 2", "upload", "streaming", "streaming 2"} {
		exchange(name, next)
	}
	exchange("metadata", "") // and back
	n.wait(encoded.VideoID, 5*time.Minute, "ready", func(v video) bool { return v.State == "ready" })
	n.wantKept(encoded.VideoID, before)
	if now := n.waitTask(encoded.TaskID, "succeeded"); now.Attempt != 1 {
		t.Errorf("task %+v", now)
	}
	viewer.ended(t)
	exchange("api-gateway", next)
	writes.wantAll()
}

// schema is the version of the database's tables.
func (f *fleet) schema() int {
	f.t.Helper()
	look, err := postgres.Look(f.t.Context(), f.on.pg.Address("postgres"))
	check(f.t, err)
	return look.Schema
}

// acknowledged are videos that a node said it has created.
type acknowledged struct {
	n   *node
	ids []string
}

// create creates one more; false where the node said when to try again.
func (w *acknowledged) create() bool {
	w.n.t.Helper()
	a := w.n.call("POST", "/api/v1/videos", w.n.key, map[string]any{"title": "Written"})
	switch {
	case a.status/100 == 2:
		w.ids = append(w.ids, a.ID)
		return true
	case a.status == http.StatusServiceUnavailable && a.retry != "":
		return false
	}
	w.n.t.Fatalf("a video could not be created: %d, Retry-After %q\n%s", a.status, a.retry, a.body)
	return false
}

func (w *acknowledged) wantAll() {
	w.n.t.Helper()
	for _, id := range w.ids {
		w.n.call("GET", "/api/v1/videos/"+id, w.n.key, nil).want(w.n.t, "what was acknowledged", http.StatusOK)
	}
	w.n.t.Logf("%d acknowledged and there", len(w.ids))
}

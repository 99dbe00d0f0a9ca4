package upload_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"streamgate/app/upload"
	"streamgate/store"
)

// nodes are services with folders of their own over the same stores.
type nodes struct {
	mu   sync.Mutex
	dead map[string]bool // by boot
}

func (n *nodes) alive(_, boot string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.dead[boot]
}

// kill ends a node's process; its folder stays.
func (n *nodes) kill(b *bench) {
	b.t.Helper()
	b.stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead[b.cfg.Owner.Boot] = true
}

// reboot starts a killed node again.
func (n *nodes) reboot(b *bench) {
	b.t.Helper()
	b.cfg.Owner.Boot += "+"
	b.start()
	must(b.t, b.service.Recover(b.t.Context()))
}

// twoNodes starts nodes a and b. change makes the configuration of both.
func twoNodes(t *testing.T, change ...func(*upload.Config)) (n *nodes, a, b *bench) {
	t.Helper()
	n, a = &nodes{dead: map[string]bool{}}, newBench(t)
	a.cfg.Alive = n.alive
	for _, c := range change {
		c(&a.cfg)
	}
	other := *a
	b = &other
	a.cfg.Owner = store.Owner{Node: "a", Boot: "a1"}
	b.cfg.Owner, b.cfg.Dir = store.Owner{Node: "b", Boot: "b1"}, filepath.Join(t.TempDir(), "uploads")
	t.Cleanup(func() { b.stop() })
	return n, a.start(), b.start()
}

// on is an upload's address at another node.
func on(b *bench, url string) string { return b.server.URL + "/api/v1/uploads/" + idOf(url) }

// A whole upload that waits for its end is not the business of another node,
// while its node lives and when it is dead; that one ends it.
func TestAnotherNodeLeavesWholeUploads(t *testing.T) {
	for _, put := range []bool{false, true} {
		n, a, b := twoNodes(t)
		data, id := random(1000), a.video()
		f := &fault{step: "adopt"}
		a.stop()
		a.inject(f)
		a.start()
		if put {
			a.do("PUT", sourceURL(id), bytes.NewReader(data))
		} else {
			a.patch(a.create(len(data), meta("video_id", id)), 0, data)
		}
		if !f.fired {
			t.Fatal("the handing over did not fail")
		}
		for _, dead := range []bool{false, true} {
			if dead {
				n.kill(a)
			}
			b.clock.Advance(48 * time.Hour)
			must(t, b.service.Sweep(t.Context()))
			must(t, b.service.Recover(t.Context()))
			open, _, err := b.db.Catalog().Uploads.List(t.Context(), store.Query{State: "receiving"})
			must(t, err)
			if len(open) != 1 || open[0].Hold.Owner.Node != "a" || len(a.spool()) != 1 {
				t.Fatalf("put %v, dead %v: open are %+v, files %v", put, dead, open, a.spool())
			}
		}
		n.reboot(a)
		a.wantSource(id, data)
	}
}

// What a dead node had stored before it could say so, another one ends.
func TestAnotherNodeEndsWhatIsStored(t *testing.T) {
	for _, late := range []string{"adopt", "video", "task"} {
		n, a, b := twoNodes(t)
		a.stop()
		f := &fault{step: late, late: true}
		a.inject(f)
		a.start()
		data, id := random(1000), a.video()
		url := a.create(len(data), meta("video_id", id))
		if r := a.patch(url, 0, data); r.status < 500 || !f.fired {
			t.Fatalf("%s: %d", late, r.status)
		}
		if r := a.head(url); r.header.Get("Upload-Offset") != "1000" {
			t.Errorf("%s: acknowledged bytes are no longer told: %v", late, r.header)
		}
		n.kill(a)
		must(t, b.service.Sweep(t.Context()))
		b.wantSource(id, data)
	}
}

// Bytes that only another node can reach are not lost and not invented: who
// asks here is told to come again.
func TestBytesElsewhere(t *testing.T) {
	n, a, b := twoNodes(t)
	data, id := random(1000), a.video()
	url := a.create(len(data), meta("video_id", id))
	want(t, a.patch(url, 0, data[:400]), 204, "")
	for range 2 {
		if r := b.head(on(b, url)); r.status != http.StatusServiceUnavailable {
			t.Errorf("HEAD at the other node: %d", r.status)
		}
		want(t, b.patch(on(b, url), 0, data), http.StatusServiceUnavailable, "upload_elsewhere")
		must(t, b.service.Sweep(t.Context()))
		n.kill(a)
	}
	n.reboot(a)
	if got := a.head(on(a, url)).header.Get("Upload-Offset"); got != "400" {
		t.Fatalf("the offset is %s", got)
	}
	want(t, a.patch(on(a, url), 400, data[400:]), 204, "")
	a.wantSource(id, data)
}

// What is abandoned ends on any node once its own is dead, and later than there:
// clocks differ. Its file goes with the node that has it.
func TestAbandonedOnDeadNode(t *testing.T) {
	n, a, b := twoNodes(t, func(c *upload.Config) { c.ExpireAfter = time.Hour })
	url := a.create(10, meta("title", "x"))
	want(t, a.patch(url, 0, []byte("123")), 204, "")
	state := func() store.UploadState {
		t.Helper()
		must(t, b.service.Sweep(t.Context()))
		return a.getUpload(idOf(url)).State
	}
	b.clock.Advance(65 * time.Minute)
	if state() != store.UploadReceiving {
		t.Error("given up beside a holder that lives")
	}
	n.kill(a)
	if state() != store.UploadReceiving {
		t.Error("given up by a clock that may be ahead")
	}
	b.clock.Advance(5 * time.Minute)
	if state() != store.UploadExpired || len(a.spool()) != 1 {
		t.Errorf("%s, files %v", a.getUpload(idOf(url)).State, a.spool())
	}
	n.reboot(a)
	must(t, a.service.Sweep(t.Context()))
	if len(a.spool()) != 0 {
		t.Errorf("files %v stay", a.spool())
	}
}

// A file that is missing for a while, as when a disk was not mounted, ends
// nothing.
func TestMissingBytesExpireNothing(t *testing.T) {
	b := newBench(t)
	f := &fault{step: "adopt"}
	b.inject(f)
	b.start()
	data, id := random(1000), b.video()
	url := b.create(len(data), meta("video_id", id))
	b.patch(url, 0, data)
	file := filepath.Join(b.cfg.Dir, idOf(url))
	must(t, os.Rename(file, file+".away"))
	b.clock.Advance(48 * time.Hour)
	must(t, b.service.Sweep(t.Context()))
	must(t, b.service.Recover(t.Context()))
	if rec := b.getUpload(idOf(url)); rec.State != store.UploadReceiving || rec.Offset != 1000 {
		t.Fatalf("the upload is %+v", rec)
	}
	must(t, os.Rename(file+".away", file))
	must(t, b.service.Sweep(t.Context()))
	b.wantSource(id, data)
}

// Of two uploads of a video that end on two nodes at once, one becomes the source
// with its own SHA-256, and the other is told, or waits.
func TestTwoNodesOneVideo(t *testing.T) {
	for range 5 {
		_, a, b := twoNodes(t)
		id := a.video()
		one, two := bytes.Repeat([]byte("1"), 50_000), bytes.Repeat([]byte("2"), 50_000)
		first, second := a.create(len(one), meta("video_id", id)), b.create(len(two), meta("video_id", id))
		var replies [2]reply
		var both sync.WaitGroup
		both.Go(func() { replies[0] = a.patch(first, 0, one) })
		both.Go(func() { replies[1] = b.patch(second, 0, two) })
		both.Wait()
		for range 2 {
			must(t, a.service.Sweep(t.Context()))
			must(t, b.service.Sweep(t.Context()))
		}
		won := one
		if a.getVideo(id).SHA256 == hexSum(two) {
			won = two
		}
		a.wantSource(id, won)
		for i, r := range replies {
			if r.status != 204 && r.code != "source_exists" && r.code != "source_pending" {
				t.Errorf("node %d says %d %s", i, r.status, r.body)
			}
		}
		if left := b.spool(); len(left) != 0 {
			t.Errorf("bytes are left: %v", left)
		}
	}
}

// A video's claim is kept by an upload that cannot go on just now.
func TestClaimOutlivesItsNode(t *testing.T) {
	n, a, b := twoNodes(t)
	a.stop()
	a.inject(&fault{step: "adopt"})
	a.start()
	id := a.video()
	first, second := a.create(5, meta("video_id", id)), b.create(5, meta("video_id", id))
	a.patch(first, 0, []byte("first"))
	n.kill(a)
	want(t, b.patch(second, 0, []byte("2.nd!")), http.StatusServiceUnavailable, "source_pending")
	want(t, b.do("DELETE", on(b, first), nil), http.StatusConflict, "source_exists")
	must(t, b.service.Sweep(t.Context()))
	n.reboot(a)
	a.wantSource(id, []byte("first"))
	must(t, b.service.Sweep(t.Context()))
	if rec := b.getUpload(idOf(second)); rec.State != store.UploadExpired || len(b.spool()) != 0 {
		t.Errorf("the second is %+v", rec)
	}
}

// A half-joined upload of a node that lives is not another's to drop.
func TestHalfJoinedElsewhere(t *testing.T) {
	n, a, b := twoNodes(t)
	rec := store.Upload{ID: store.NewID(), VideoID: a.video(), State: store.UploadReceiving, SizeBytes: 10,
		Final: true, Expires: a.clock.Now().Add(time.Hour), Hold: store.Hold{Token: 1, Owner: a.cfg.Owner}}
	must(t, a.db.Catalog().Uploads.Create(t.Context(), rec))
	must(t, b.service.Recover(t.Context()))
	if got := a.getUpload(rec.ID); got.State != store.UploadReceiving {
		t.Errorf("it is %s", got.State)
	}
	n.kill(a)
	n.reboot(a)
	if got := a.getUpload(rec.ID); got.State != store.UploadExpired {
		t.Errorf("it is %s on its own node", got.State)
	}
}

// Unfinished uploads are counted in the store: none is counted twice, and what
// ended elsewhere is not counted at all.
func TestOpenUploadsAreCountedTogether(t *testing.T) {
	_, a, b := twoNodes(t, func(c *upload.Config) { c.MaxOpen = 2 })
	create := func(at *bench) reply {
		t.Helper()
		return at.do("POST", "/api/v1/uploads", nil, "Upload-Length", "5", "Upload-Metadata", meta("title", "x"))
	}
	for range 3 {
		first, second := create(a), create(b)
		want(t, first, http.StatusCreated, "")
		want(t, second, http.StatusCreated, "")
		for _, at := range []*bench{a, b} {
			want(t, create(at), http.StatusTooManyRequests, "too_many_uploads")
		}
		want(t, b.do("DELETE", on(b, first.header.Get("Location")), nil), 204, "") // the other's
		must(t, a.service.Sweep(t.Context()))
		want(t, create(a), http.StatusCreated, "")
		open, _, err := a.db.Catalog().Uploads.List(t.Context(), store.Query{State: "receiving"})
		must(t, err)
		for _, rec := range open {
			want(t, a.do("DELETE", on(a, rec.ID), nil), 204, "")
			must(t, b.service.Sweep(t.Context()))
		}
	}
}

// An upload that another node receives ends at once when it is deleted here; its
// node's file goes.
func TestDeletedElsewhere(t *testing.T) {
	_, a, b := twoNodes(t)
	url := a.create(1000, meta("title", "x"))
	body := newSlowBody(random(500))
	done := make(chan reply, 1)
	go func() {
		r, _ := a.try(t.Context(), "PATCH", url, body, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
		done <- r
	}()
	a.arrived(idOf(url))
	want(t, b.do("DELETE", on(b, url), nil), 204, "")
	body.Close()
	<-done
	must(t, a.service.Sweep(t.Context()))
	if r := a.head(url); r.status != http.StatusNotFound || len(a.spool()) != 0 {
		t.Errorf("HEAD: %d, files %v", r.status, a.spool())
	}
}

// Who has lost the hold writes nothing into the record any more.
func TestLostHold(t *testing.T) {
	_, a, b := twoNodes(t)
	data, id := random(1000), a.video()
	url := a.create(len(data), meta("video_id", id))
	body := newSlowBody(data[:500])
	done := make(chan reply, 1)
	go func() {
		r, _ := a.try(t.Context(), "PATCH", url, body, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
		done <- r
	}()
	a.arrived(idOf(url))
	_, err := a.db.Catalog().Uploads.Update(t.Context(), idOf(url), func(u *store.Upload) error {
		u.Hold = store.Hold{Token: u.Hold.Token + 1, Owner: b.cfg.Owner}
		return nil
	})
	must(t, err)
	body.Close()
	if r := <-done; r.status != http.StatusLocked || r.code != "upload_locked" {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if rec := a.getUpload(idOf(url)); rec.Offset != 0 {
		t.Errorf("the offset is %d", rec.Offset)
	}
}

// Each node sweeps its own folder: files of the other's uploads, and of a PUT
// that has no record yet, stay.
func TestEachSweepsItsOwnFolder(t *testing.T) {
	_, a, b := twoNodes(t)
	url := a.create(10, meta("title", "x"))
	want(t, a.patch(url, 0, []byte("123")), 204, "")
	a.arrived(idOf(url))
	id := b.video()
	body := newSlowBody([]byte("whole"))
	done := make(chan reply, 1)
	go func() {
		r, _ := b.try(t.Context(), "PUT", sourceURL(id), body)
		done <- r
	}()
	b.arrived("")
	for _, at := range []*bench{a, b} {
		must(t, at.service.Recover(t.Context()))
		must(t, at.service.Sweep(t.Context()))
	}
	if left := a.spool(); !slices.Equal(left, []string{idOf(url)}) || len(b.spool()) != 1 {
		t.Errorf("files %v and %v", left, b.spool())
	}
	body.Close()
	want(t, <-done, http.StatusAccepted, "")
	b.wantSource(id, []byte("whole"))
	if strings.Contains(a.logs.String(), idOf(url)) {
		t.Error("the log names the upload's id")
	}
}

// slowBody gives its first bytes at once, the others and its end when it is closed.
type slowBody struct {
	first, rest *bytes.Reader
	end         chan struct{}
	once        sync.Once
}

func newSlowBody(first []byte, rest ...byte) *slowBody {
	return &slowBody{first: bytes.NewReader(first), rest: bytes.NewReader(rest), end: make(chan struct{})}
}

func (s *slowBody) Read(p []byte) (int, error) {
	if s.first.Len() > 0 {
		return s.first.Read(p)
	}
	<-s.end
	return s.rest.Read(p)
}

func (s *slowBody) Close() error {
	s.once.Do(func() { close(s.end) })
	return nil
}

package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/app/upload"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/storetest"
)

// bench is a service over real stores behind a real HTTP server. Everything
// can be swapped before start.
type bench struct {
	t       *testing.T
	cfg     upload.Config
	db      interface{ Catalog() store.Catalog }
	tasks   *transcoder
	clock   *storetest.Clock
	scope   rpc.Scope
	service *upload.Service
	server  *httptest.Server
	logs    *apptest.Log
	moved   chan events.Upload // progress
}

// transcoder is the peer: it makes task records as the real one does.
type transcoder struct {
	rpc.TranscoderClient
	tasks store.Table[store.Task]
	// before, if set, is called before a task is made.
	before func()
	mu     sync.Mutex
	fail   error
}

func (tr *transcoder) CreateTask(ctx context.Context, req *rpc.CreateTaskRequest) (*rpc.Task, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	if tr.before != nil {
		tr.before()
	}
	tr.mu.Lock()
	err := tr.fail
	tr.mu.Unlock()
	if err != nil {
		return nil, err
	}
	task := store.Task{ID: store.NewID(), VideoID: req.GetVideoId(), State: store.TaskQueued}
	if err := tr.tasks.Create(ctx, task); err != nil {
		return nil, err
	}
	return &rpc.Task{Id: task.ID, VideoId: task.VideoID}, nil
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "test.db"), bolt.Options{})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	objects, err := files.Open(filepath.Join(dir, "media"))
	must(t, err)
	b := &bench{
		t: t, db: db, clock: storetest.NewClock(), scope: rpc.ScopeUploader, logs: &apptest.Log{},
		moved: make(chan events.Upload, 10000),
		tasks: &transcoder{tasks: db.Catalog().Tasks},
	}
	b.cfg = upload.Config{
		Catalog: db.Catalog(), Objects: objects, Bus: apptest.NewBus(t), Transcoder: b.tasks,
		Dir: filepath.Join(dir, "uploads"), MaxSize: 64 << 20, Now: b.clock.Now,
		Log: slog.New(slog.NewTextHandler(b.logs, nil)),
	}
	if strings.HasPrefix(t.Name(), "TestShared") {
		b.cfg.Shared, b.cfg.PartBytes = true, 64<<10
	}
	_, err = events.UploadProgress.Listen(b.cfg.Bus, func(u events.Upload) { b.moved <- u })
	must(t, err)
	t.Cleanup(func() { b.stop() })
	return b
}

// arrived waits for the first bytes of an upload.
func (b *bench) arrived(id string) {
	b.t.Helper()
	for {
		select {
		case u := <-b.moved:
			if id == "" || u.UploadID == id {
				return
			}
		case <-time.After(10 * time.Second):
			b.t.Fatal("no byte has arrived")
		}
	}
}

func (b *bench) start() *bench {
	b.t.Helper()
	var err error
	b.service, err = upload.New(b.cfg)
	must(b.t, err)
	mux := http.NewServeMux()
	mux.Handle("/api/v1/uploads", b.service.Handler())
	mux.Handle("/api/v1/uploads/", b.service.Handler())
	mux.HandleFunc("PUT /api/v1/videos/{id}/source", b.service.PutSource)
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := rpc.WithIdentity(r.Context(), rpc.Identity{KeyID: "k", Scope: b.scope})
		mux.ServeHTTP(w, r.WithContext(rpc.WithBaseURL(ctx, b.server.URL)))
	}))
	return b
}

func (b *bench) stop() {
	if b.server != nil {
		b.service.Close()
		b.server.CloseClientConnections()
		b.server.Close()
		b.server = nil
	}
}

// restart is a new process on the same directories.
func (b *bench) restart() {
	b.t.Helper()
	b.stop()
	b.start()
	must(b.t, b.service.Recover(b.t.Context()))
}

func (b *bench) video(opts ...func(*store.Video)) string {
	b.t.Helper()
	v := store.Video{ID: store.NewID(), Title: "t", State: store.VideoUploading}
	for _, o := range opts {
		o(&v)
	}
	must(b.t, b.db.Catalog().Videos.Create(b.t.Context(), v))
	return v.ID
}

func (b *bench) getVideo(id string) store.Video {
	b.t.Helper()
	v, err := b.db.Catalog().Videos.Get(b.t.Context(), id)
	must(b.t, err)
	return v
}

func (b *bench) getUpload(id string) store.Upload {
	b.t.Helper()
	u, err := b.db.Catalog().Uploads.Get(b.t.Context(), id)
	must(b.t, err)
	return u
}

func (b *bench) spool() []string {
	b.t.Helper()
	entries, err := os.ReadDir(b.cfg.Dir)
	must(b.t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	objects, err := storetest.List(b.t.Context(), b.cfg.Objects, store.UploadsPrefix)
	must(b.t, err)
	for _, o := range objects {
		id, _, _ := strings.Cut(strings.TrimPrefix(o.Key, store.UploadsPrefix), "/")
		names = append(names, id)
	}
	return slices.Compact(names)
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	code   string // of a problem
}

// do sends a request; headers come in pairs.
func (b *bench) do(method, url string, body io.Reader, headers ...string) reply {
	b.t.Helper()
	r, err := b.try(b.t.Context(), method, url, body, headers...)
	must(b.t, err)
	return r
}

func (b *bench) try(ctx context.Context, method, url string, body io.Reader, headers ...string) (reply, error) {
	if !strings.Contains(url, "://") {
		url = b.server.URL + url
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Trailer" {
			req.Trailer = http.Header{headers[i+1]: nil}
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	var problem rpc.Problem
	if resp.StatusCode >= 400 && method != http.MethodHead {
		if resp.Header.Get("Content-Type") != rpc.ProblemType || json.Unmarshal(data, &problem) != nil {
			return reply{}, errors.New("not a problem document: " + string(data))
		}
	}
	return reply{resp.StatusCode, resp.Header, string(data), problem.Code}, err
}

// create makes a tus upload and returns its URL.
func (b *bench) create(size int, meta string, headers ...string) string {
	b.t.Helper()
	h := append([]string{"Upload-Metadata", meta}, headers...)
	if size >= 0 {
		h = append(h, "Upload-Length", strconv.Itoa(size))
	}
	r := b.do("POST", "/api/v1/uploads", nil, h...)
	if r.status != http.StatusCreated {
		b.t.Fatalf("create: %d %s", r.status, r.body)
	}
	return r.header.Get("Location")
}

func (b *bench) patch(url string, offset int, p []byte, headers ...string) reply {
	b.t.Helper()
	return b.do("PATCH", url, bytes.NewReader(p), append([]string{
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(offset)}, headers...)...)
}

func (b *bench) head(url string) reply {
	b.t.Helper()
	return b.do("HEAD", url, nil)
}

// wantSource checks all that must be true once a source has arrived.
func (b *bench) wantSource(videoID string, data []byte) {
	b.t.Helper()
	v := b.getVideo(videoID)
	if v.State != store.VideoProcessing || v.SHA256 != hexSum(data) || v.SizeBytes != int64(len(data)) {
		b.t.Errorf("video is %+v", v)
	}
	src, _, err := b.cfg.Objects.Get(b.t.Context(), store.SourceKey(videoID))
	must(b.t, err)
	defer src.Close()
	got, err := io.ReadAll(src)
	must(b.t, err)
	if !bytes.Equal(got, data) {
		b.t.Errorf("the source has %d bytes that are not the %d sent", len(got), len(data))
	}
	tasks, _, err := b.db.Catalog().Tasks.List(b.t.Context(), store.Query{Parent: videoID})
	must(b.t, err)
	if len(tasks) != 1 {
		b.t.Errorf("there are %d tasks", len(tasks))
	}
	if left := b.spool(); len(left) != 0 {
		b.t.Errorf("bytes are left: %v", left)
	}
}

func want(t *testing.T, r reply, status int, code string) {
	t.Helper()
	if r.status != status || r.code != code {
		t.Errorf("got %d %q (%s), want %d %q", r.status, r.code, r.body, status, code)
	}
}

func meta(pairs ...string) string {
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(parts, ",")
}

func idOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func random(n int) []byte {
	p := make([]byte, n)
	src := rand.NewChaCha8([32]byte{1, 2, 3})
	src.Read(p)
	return p
}

func hexSum(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package upload_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"streamgate/app/rpc"
	"streamgate/store"
)

var errFault = errors.New("injected")

// fault fails the first call of one step of finish; late: after it took
// effect, as when a node dies between a write and its answer.
type fault struct {
	step  string
	late  bool
	fired bool
}

func (f *fault) hit(step string, act func() error) error {
	if f.fired || f.step != step {
		return act()
	}
	f.fired = true
	if f.late {
		if err := act(); err != nil {
			return err
		}
	}
	return errFault
}

type faultyObjects struct {
	store.Objects
	f *fault
}

func (o faultyObjects) Adopt(ctx context.Context, key, path string) (obj store.Object, err error) {
	err = o.f.hit("adopt", func() error { obj, err = o.Objects.Adopt(ctx, key, path); return err })
	return obj, err
}

func (o faultyObjects) Compose(ctx context.Context, key string, parts []string, mode store.PutMode) (obj store.Object, err error) {
	err = o.f.hit("adopt", func() error { obj, err = o.Objects.Compose(ctx, key, parts, mode); return err })
	return obj, err
}

type faultyTable[T store.Record] struct {
	store.Table[T]
	f    *fault
	step func(before, after T) string // names an update
	read string
}

func (t faultyTable[T]) Get(ctx context.Context, id string) (rec T, err error) {
	err = t.f.hit(t.read, func() error { rec, err = t.Table.Get(ctx, id); return err })
	return rec, err
}

func (t faultyTable[T]) List(ctx context.Context, q store.Query) (recs []T, next string, err error) {
	step := "-"
	if q.Parent != "" {
		step = "tasks"
	}
	err = t.f.hit(step, func() error { recs, next, err = t.Table.List(ctx, q); return err })
	return recs, next, err
}

func (t faultyTable[T]) Update(ctx context.Context, id string, fn func(*T) error) (rec T, err error) {
	before, err := t.Table.Get(ctx, id)
	if err != nil {
		return rec, err
	}
	after := before
	if err := fn(&after); err != nil {
		return rec, err
	}
	err = t.f.hit(t.step(before, after), func() error { rec, err = t.Table.Update(ctx, id, fn); return err })
	return rec, err
}

type faultyTranscoder struct {
	rpc.TranscoderClient
	f *fault
}

func (tr faultyTranscoder) CreateTask(ctx context.Context, req *rpc.CreateTaskRequest) (task *rpc.Task, err error) {
	err = tr.f.hit("task", func() error { task, err = tr.TranscoderClient.CreateTask(ctx, req); return err })
	return task, err
}

func (b *bench) inject(f *fault) {
	b.cfg.Objects = faultyObjects{b.cfg.Objects, f}
	b.cfg.Transcoder = faultyTranscoder{b.cfg.Transcoder, f}
	b.cfg.Catalog.Videos = faultyTable[store.Video]{b.cfg.Catalog.Videos, f, func(before, after store.Video) string {
		if before.State != after.State {
			return "video"
		}
		return "-"
	}, "video read"}
	b.cfg.Catalog.Tasks = faultyTable[store.Task]{b.cfg.Catalog.Tasks, f, nil, "-"}
	b.cfg.Catalog.Uploads = faultyTable[store.Upload]{b.cfg.Catalog.Uploads, f, func(before, after store.Upload) string {
		if before.State != after.State {
			return "close"
		}
		return "-"
	}, "-"}
}

// Whatever step of the handing over fails, early or late, a restart finishes
// the upload, with one task and nothing left over.
func TestEveryStepCanFail(t *testing.T) {
	data := random(100000)
	send := map[string]func(b *bench, id string) reply{
		"tus": func(b *bench, id string) reply {
			return b.patch(b.create(len(data), meta("video_id", id, "sha256", hexSum(data))), 0, data)
		},
		"put": func(b *bench, id string) reply {
			return b.do("PUT", sourceURL(id), strings.NewReader(string(data)), "Content-Digest", digestOf(data))
		},
	}
	for way, send := range send {
		for _, step := range []string{"adopt", "video", "tasks", "task", "close"} {
			for _, late := range []bool{false, true} {
				name := way + "/" + step + map[bool]string{false: "/early", true: "/late"}[late]
				t.Run(name, func(t *testing.T) {
					b := newBench(t)
					f := &fault{step: step, late: late}
					b.inject(f)
					b.start()
					id := b.video()
					r := send(b, id)
					if !f.fired || r.status < 500 {
						t.Fatalf("fault fired: %v; answer %d %s", f.fired, r.status, r.body)
					}
					if strings.Contains(r.body, "injected") {
						t.Errorf("the answer shows what happened inside: %s", r.body)
					}
					b.restart()
					b.wantSource(id, data)
					if open, _, _ := b.db.Catalog().Uploads.List(t.Context(), store.Query{State: "receiving"}); len(open) != 0 {
						t.Errorf("still open: %+v", open)
					}
					must(t, b.service.Recover(t.Context())) // once more changes nothing
					b.wantSource(id, data)
				})
			}
		}
	}
}

// The task that waits for a full queue is queued by the janitor.
func TestTaskIsQueuedLater(t *testing.T) {
	b := newBench(t).start()
	b.tasks.fail = rpc.Errorf(8, "queue_full", "full")
	data, id := []byte("12345"), b.video()
	want(t, b.do("PUT", sourceURL(id), strings.NewReader("12345")), http.StatusServiceUnavailable, "task_not_queued")
	want(t, b.do("PUT", sourceURL(id), strings.NewReader("12345")), http.StatusConflict, "source_exists")
	b.tasks.mu.Lock()
	b.tasks.fail = nil
	b.tasks.mu.Unlock()
	must(t, b.service.Sweep(t.Context()))
	b.wantSource(id, data)
}

// Of two uploads to one video the first to end wins, and the other is told.
func TestTwoUploadsOneVideo(t *testing.T) {
	b := newBench(t).start()
	id := b.video()
	first, second := b.create(5, meta("video_id", id)), b.create(5, meta("video_id", id))
	want(t, b.patch(first, 0, []byte("first")), 204, "")
	want(t, b.patch(second, 0, []byte("2.nd!")), http.StatusConflict, "source_exists")
	b.wantSource(id, []byte("first"))
}

func TestVideoDeletedMeanwhile(t *testing.T) {
	b := newBench(t).start()
	id := b.video()
	url := b.create(5, meta("video_id", id))
	must(t, b.db.Catalog().Videos.Delete(t.Context(), id))
	want(t, b.patch(url, 0, []byte("12345")), http.StatusGone, "upload_gone")
	if r := b.head(url); r.status != http.StatusGone || len(b.spool()) != 0 {
		t.Errorf("HEAD says %d, files %v", r.status, b.spool())
	}
}

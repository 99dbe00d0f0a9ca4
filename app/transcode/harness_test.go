package transcode

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/memory"
	"streamgate/store/storetest"
)

// patience bounds every wait: a test that runs into it has failed.
const patience = 2 * time.Minute

// rig is what outlives a node: the stores, the bus, and what was seen of them.
type rig struct {
	*testing.T
	dir     string
	db      *bolt.DB
	objects *files.Store
	catalog store.Catalog
	bus     *nats.Conn
	ahead   atomic.Int64 // of the queue's clock, nanoseconds

	moved *wake // something happened: look again

	mu     sync.Mutex
	events []*nats.Msg
	puts   map[string]map[string]bool // the ETags that each object has had, by key
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir(), moved: newWake(), puts: map[string]map[string]bool{}}
	now := func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }
	var err error
	r.db, err = bolt.Open(filepath.Join(r.dir, "db"), bolt.Options{Now: now})
	r.ok(err)
	t.Cleanup(func() { r.db.Close() })
	r.objects, err = files.Open(filepath.Join(r.dir, "objects"))
	r.ok(err)
	r.catalog = r.db.Catalog()
	r.bus = apptest.NewBus(t)
	for _, subject := range []string{"transcode.>", "video.>"} {
		_, err := r.bus.Subscribe(subject, func(m *nats.Msg) {
			r.mu.Lock()
			r.events = append(r.events, m)
			r.mu.Unlock()
			r.moved.fire()
		})
		r.ok(err)
	}
	return r
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// until waits for a condition, looking whenever something happens.
func (r *rig) until(what string, cond func() bool) {
	r.Helper()
	timeout := time.After(patience)
	for {
		moved := r.moved.next()
		if cond() {
			return
		}
		select {
		case <-moved:
		case <-timeout:
			r.Fatalf("waited for %s in vain\n%s", what, r.state())
		}
	}
}

// state describes all that is stored, for a failure's message.
func (r *rig) state() string {
	var out strings.Builder
	videos, _, err := r.catalog.Videos.List(context.Background(), store.Query{})
	fmt.Fprintf(&out, "videos %+v %v\n", videos, err)
	tasks, _, err := r.catalog.Tasks.List(context.Background(), store.Query{})
	fmt.Fprintf(&out, "tasks %+v %v\n", tasks, err)
	for _, task := range tasks {
		jobs, err := r.db.Queue().Jobs(context.Background(), task.ID)
		fmt.Fprintf(&out, "jobs of %s: %+v %v\n", task.ID, jobs, err)
	}
	return out.String()
}

// advance moves the queue's clock, so that what waits comes due.
func (r *rig) advance(d time.Duration) {
	r.ahead.Add(int64(d))
	r.ok(events.JobsReady.Publish(r.bus, events.Jobs{}))
}

// seen lists the events of a subject.
func (r *rig) seen(subject string) (out []*nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.events {
		if m.Subject == subject {
			out = append(out, m)
		}
	}
	return out
}

func (r *rig) putCount(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.puts[key])
}

func (r *rig) task(id string) store.Task {
	r.Helper()
	task, err := r.catalog.Tasks.Get(context.Background(), id)
	r.ok(err)
	return task
}

func (r *rig) video(id string) store.Video {
	r.Helper()
	v, err := r.catalog.Videos.Get(context.Background(), id)
	r.ok(err)
	return v
}

func (r *rig) jobs(task string) []store.Job {
	r.Helper()
	jobs, err := r.db.Queue().Jobs(context.Background(), task)
	r.ok(err)
	return jobs
}

func (r *rig) cells(video string) store.Cells {
	r.Helper()
	cells, err := r.catalog.Plans.Cells(context.Background(), video)
	r.ok(err)
	return cells
}

func (r *rig) untilTask(id string, state store.TaskState) store.Task {
	r.Helper()
	r.until(fmt.Sprintf("task %s to be %s", id, state), func() bool { return r.task(id).State == state })
	return r.task(id)
}

// upload makes a video whose source is these bytes.
func (r *rig) upload(id string, source []byte) store.Video {
	r.Helper()
	v := store.Video{
		ID: id, Title: id, State: store.VideoProcessing, Profile: "default", Priority: 50,
		SizeBytes: int64(len(source)), Created: time.Now().UTC(),
	}
	r.ok(r.catalog.Videos.Create(r.Context(), v))
	_, err := store.PutBytes(r.Context(), r.objects, store.SourceKey(id), source, store.Replace)
	r.ok(err)
	return v
}

// uploadPlanned makes a video that is planned already: its plan job has
// nothing to do.
func (r *rig) uploadPlanned(id string) store.Plan {
	r.Helper()
	v := r.upload(id, clip(r.T))
	planned := clipPlan(r.T)
	plan := planned.Plan
	plan.Source.Object, plan.Source.FrameIndex = store.SourceKey(id), store.FramesKey(id)
	_, err := store.PutBytes(r.Context(), r.objects, store.FramesKey(id), planned.Frames.Marshal(), store.Replace)
	r.ok(err)
	r.ok(r.catalog.Plans.SavePlan(r.Context(), v.ID, plan))
	return plan
}

// node is one start of the service over the rig's stores.
type node struct {
	*rig
	*Service
	queue *fatalQueue
	files *storetest.FaultyObjects
	stop  context.CancelFunc
	done  chan struct{}

	fault atomic.Pointer[func(op storetest.Op, key string) storetest.Fault]
}

// node makes a service; it runs none of its workers yet.
func (r *rig) node(boot string, change ...func(*Config)) *node {
	r.Helper()
	n := &node{rig: r, done: make(chan struct{})}
	n.queue = &fatalQueue{Queue: r.db.Queue(), moved: r.moved}
	n.files = storetest.Faulty(&countedObjects{r.objects, r})
	n.files.Break(n.choose)
	cfg := Config{
		Queue: n.queue, Catalog: r.catalog, Objects: n.files, Cache: memory.NewCache(memory.Options{}), Bus: r.bus, Tools: tools(r.T),
		Log:      slog.New(slog.NewTextHandler(logWriter{r.T}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Owner:    store.Owner{Node: "n1", Boot: boot},
		Scratch:  filepath.Join(r.dir, "scratch"),
		Profiles: profiles(),
		Workers:  2, LeaseTTL: time.Hour, Poll: 100 * time.Millisecond, Drain: patience,
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	n.Service, err = New(cfg)
	r.ok(err)
	return n
}

func (n *node) choose(op storetest.Op, key string) storetest.Fault {
	if f := n.fault.Load(); f != nil {
		return (*f)(op, key)
	}
	return storetest.Fault{}
}

// breaks chooses the faults of the node's objects from now on.
func (n *node) breaks(f func(op storetest.Op, key string) storetest.Fault) { n.fault.Store(&f) }

// run starts the workers; the test's end stops them.
func (n *node) run() *node {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() {
		defer close(n.done)
		if err := n.Run(ctx); err != nil {
			n.Errorf("run: %v", err)
		}
	}()
	n.Cleanup(func() { n.kill() })
	return n
}

// kill ends the node as a power cut does: nothing it does afterwards has an
// effect. Its leases stay.
func (n *node) kill() {
	n.queue.dead.Store(true)
	n.breaks(func(storetest.Op, string) storetest.Fault { return storetest.Fault{Err: errDead} })
	n.stop()
	n.renewals.fire()
	<-n.done
}

// submit creates the video's task.
func (n *node) submit(video string) *rpc.Task {
	n.Helper()
	task, err := n.CreateTask(rpc.System(n.Context()), &rpc.CreateTaskRequest{VideoId: video})
	n.ok(err)
	return task
}

// stallPut makes the Puts of a key wait. It returns when the first of them
// waits; release lets them go on.
func (n *node) stallPut(key string) (reached <-chan struct{}, release func()) {
	arrived, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	n.breaks(func(op storetest.Op, k string) storetest.Fault {
		if op != storetest.OpPut || k != key {
			return storetest.Fault{}
		}
		once.Do(func() { close(arrived) })
		return storetest.Fault{Stall: gate}
	})
	return arrived, sync.OnceFunc(func() { close(gate) })
}

func (r *rig) await(what string, ch <-chan struct{}) {
	r.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		r.Fatalf("waited for %s in vain\n%s", what, r.state())
	}
}

var errDead = errors.New("the node is dead")

// fatalQueue is a queue that wakes the rig after each call, and that can die:
// every lease is lost then, and nothing reaches the store.
type fatalQueue struct {
	store.Queue
	moved  *wake
	dead   atomic.Bool
	pushed atomic.Int64
	leased sync.Map // the encoders of jobs, by id
}

func (q *fatalQueue) Push(ctx context.Context, jobs ...store.Job) error {
	if q.dead.Load() {
		return errDead
	}
	err := q.Queue.Push(ctx, jobs...)
	if err == nil {
		q.pushed.Add(int64(len(jobs)))
	}
	return err
}

func (q *fatalQueue) PushWithin(ctx context.Context, job store.Job, most int) error {
	if q.dead.Load() {
		return errDead
	}
	err := q.Queue.PushWithin(ctx, job, most)
	if err == nil {
		q.pushed.Add(1)
	}
	return err
}

func (q *fatalQueue) Lease(ctx context.Context, req store.LeaseRequest) ([]store.Job, error) {
	defer q.moved.fire()
	if q.dead.Load() {
		return nil, errDead
	}
	jobs, err := q.Queue.Lease(ctx, req)
	for _, j := range jobs {
		q.leased.Store(j.ID, j.Encoder)
	}
	return jobs, err
}

// leaseOne leases the first job for an hour.
func leaseOne(ctx context.Context, q store.Queue, owner store.Owner, maxRank store.Rank) (store.Job, error) {
	jobs, err := q.Lease(ctx, store.LeaseRequest{Owner: owner, MaxRank: maxRank, TTL: time.Hour})
	if err != nil {
		return store.Job{}, err
	}
	return jobs[0], nil
}

func (q *fatalQueue) Renew(ctx context.Context, id string, token uint64, ttl time.Duration, p float64) error {
	if q.dead.Load() {
		return store.ErrLeaseLost
	}
	return q.Queue.Renew(ctx, id, token, ttl, p)
}

func (q *fatalQueue) Finish(ctx context.Context, id string, token uint64, out store.Outcome) error {
	defer q.moved.fire()
	if q.dead.Load() {
		return errDead
	}
	return q.Queue.Finish(ctx, id, token, out)
}

func (q *fatalQueue) Cancel(ctx context.Context, task string) (int, error) {
	defer q.moved.fire()
	if q.dead.Load() {
		return 0, errDead
	}
	return q.Queue.Cancel(ctx, task)
}

// countedObjects notes what is really stored.
type countedObjects struct {
	store.Objects
	r *rig
}

func (c *countedObjects) Put(ctx context.Context, key string, data io.Reader, size int64, mode store.PutMode) (store.Object, error) {
	obj, err := c.Objects.Put(ctx, key, data, size, mode)
	if err == nil {
		c.r.mu.Lock()
		if c.r.puts[key] == nil {
			c.r.puts[key] = map[string]bool{}
		}
		c.r.puts[key][obj.ETag] = true
		c.r.mu.Unlock()
	}
	return obj, err
}

func (c *countedObjects) Delete(ctx context.Context, prefix string) error {
	defer c.r.moved.fire()
	return c.Objects.Delete(ctx, prefix)
}

// smallProfile makes two small renditions quickly, of segments of a second.
func smallProfile(copied bool) media.Profile {
	return media.Profile{
		Rungs: []media.Rung{
			{Name: "180p", Height: 180, CRF: 30, MaxRate: 400_000, BufSize: 600_000},
			{Name: "90p", Height: 90, CRF: 30, MaxRate: 200_000, BufSize: 300_000},
		},
		Preset: "ultrafast", SegmentSeconds: 1, FirstSegmentSeconds: 1, Copy: copied, CopyGroupSeconds: 5, AudioBitRate: 64_000,
	}
}

func tools(t testing.TB) media.Tools {
	t.Helper()
	var out media.Tools
	for name, path := range map[string]*string{"ffmpeg": &out.FFmpeg, "ffprobe": &out.FFprobe} {
		found, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("the tests need %s: %v", name, err)
		}
		*path = found
	}
	return out
}

// clip is a film of five seconds with sound, made once.
func clip(t testing.TB) []byte {
	t.Helper()
	data, err := makeClip()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var makeClip = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "transcode-clip-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "clip.mp4")
	out, err := exec.Command("ffmpeg", append(strings.Fields("-v error -nostdin"+
		" -f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 5"+
		" -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac -b:a 64k"), path)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("make the clip: %w: %s", err, out)
	}
	return os.ReadFile(path)
})

// clipPlan is the clip's plan with the default profile, made once.
func clipPlan(t testing.TB) media.Planned {
	t.Helper()
	data, tool := clip(t), tools(t)
	planned, err := planClip(data, tool)
	if err != nil {
		t.Fatal(err)
	}
	return planned
}

var planOnce struct {
	sync.Once
	planned media.Planned
	err     error
}

func planClip(data []byte, tool media.Tools) (media.Planned, error) {
	planOnce.Do(func() {
		dir, err := os.MkdirTemp("", "transcode-plan-")
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "source")
		if err = cmp.Or(err, os.WriteFile(path, data, 0o600)); err != nil {
			planOnce.err = err
			return
		}
		planOnce.planned, planOnce.err = tool.Plan(context.Background(), media.PlanInput{
			VideoID: "v", Source: path, Dir: dir, Profile: smallProfile(false)})
	})
	return planOnce.planned, planOnce.err
}

// logWriter sends the service's log to the test's.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// payload reads an event.
func payload[T any](t *testing.T, m *nats.Msg) (out T) {
	t.Helper()
	if err := json.Unmarshal(m.Data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func profiles() map[string]media.Profile {
	return map[string]media.Profile{"default": smallProfile(false), "copy": smallProfile(true)}
}

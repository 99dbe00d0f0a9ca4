package transcode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/storetest"
)

// markAll marks every cell of a plan but those of the last n segments.
func (r *rig) markAll(video string, plan *store.Plan, but int) {
	r.Helper()
	for _, rend := range plan.Renditions {
		for seg := range plan.Timeline.Segments() - but {
			r.ok(r.catalog.Plans.MarkCells(r.Context(), video, store.Cell{Rendition: rend.Name, Segment: seg, Bytes: 1}))
		}
	}
}

func TestSettleManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	r.processing("t1", "v1")
	r.markAll("v1", &plan, 0)
	nodes := []*node{r.node("b1"), r.node("b1")}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := nodes[i%2].settle(t.Context(), "t1"); err != nil && !errors.Is(err, errOver) {
				t.Errorf("settle: %v", err)
			}
		})
	}
	wg.Wait()
	if got := r.task("t1"); got.State != store.TaskSucceeded || got.Progress != 100 {
		t.Errorf("task %+v", got)
	}
	r.until("the event", func() bool { return len(r.seen(events.TaskCompleted.Subject)) > 0 })
	r.ok(r.bus.Flush())
	if got := len(r.seen(events.TaskCompleted.Subject)); got != 1 {
		t.Errorf("the task ended %d times", got)
	}
	if a, b := nodes[0].metrics.succeeded, nodes[1].metrics.succeeded; a+b != 1 {
		t.Errorf("the task was counted %d and %d times", a, b)
	}
}

// lateJobs is a queue in which something happens just before the jobs are
// counted.
type lateJobs struct {
	store.Queue
	before func()
}

func (q *lateJobs) Open(ctx context.Context, task string) (int, error) {
	q.before()
	return q.Queue.Open(ctx, task)
}

func TestATaskDoesNotFailForACellMadeJustNow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	r.processing("t1", "v1")
	r.markAll("v1", &plan, 1)
	n := r.node("b1")
	// The last job ends between settle's look at the cells and at the jobs.
	n.Queue = &lateJobs{n.queue, func() { r.markAll("v1", &plan, 0) }}
	r.ok(n.settle(t.Context(), "t1"))
	if got := r.task("t1"); got.State != store.TaskSucceeded {
		t.Errorf("task %+v, %+v", got, got.Failure)
	}
}

func TestJobsThatEndedWithPartsMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	r.processing("t1", "v1")
	r.markAll("v1", &plan, 1)
	r.ok(r.node("b1").settle(t.Context(), "t1"))
	if got := r.task("t1"); got.State != store.TaskFailed || got.Failure.Code != codeIncomplete {
		t.Errorf("task %+v", got)
	}
	if v := r.video("v1"); v.State != store.VideoPlayable || v.Failure == nil {
		t.Errorf("video %+v", v)
	}
}

func TestALateCellMakesAFailedVideoPlayable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	r.processing("t1", "v1")
	n := r.node("b1")
	_, err := n.end(t.Context(), "t1", store.TaskFailed, &store.Failure{Code: codeFailed, Message: "It broke."})
	r.ok(err)
	r.ok(n.settle(t.Context(), "t1"))
	if v := r.video("v1"); v.State != store.VideoFailed {
		t.Errorf("a settle that came late made the video %s", v.State)
	}
	r.markAll("v1", &plan, plan.Timeline.Segments()-1)
	r.ok(n.settle(t.Context(), "t1"))
	if v := r.video("v1"); v.State != store.VideoPlayable || v.Failure == nil {
		t.Errorf("video %+v", v)
	}
}

// Making a ready video once more is an offer: it costs nothing if it comes to
// nothing.
func TestASecondTaskCostsAReadyVideoNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	r.processing("t1", "v1")
	r.markAll("v1", &plan, 0)
	n := r.node("b1") // it runs no worker
	r.ok(n.settle(t.Context(), "t1"))
	ctx := rpc.System(t.Context())
	wantAsReady := func() {
		t.Helper()
		r.ok(n.repair(t.Context()))
		if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
			t.Errorf("video %+v, %+v", v, v.Failure)
		}
	}
	wantAsReady()

	second := n.submit("v1")
	_, err := n.CancelTask(ctx, &rpc.CancelTaskRequest{Id: second.Id})
	r.ok(err)
	wantAsReady()

	_, err = n.RetryTask(ctx, &rpc.RetryTaskRequest{Id: second.Id}) // it has the stills to make
	r.ok(err)
	_, err = n.CancelTask(ctx, &rpc.CancelTaskRequest{Id: second.Id})
	r.ok(err)
	wantAsReady()

	third := n.submit("v1")
	_, err = n.end(t.Context(), third.Id, store.TaskFailed, &store.Failure{Code: codeFailed, Message: "It broke."})
	r.ok(err)
	r.ok(n.settle(t.Context(), third.Id))
	wantAsReady()
}

func TestALateCellMakesAFailedVideoReady(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	r.processing("t1", "v1")
	n := r.node("b1")
	_, err := n.end(t.Context(), "t1", store.TaskCancelled, nil)
	r.ok(err)
	r.markAll("v1", &plan, 0)
	r.ok(n.settle(t.Context(), "t1"))
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		t.Errorf("video %+v, %+v", v, v.Failure)
	}
}

func TestAnOldTaskDoesNotEndTheVideoOfANewerOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", []byte("x"))
	old := r.processing("t1", "v1")
	r.processing("t2", "v1")
	n := r.node("b1")
	old.State, old.Failure = store.TaskFailed, &store.Failure{Code: "not_a_video"}
	n.endVideo(t.Context(), old)
	if v := r.video("v1"); v.State != store.VideoProcessing || v.Failure != nil {
		t.Errorf("video %+v", v)
	}
	if _, err := r.objects.Stat(t.Context(), store.SourceKey("v1")); err != nil {
		t.Error(err)
	}
}

func TestWhatAWorkerWroteAfterTheDeletionGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1", func(c *Config) { c.Workers = 1 })
	key := store.CellKey("v1", "180p", 1)
	reached, release := n.stallPut(key)
	defer release()
	n.run()
	task := n.submit("v1")
	r.await("the stalled cell", reached)
	// The video goes while the worker writes; the worker hears of it last.
	r.ok(r.objects.Delete(t.Context(), store.VideoPrefix("v1")))
	r.ok(r.catalog.Plans.DeletePlan(t.Context(), "v1"))
	r.ok(r.catalog.Videos.Delete(t.Context(), "v1"))
	_, err := store.PutBytes(t.Context(), r.objects, key, []byte("late"), store.Replace)
	r.ok(err)
	r.ok(r.catalog.Plans.MarkCells(t.Context(), "v1", store.Cell{Rendition: "180p", Segment: 1, Bytes: 4}))
	_, err = n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: task.Id})
	r.ok(err)
	r.until("the worker to be idle", func() bool { return n.pool.counts().active == 0 })
	r.wantNothingOf("v1")
}

func (r *rig) wantNothingOf(video string) {
	r.Helper()
	objects, err := storetest.List(r.Context(), r.objects, store.VideoPrefix(video))
	r.ok(err)
	if len(objects) != 0 || len(r.cells(video)) != 0 {
		r.Errorf("left of the video: %v, %v", objects, r.cells(video))
	}
}

func TestAJobThatEndsAfterTheDeletionSweepsToo(t *testing.T) {
	t.Parallel()
	for _, end := range []error{nil, errors.New("its plan is gone")} {
		r := newRig(t)
		plan := r.uploadPlanned("v1")
		n := r.node("b1")
		_, job := r.leased(n, &plan, store.JobChunk)
		_, err := r.db.Queue().Cancel(t.Context(), "t1")
		r.ok(err)
		r.ok(r.catalog.Videos.Delete(t.Context(), "v1"))
		n.finish(t.Context(), job, nil, end)
		r.wantNothingOf("v1")
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(time.Second)
		if !p.due("a") || p.due("a") || !p.due("b") {
			t.Error("not once for each key")
		}
		time.Sleep(time.Second - time.Nanosecond)
		if p.due("a") {
			t.Error("due too early")
		}
		time.Sleep(time.Nanosecond)
		if !p.due("a") || p.due("a") {
			t.Error("not once after the interval")
		}
		for i := range 1000 {
			time.Sleep(time.Second)
			p.due(fmt.Sprint(i))
		}
		if len(p.last) > 2 {
			t.Errorf("%d keys are kept", len(p.last))
		}
	})
}

func TestWakeMissesNothing(t *testing.T) {
	w := newWake()
	var mu sync.Mutex
	made, taken := 0, 0
	var wg sync.WaitGroup
	const things = 500
	for range 4 {
		wg.Go(func() {
			for {
				woken := w.next()
				mu.Lock()
				if made > taken {
					taken++
				}
				over := taken == things
				mu.Unlock()
				if over {
					w.fire()
					return
				}
				mu.Lock()
				more := made > taken
				mu.Unlock()
				if !more {
					select {
					case <-woken:
					case <-time.After(patience):
						t.Error("a signal was missed")
						return
					}
				}
			}
		})
	}
	for range things {
		mu.Lock()
		made++
		mu.Unlock()
		w.fire()
	}
	wg.Wait()
}

// hour makes a node over bolt with a plan of 900 segments in six renditions,
// half of whose cells exist, and a task under way.
func hour(b *testing.B) (*Service, *store.Plan, store.Task) {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "db"), bolt.Options{})
	must(err)
	b.Cleanup(func() { db.Close() })
	objects, err := files.Open(filepath.Join(dir, "objects"))
	must(err)
	plan := planOf(900)
	for i := range 2 {
		plan.Renditions = append(plan.Renditions, store.Rendition{Name: fmt.Sprintf("%dp", 480-i), Kind: store.KindVideo})
	}
	for i := range plan.Renditions {
		plan.Renditions[i].Init = make([]byte, 800)
		if plan.Renditions[i].Kind == store.KindAudio {
			plan.Renditions[i].Bounds = plan.Timeline.Bounds
		}
	}
	s, err := New(Config{
		Queue: db.Queue(), Catalog: db.Catalog(), Objects: objects, Bus: apptest.NewBus(b),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Profiles: map[string]media.Profile{"default": {}},
	})
	must(err)
	ctx := b.Context()
	task := store.Task{ID: "t1", VideoID: "v1", State: store.TaskProcessing, Started: time.Now()}
	must(s.Catalog.Videos.Create(ctx, store.Video{ID: "v1", TaskID: "t1", State: store.VideoProcessing}))
	must(s.Catalog.Tasks.Create(ctx, task))
	must(s.Catalog.Plans.SavePlan(ctx, "v1", *plan))
	must(s.Queue.Push(ctx, planJobs(task, plan)...))
	var half []store.Cell
	for _, r := range plan.Renditions {
		for seg := range 450 {
			half = append(half, store.Cell{Rendition: r.Name, Segment: seg, Bytes: 500_000})
		}
	}
	must(s.Catalog.Plans.MarkCells(ctx, "v1", half...))
	return s, plan, task
}

// BenchmarkCommit is what a cell costs besides its encode: the paced settle
// included, as it comes.
func BenchmarkCommit(b *testing.B) {
	s, _, task := hour(b)
	cell := make([]byte, 500_000)
	job := store.Job{TaskID: task.ID, VideoID: "v1"}
	for i := 0; b.Loop(); i++ {
		if err := s.commit(b.Context(), job, "360p", 450+i, cell); err != nil { // beyond the end, too, costs as much
			b.Fatal(err)
		}
	}
}

// BenchmarkSettle is the work of a commit that is due for it, twice a second.
func BenchmarkSettle(b *testing.B) {
	s, _, task := hour(b)
	for b.Loop() {
		if err := s.settle(b.Context(), task.ID); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDemand is a player's request for a cell that is not made yet.
func BenchmarkDemand(b *testing.B) {
	s, _, _ := hour(b)
	ctx := rpc.System(b.Context())
	for i := 0; b.Loop(); i++ {
		if _, err := s.Demand(ctx, &rpc.DemandRequest{VideoId: "v1", Rendition: "360p", Segment: int32(450 + i%450)}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJobStart is what a job reads before it begins.
func BenchmarkJobStart(b *testing.B) {
	s, _, task := hour(b)
	job := newJob(task, store.JobChunk, 450, 453)
	job.Leases = 1
	for b.Loop() {
		if err := s.wanted(b.Context(), job); err != nil {
			b.Fatal(err)
		}
		plan, err := s.Catalog.Plans.Plan(b.Context(), "v1")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.todo(b.Context(), job, &plan); err != nil {
			b.Fatal(err)
		}
	}
}

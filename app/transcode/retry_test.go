package transcode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"streamgate/app/events"
	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

func TestRetryDelays(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 4 * time.Second, 3: 16 * time.Second} {
		for range 20 {
			if got := retryDelay(failures); got < want*3/4 || got > want*5/4 {
				t.Errorf("after %d failures: %v, want %v, a quarter more or less", failures, got, want)
			}
		}
	}
}

func TestFailureOf(t *testing.T) {
	refusal := media.Refusal{Failure: store.Failure{Code: "encrypted", Message: "It is."}}
	for code, err := range map[string]error{
		"encrypted":   fmt.Errorf("plan: %w", refusal),
		codeDiskFull:  fmt.Errorf("store: %w", store.ErrFull),
		codeTimeout:   errJobTimeout,
		codeKillsNode: errKillsNode,
		codeFailed:    errors.New("anything"),
	} {
		if got := failureOf(err); got.Code != code || got.Message == "" {
			t.Errorf("failureOf(%v) = %+v", err, got)
		}
	}
	if got := failureOf(fmt.Errorf("scratch: %w", syscall.ENOSPC)); got.Code != codeDiskFull {
		t.Errorf("a full scratch disk is %+v", got)
	}
	for _, err := range []error{refusal, media.ErrInput, errKillsNode} {
		if !permanent(store.Job{}, fmt.Errorf("plan: %w", err)) {
			t.Errorf("%v is tried again", err)
		}
	}
}

// A node with bad memory must not cost a source.
func TestWhatMayBeTheNodesFaultCostsNoSource(t *testing.T) {
	for code, want := range map[string]bool{"encrypted": true, "damaged": true, media.CodeTooComplex: false, codeFailed: false, codeKillsNode: false} {
		if got := refused(&store.Failure{Code: code}); got != want {
			t.Errorf("%s: refused %v", code, got)
		}
	}
}

// fails lets the first times Puts under a prefix fail, or all if times < 0.
func (n *node) fails(prefix string, times int, err error) {
	n.breaks(func(op storetest.Op, key string) storetest.Fault {
		if op != storetest.OpPut || !strings.HasPrefix(key, prefix) || times == 0 {
			return storetest.Fault{}
		}
		times--
		return storetest.Fault{Err: err}
	})
}

// impatient moves the queue's clock ahead whenever a retry is announced.
func (r *rig) impatient() {
	r.Helper()
	_, err := events.TaskRetried.Listen(r.bus, func(events.Task) { r.advance(20 * time.Second) })
	r.ok(err)
}

func TestAPassingFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	n.fails(store.CellKey("v1", "180p", 1), 2, storetest.ErrFault)
	before := time.Now()
	n.run()
	task := n.submit("v1")
	r.until("the first retry", func() bool { return len(r.seen(events.TaskRetried.Subject)) == 1 })
	waits := 0
	for _, j := range r.jobs(task.Id) {
		if j.State == store.JobLater {
			waits++
			if j.RunAt.Before(before.Add(time.Second*3/4)) || j.RunAt.After(time.Now().Add(time.Second*5/4)) || j.Failure.Code != codeFailed {
				t.Errorf("job waits as %+v", j)
			}
		}
	}
	if waits != 1 {
		t.Errorf("%d jobs wait", waits)
	}
	r.impatient()
	r.advance(20 * time.Second)
	done := r.untilTask(task.Id, store.TaskSucceeded)
	if done.Attempt != 3 || len(r.seen(events.TaskRetried.Subject)) != 2 || r.video("v1").State != store.VideoReady {
		t.Errorf("task %+v", done)
	}
}

func TestALastingFailureFailsTheTaskAndKeepsWhatIsMade(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	broken := 0
	n := r.node("b1")
	n.fails(store.CellKey("v1", "180p", broken), -1, storetest.ErrFault)
	r.impatient()
	n.run()
	task := n.submit("v1")
	failed := r.untilTask(task.Id, store.TaskFailed)
	if f := failed.Failure; f == nil || f.Code != codeFailed || failed.Attempt != maxFailures ||
		!strings.HasPrefix(f.Message, "The picture from 0:00 to 0:01 could not be made: ") {
		t.Errorf("task %+v, %+v", failed, failed.Failure)
	}
	r.until("the video to tell", func() bool { return r.video("v1").Failure != nil })
	if v := r.video("v1"); v.Failure.Code != codeFailed {
		t.Errorf("video %+v, %+v", v, v.Failure)
	}
	// One chunk's failure does not stop the others.
	cells, last := r.cells("v1"), plan.Timeline.Segments()-1
	if cells.Has("180p", broken) || !cells.Has("180p", 1) || !cells.Has("180p", last) {
		t.Errorf("cells %+v", cells)
	}
	for _, j := range r.jobs(task.Id) {
		if bad := j.Failure != nil; bad != (len(j.Attempts) == maxFailures) || j.State != store.JobDone {
			t.Errorf("job %+v", j)
		}
	}
	n.wantNotComing("v1", "180p", broken)

	n.fails("", 0, nil) // it is mended: what is there is not made again
	if _, err := n.RetryTask(rpc.System(t.Context()), &rpc.RetryTaskRequest{Id: task.Id}); err != nil {
		t.Fatal(err)
	}
	r.untilTask(task.Id, store.TaskSucceeded)
	r.wantObjects(&plan, "v1")
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		t.Errorf("video %+v, %+v", v, v.Failure)
	}
	if n := r.putCount(store.CellKey("v1", "180p", last)); n != 1 {
		t.Errorf("a cell was made %d times", n)
	}
}

// wantNotComing checks that a player is told at once.
func (n *node) wantNotComing(video, rendition string, segment int) {
	n.Helper()
	_, err := n.Demand(rpc.System(n.Context()), &rpc.DemandRequest{VideoId: video, Rendition: rendition, Segment: int32(segment)})
	if reason, _ := rpc.Reason(err); reason != "cell_not_coming" {
		n.Errorf("demand of %s %d: %v", rendition, segment, err)
	}
}

// A full disk is nobody's failure: the work waits for room, and goes on.
func TestAFullDiskOnlyWaits(t *testing.T) {
	for name, key := range map[string]string{"a cell": store.CellKey("v1", "180p", 1), "the plan": store.FramesKey("v1")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.upload("v1", clip(t))
			n := r.node("b1")
			waits := make(chan struct{})
			full := true
			n.breaks(func(op storetest.Op, k string) storetest.Fault {
				if op != storetest.OpPut || k != key || !full {
					return storetest.Fault{}
				}
				full = false
				close(waits)
				return storetest.Fault{Err: store.ErrFull}
			})
			n.run()
			task := n.submit("v1")
			r.await("the full disk", waits)
			r.until("the job to wait", func() bool {
				return slices.ContainsFunc(r.jobs(task.Id), func(j store.Job) bool { return j.State == store.JobLater && j.Failure == nil })
			})
			r.advance(fullPause)
			done := r.untilTask(task.Id, store.TaskSucceeded)
			if done.Attempt != 1 {
				t.Errorf("task %+v", done)
			}
		})
	}
}

// Below the floor nothing is taken up.
func TestTheFloorOfTheDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	var free atomic.Int64
	n.disk.objects = spaceOf{n.Objects, &free}
	n.disk.floor, n.disk.every = 1000, time.Millisecond
	n.Objects = n.disk.objects
	n.run()
	task := n.submit("v1")
	if n.disk.enough(t.Context()) {
		t.Error("999 bytes are enough")
	}
	for _, j := range r.jobs(task.Id) {
		if j.Leases > 0 {
			t.Errorf("job %+v", j)
		}
	}
	free.Store(1 << 40)
	r.untilTask(task.Id, store.TaskSucceeded)
}

// spaceOf is objects with so much room.
type spaceOf struct {
	store.Objects
	free *atomic.Int64
}

func (s spaceOf) Space(context.Context) (free, total int64, err error) {
	return s.free.Load(), 1 << 50, nil
}

// What a task needs is reserved before it starts, besides what others need.
func TestReserve(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	need := needOf(&plan, plan.Renditions)
	if need <= 0 {
		t.Fatalf("the plan needs %d bytes", need)
	}
	n := r.node("b1")
	var free atomic.Int64
	n.Objects = spaceOf{n.Objects, &free}
	task := r.processing("t1", "v1")
	other := store.Task{ID: "t2", VideoID: "v2", State: store.TaskProcessing, NeedBytes: 1000, Progress: 50}
	r.ok(r.catalog.Tasks.Create(t.Context(), other))

	free.Store(need + 499)
	err := n.reserve(t.Context(), task, &plan)
	var full errNoSpace
	if !errors.As(err, &full) || !errors.Is(err, store.ErrFull) || full.need != need || full.free != need-1 {
		t.Errorf("reserve: %v, want no space for %d", err, need)
	}
	free.Store(need + 500)
	r.ok(n.reserve(t.Context(), task, &plan))
	if got := r.task("t1").NeedBytes; got != need {
		t.Errorf("the task needs %d, want %d", got, need)
	}
	// Half of it is made: that half needs no more room.
	half := store.Cell{Rendition: "180p", Segment: 0, Bytes: need / 2}
	r.ok(r.catalog.Plans.MarkCells(t.Context(), "v1", half))
	free.Store(need - need/2 + 500)
	r.ok(n.reserve(t.Context(), task, &plan))
}

func TestAJobThatTakesTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1", func(c *Config) { c.JobTimeout = 500 * time.Millisecond })
	_, release := n.stallPut(store.CellKey("v1", "180p", 0))
	defer release()
	n.run()
	task := n.submit("v1")
	r.until("the retry", func() bool { return len(r.seen(events.TaskRetried.Subject)) > 0 })
	for _, j := range r.jobs(task.Id) {
		if j.State == store.JobLater && j.Failure.Code != codeTimeout {
			t.Errorf("job %+v, %+v", j, j.Failure)
		}
	}
}

func TestStillsAreNotWorthATask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	n.fails(store.StillKey("v1", "poster.jpg"), -1, storetest.ErrFault)
	r.impatient()
	n.run()
	r.untilTask(n.submit("v1").Id, store.TaskSucceeded)
	if v := r.video("v1"); v.State != store.VideoReady || v.Poster || v.Failure != nil {
		t.Errorf("video %+v", v)
	}
}

func TestDrainGivesJobsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1", func(c *Config) { c.Workers, c.Drain = 1, time.Millisecond })
	reached, release := n.stallPut(store.CellKey("v1", "180p", 1))
	defer release()
	n.run()
	task := n.submit("v1")
	r.await("the stalled cell", reached)
	n.stop()
	r.await("the node to stop", n.done)
	for _, j := range r.jobs(task.Id) {
		if j.State == store.JobLeased || j.State == store.JobLater || j.Failure != nil {
			t.Errorf("job %+v, %+v", j, j.Failure)
		}
	}
	if now := r.task(task.Id); now.State != store.TaskProcessing || now.Failure != nil {
		t.Errorf("task %+v", now)
	}
	r.node("b2").run()
	r.untilTask(task.Id, store.TaskSucceeded)
}

func TestDrainLetsRunningJobsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1", func(c *Config) { c.Workers = 1 })
	reached, release := n.stallPut(store.CellKey("v1", "180p", 1))
	n.run()
	task := n.submit("v1")
	r.await("the stalled cell", reached)
	n.stop()
	release()
	r.await("the node to stop", n.done)
	if !r.cells("v1").Has("180p", 1) {
		t.Error("the running job was not let finish")
	}
	ready := 0
	for _, j := range r.jobs(task.Id) {
		if j.State == store.JobLeased || j.Failure != nil {
			t.Errorf("job %+v", j)
		}
		if j.State == store.JobReady {
			ready++
		}
	}
	if ready == 0 {
		t.Error("the stopping node took on more jobs")
	}
	if _, err := n.GetMetrics(rpc.System(t.Context()), nil); err != nil {
		t.Error(err)
	}
}

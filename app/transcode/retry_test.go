package transcode

import (
	"fmt"
	"strings"
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
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 4 * time.Second, 3: 16 * time.Second} {
		if got := retryDelay(attempt); got != want {
			t.Errorf("after attempt %d: %v, want %v", attempt, got, want)
		}
	}
}

func TestFailureOf(t *testing.T) {
	refusal := media.Refusal{Failure: store.Failure{Code: "encrypted", Message: "It is."}}
	for code, err := range map[string]error{
		"encrypted":  fmt.Errorf("plan: %w", refusal),
		codeDiskFull: fmt.Errorf("store: %w", store.ErrFull),
		codeTimeout:  errJobTimeout,
		codeFailed:   errGaveUp,
	} {
		if got := failureOf(err); got.Code != code || got.Message == "" {
			t.Errorf("failureOf(%v) = %+v", err, got)
		}
	}
	if got := failureOf(fmt.Errorf("scratch: %w", syscall.ENOSPC)); got.Code != codeDiskFull {
		t.Errorf("a full scratch disk is %+v", got)
	}
	if !permanent(store.Job{Attempt: 1}, fmt.Errorf("plan: %w", refusal)) {
		t.Error("a refusal is tried again")
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
			if j.RunAt.Before(before.Add(time.Second)) || j.RunAt.After(time.Now().Add(time.Second)) || j.Failure.Code != codeFailed {
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
	for code, fault := range map[string]error{codeFailed: storetest.ErrFault, codeDiskFull: store.ErrFull} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			plan := r.uploadPlanned("v1")
			last := plan.Timeline.Segments() - 1
			broken := store.CellKey("v1", "180p", last)
			n := r.node("b1")
			n.fails(broken, -1, fault)
			r.impatient()
			n.run()
			task := n.submit("v1")
			failed := r.untilTask(task.Id, store.TaskFailed)
			if failed.Failure == nil || failed.Failure.Code != code || failed.Attempt != maxAttempts {
				t.Errorf("task %+v, %+v", failed, failed.Failure)
			}
			r.wantNoJobs(task.Id)
			r.until("the video to tell", func() bool { return r.video("v1").Failure != nil })
			if v := r.video("v1"); v.State != store.VideoPlayable || v.Failure.Code != code {
				t.Errorf("video %+v, %+v", v, v.Failure)
			}
			cells := r.cells("v1")
			if !cells.Has("180p", 0) || cells.Has("180p", last) {
				t.Errorf("cells %+v", cells)
			}
			if _, err := r.objects.Stat(t.Context(), store.CellKey("v1", "180p", 0)); err != nil {
				t.Error(err)
			}

			n.fails(broken, 0, nil) // the disk is mended: what is there is not made again
			again := n.submit("v1")
			r.untilTask(again.Id, store.TaskSucceeded)
			r.wantObjects(&plan, "v1")
		})
	}
}

func TestAFullDiskDoesNotCostTheSource(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", clip(t))
	n := r.node("b1")
	n.fails(store.FramesKey("v1"), -1, store.ErrFull)
	r.impatient()
	n.run()
	task := n.submit("v1")
	r.untilTask(task.Id, store.TaskFailed)
	r.until("the video to fail", func() bool { return r.video("v1").State == store.VideoFailed })
	if f := r.video("v1").Failure; f == nil || f.Code != codeDiskFull {
		t.Errorf("failure %+v", f)
	}
	if _, err := r.objects.Stat(t.Context(), store.SourceKey("v1")); err != nil {
		t.Errorf("the source is gone: %v", err)
	}
	n.fails("", 0, nil)
	r.untilTask(n.submit("v1").Id, store.TaskSucceeded)
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

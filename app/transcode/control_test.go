package transcode

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	reached, release := n.stallPut(store.CellKey("v1", "180p", 1))
	defer release()
	n.run()
	ctx := rpc.System(t.Context())
	task := n.submit("v1")
	r.await("the stalled cell", reached)

	paused, err := n.PauseTask(ctx, &rpc.PauseTaskRequest{Id: task.Id})
	if err != nil || paused.State != "paused" {
		t.Fatalf("pause: %v, %v", paused, err)
	}
	r.poll("the workers to be idle", func() bool { return n.pool.counts().active == 0 })
	for _, j := range r.jobs(task.Id) {
		if j.State != store.JobPaused && j.State != store.JobDone || j.Failures > 0 {
			t.Errorf("job %+v", j)
		}
	}
	if again, err := n.PauseTask(ctx, &rpc.PauseTaskRequest{Id: task.Id}); err != nil || again.State != "paused" {
		t.Errorf("pause again: %v, %v", again, err)
	}
	// A player is told at once.
	_, err = n.Demand(ctx, &rpc.DemandRequest{VideoId: "v1", Rendition: "180p", Segment: 4})
	if reason, _ := rpc.Reason(err); reason != "task_paused" || connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("demand: %v", err)
	}
	if got := len(r.seen(events.TaskPaused.Subject)); got == 0 {
		t.Error("nobody heard of the pause")
	}

	release()
	resumed, err := n.ResumeTask(ctx, &rpc.ResumeTaskRequest{Id: task.Id})
	if err != nil || resumed.State != "processing" {
		t.Fatalf("resume: %v, %v", resumed, err)
	}
	done := r.untilTask(task.Id, store.TaskSucceeded)
	if done.Attempt != 1 {
		t.Errorf("the pause counted as a failure: %+v", done)
	}
	r.wantObjects(&plan, "v1")
	_, err = n.ResumeTask(ctx, &rpc.ResumeTaskRequest{Id: task.Id})
	wantReason(t, err, "task_not_paused")
	_, err = n.PauseTask(ctx, &rpc.PauseTaskRequest{Id: task.Id})
	wantReason(t, err, "task_over")
	_, err = n.RetryTask(ctx, &rpc.RetryTaskRequest{Id: task.Id})
	wantReason(t, err, "task_not_failed")
}

// A paused task leaves its place to the next, and a waiting one keeps its own.
func TestPauseFreesAPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) { c.MaxTasks = 1 }) // it runs no worker
	ctx := rpc.System(t.Context())
	var ids []string
	for i := range 3 {
		r.upload(fmt.Sprint("v", i), []byte("x"))
		ids = append(ids, n.submit(fmt.Sprint("v", i)).Id)
	}
	want := func(states ...store.TaskState) {
		t.Helper()
		var got []store.TaskState
		for _, id := range ids {
			got = append(got, r.task(id).State)
		}
		if !slices.Equal(got, states) {
			t.Errorf("tasks are %v, want %v", got, states)
		}
	}
	want("processing", "queued", "queued")
	_, err := n.PauseTask(ctx, &rpc.PauseTaskRequest{Id: ids[1]})
	r.ok(err)
	_, err = n.PauseTask(ctx, &rpc.PauseTaskRequest{Id: ids[0]})
	r.ok(err)
	want("paused", "paused", "processing")
	_, err = n.ResumeTask(ctx, &rpc.ResumeTaskRequest{Id: ids[1]})
	r.ok(err)
	want("paused", "queued", "processing")
	_, err = n.CancelTask(ctx, &rpc.CancelTaskRequest{Id: ids[2]})
	r.ok(err)
	want("paused", "processing", "cancelled")
}

func TestPriorityOfARunningTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	task := r.processing("t1", "v1")
	r.ok(n.Queue.Push(t.Context(), planJobs(task, &plan)...))
	priority := int32(90)
	ctx := rpc.System(t.Context())
	got, err := n.UpdateTask(ctx, &rpc.UpdateTaskRequest{Id: "t1", Priority: &priority})
	if err != nil || got.Priority != 90 {
		t.Fatalf("update: %v, %v", got, err)
	}
	for _, j := range r.jobs("t1") {
		if j.Priority != 90 {
			t.Errorf("job %+v", j)
		}
	}
	if got, err := n.UpdateTask(ctx, &rpc.UpdateTaskRequest{Id: "t1"}); err != nil || got.Priority != 90 {
		t.Errorf("an update of nothing: %v, %v", got, err)
	}
	priority = 101
	_, err = n.UpdateTask(ctx, &rpc.UpdateTaskRequest{Id: "t1", Priority: &priority})
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("priority 101: %v", err)
	}
	_, err = n.UpdateTask(ctx, &rpc.UpdateTaskRequest{Id: "nobody", Priority: new(int32)})
	wantReason(t, err, "task_not_found")
}

// What was cancelled is made from where it was.
func TestRetryOfACancelledTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	reached, release := n.stallPut(store.CellKey("v1", "180p", 2))
	defer release()
	n.run()
	ctx := rpc.System(t.Context())
	task := n.submit("v1")
	r.await("the stalled cell", reached)
	_, err := n.CancelTask(ctx, &rpc.CancelTaskRequest{Id: task.Id})
	r.ok(err)
	release()
	r.wantNoJobs(task.Id)
	again, err := n.RetryTask(ctx, &rpc.RetryTaskRequest{Id: task.Id})
	if err != nil || again.State != "processing" {
		t.Fatalf("retry: %v, %v", again, err)
	}
	r.untilTask(task.Id, store.TaskSucceeded)
	r.wantObjects(&plan, "v1")
}

// A retry whose node died before its jobs were in line is gone on with.
func TestARetryThatANodeLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	task := r.processing("t1", "v1")
	q := r.db.Queue()
	r.ok(q.Push(t.Context(), planJob(task)))
	job, err := leaseOne(t.Context(), q, store.Owner{}, store.RankOrdinary)
	r.ok(err)
	r.ok(q.Finish(t.Context(), job.ID, job.Lease.Token, store.Outcome{}))
	_, err = r.catalog.Tasks.Update(t.Context(), "t1", func(t *store.Task) error { t.State = store.TaskQueued; return nil })
	r.ok(err)
	r.node("b2").run()
	r.untilTask("t1", store.TaskSucceeded)
	r.wantObjects(&plan, "v1")
}

func TestRetryRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1")
	ctx := rpc.System(t.Context())
	make := func(id string, failure *store.Failure, newest string) {
		r.upload("v"+id, []byte("x"))
		r.processing(id, "v"+id)
		_, err := r.catalog.Tasks.Update(t.Context(), id, func(t *store.Task) error {
			t.State, t.Failure = store.TaskFailed, failure
			return nil
		})
		r.ok(err)
		_, err = r.catalog.Videos.Update(t.Context(), "v"+id, func(v *store.Video) error { v.TaskID = newest; return nil })
		r.ok(err)
	}
	make("refused", &store.Failure{Code: "encrypted", Message: "It is."}, "refused")
	make("old", &store.Failure{Code: codeFailed}, "newer")
	make("gone", &store.Failure{Code: codeFailed}, "gone")
	r.ok(r.catalog.Videos.Delete(t.Context(), "vgone"))
	for id, reason := range map[string]string{
		"refused": "video_failed", "old": "task_superseded", "gone": "video_deleted", "nobody": "task_not_found",
	} {
		_, err := n.RetryTask(ctx, &rpc.RetryTaskRequest{Id: id})
		wantReason(t, err, reason)
	}
}

func TestBulkChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) { c.MaxTasks = 1 })
	ctx := rpc.System(t.Context())
	var ids []string
	for i := range 5 {
		r.upload(fmt.Sprint("v", i), []byte("x"))
		ids = append(ids, n.submit(fmt.Sprint("v", i)).Id)
	}
	type call func(context.Context, *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error)
	want := func(do call, req *rpc.ChangeTasksRequest, matched, changed int32, refused ...string) {
		t.Helper()
		out, err := do(ctx, req)
		r.ok(err)
		var got []string
		for _, f := range out.Refused {
			got = append(got, f.Error.Code)
		}
		if out.Matched != matched || out.Changed != changed || !slices.Equal(got, refused) || out.More {
			t.Errorf("%v: %v, want %d matched, %d changed, %v", req, out, matched, changed, refused)
		}
	}
	priority := int32(80)
	want(n.PrioritiseTasks, &rpc.ChangeTasksRequest{State: "queued", Priority: &priority}, 4, 4)
	want(n.PauseTasks, &rpc.ChangeTasksRequest{Ids: []string{ids[1], ids[2], ids[2]}}, 2, 2)
	want(n.ResumeTasks, &rpc.ChangeTasksRequest{VideoId: "v1"}, 1, 1)
	want(n.CancelTasks, &rpc.ChangeTasksRequest{Profile: "default"}, 5, 5)
	want(n.CancelTasks, &rpc.ChangeTasksRequest{Ids: []string{ids[0], "nobody"}}, 2, 0, "task_over", "task_not_found")
	want(n.RetryTasks, &rpc.ChangeTasksRequest{State: "cancelled", Profile: "other"}, 0, 0)
	want(n.RetryTasks, &rpc.ChangeTasksRequest{State: "cancelled"}, 5, 5)

	for reason, req := range map[string]*rpc.ChangeTasksRequest{
		"filter_missing":   {},
		"ambiguous_filter": {Ids: ids, State: "failed"},
		"invalid_state":    {State: "asleep"},
		"too_many_ids":     {Ids: make([]string, maxBulk+1)},
	} {
		_, err := n.CancelTasks(ctx, req)
		wantReason(t, err, reason)
	}
	_, err := n.PrioritiseTasks(ctx, &rpc.ChangeTasksRequest{State: "queued"})
	wantReason(t, err, "priority_missing")
}

func TestQueueState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) { c.MaxTasks = 1 })
	ctx := rpc.System(t.Context())
	for i := range 3 {
		r.upload(fmt.Sprint("v", i), []byte("x"))
		n.submit(fmt.Sprint("v", i))
	}
	got, err := n.PauseQueue(ctx, &rpc.PauseQueueRequest{})
	r.ok(err)
	if !got.Paused || got.TasksWaiting != 2 || got.JobsReady != 1 || got.OldestTaskSeconds == nil || *got.OldestTaskSeconds < 0 {
		t.Errorf("queue %v", got)
	}
	n.run()
	if got, err = n.ResumeQueue(ctx, &rpc.ResumeQueueRequest{}); err != nil || got.Paused {
		t.Errorf("queue %v, %v", got, err)
	}
	r.until("the tasks to end", func() bool {
		got, err := n.GetQueue(ctx, &rpc.GetQueueRequest{})
		r.ok(err)
		return got.TasksWaiting == 0 && got.JobsReady == 0 && got.JobsRunning == 0
	})
}

// TestDrainOfTheNode: what runs ends, nothing more begins, and a resume leaves a
// worker drained that was drained by itself.
func TestDrainOfTheNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	reached, release := n.stallPut(store.CellKey("v1", "180p", 0))
	defer release()
	n.run()
	ctx := rpc.System(t.Context())
	task := n.submit("v1")
	r.await("the stalled cell", reached)
	if n.Running() < 1 || n.Load() <= 0 {
		t.Errorf("%d jobs run, load %v", n.Running(), n.Load())
	}
	n.DrainNode(true)
	_, err := n.DrainWorker(ctx, &rpc.DrainWorkerRequest{Id: "worker-1"})
	r.ok(err)
	release()
	r.poll("nothing to run", func() bool { return n.Running() == 0 })
	if got := r.task(task.Id); got.State != store.TaskProcessing || !r.cells("v1").Has("180p", 0) {
		t.Errorf("task %+v, its first cell there: %v", got, r.cells("v1").Has("180p", 0))
	}
	_, err = n.ResumeWorker(ctx, &rpc.ResumeWorkerRequest{Id: "worker-1"})
	wantReason(t, err, "node_drained")
	_, err = n.ResumeTranscoder(ctx, &rpc.ResumeTranscoderRequest{}) // no other switch undoes it
	r.ok(err)
	_, err = n.DrainWorker(ctx, &rpc.DrainWorkerRequest{Id: "worker-1"})
	r.ok(err)
	states := func() (out []string) {
		list, err := n.ListWorkers(ctx, &rpc.ListWorkersRequest{})
		r.ok(err)
		for _, w := range list.Workers {
			out = append(out, w.Id+" "+w.State)
		}
		return out
	}
	for _, s := range states() {
		if !strings.HasSuffix(s, " drained") {
			t.Errorf("on a drained node %s", s)
		}
	}
	n.DrainNode(false)
	if got := states(); !slices.Contains(got, "worker-1 drained") || !slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, " idle") || strings.HasSuffix(s, " active") }) {
		t.Errorf("after the resume: %v", got)
	}
	_, err = n.ResumeWorker(ctx, &rpc.ResumeWorkerRequest{Id: "worker-1"})
	r.ok(err)
	r.until("the task to end", func() bool { return r.task(task.Id).State == store.TaskSucceeded })
}

func TestDrainOfTheTranscoder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	reached, release := n.stallPut(store.CellKey("v1", "180p", 0))
	defer release()
	n.run()
	ctx := rpc.System(t.Context())
	task := n.submit("v1")
	r.await("the stalled cell", reached)
	_, err := n.DrainTranscoder(ctx, &rpc.DrainTranscoderRequest{})
	r.ok(err)
	release()
	r.poll("the workers to be drained", func() bool {
		out, err := n.ListWorkers(ctx, &rpc.ListWorkersRequest{})
		r.ok(err)
		return !slices.ContainsFunc(out.Workers, func(w *rpc.Worker) bool { return w.State != "drained" })
	})
	if !r.cells("v1").Has("180p", 0) {
		t.Error("the running job was not let finish")
	}
	if got := r.task(task.Id); got.State != store.TaskProcessing {
		t.Errorf("task %+v", got)
	}
	_, err = n.ResumeWorker(ctx, &rpc.ResumeWorkerRequest{Id: "worker-1"})
	wantReason(t, err, "transcoder_drained")
	_, err = n.ResumeTranscoder(ctx, &rpc.ResumeTranscoderRequest{})
	r.ok(err)
	r.untilTask(task.Id, store.TaskSucceeded)
	r.poll("the workers to be idle", func() bool { return n.pool.counts().active == 0 })
	_, err = n.DrainWorker(ctx, &rpc.DrainWorkerRequest{Id: "worker-99"})
	wantReason(t, err, "worker_not_found")
	if w, err := n.DrainWorker(ctx, &rpc.DrainWorkerRequest{Id: "worker-1"}); err != nil || w.State != "drained" {
		t.Errorf("drained %v, %v", w, err)
	}
	if w, err := n.ResumeWorker(ctx, &rpc.ResumeWorkerRequest{Id: "worker-1"}); err != nil || w.State != "idle" {
		t.Errorf("resumed %v, %v", w, err)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) { c.KeepTasks = time.Hour })
	r.upload("v1", []byte("x"))
	long, recent := time.Now().Add(-2*time.Hour), time.Now()
	for id, finished := range map[string]time.Time{"old": long, "recent": recent, "newest": long, "orphan": long} {
		task := r.processing(id, "v1")
		r.ok(n.Queue.Push(t.Context(), planJob(task)))
		_, err := r.catalog.Tasks.Update(t.Context(), id, func(t *store.Task) error {
			t.State, t.Finished = store.TaskFailed, finished
			if id == "orphan" {
				t.VideoID = "deleted"
			}
			return nil
		})
		r.ok(err)
	}
	_, err := r.catalog.Videos.Update(t.Context(), "v1", func(v *store.Video) error { v.TaskID = "newest"; return nil })
	r.ok(err)
	r.ok(n.retain(t.Context()))
	left, err := n.allTasks(t.Context(), store.TaskFailed)
	r.ok(err)
	var ids []string
	for _, task := range left {
		ids = append(ids, task.ID)
	}
	if !slices.Equal(ids, []string{"recent", "newest"}) {
		t.Errorf("left: %v", ids)
	}
	if len(r.jobs("old")) != 0 || len(r.jobs("recent")) != 1 {
		t.Error("jobs go with their tasks")
	}
}

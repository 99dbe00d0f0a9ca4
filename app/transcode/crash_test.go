package transcode

import (
	"errors"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

// etags reads the validators of a video's cells.
func (r *rig) etags(video string) map[string]string {
	r.Helper()
	objects, err := storetest.List(r.Context(), r.objects, store.VideoPrefix(video)+"cells/")
	r.ok(err)
	out := map[string]string{}
	for _, o := range objects {
		out[o.Key] = o.ETag
	}
	return out
}

func TestARestartedNodeResumesAndMakesNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	first := r.node("b1", func(c *Config) { c.Workers = 1 })
	reached, release := first.stallPut(store.CellKey("v1", "180p", 2))
	defer release()
	first.run()
	task := first.submit("v1")
	r.await("the third segment", reached)
	first.kill()
	before := r.etags("v1")
	if len(before) == 0 {
		t.Fatal("nothing was made before the crash")
	}
	leased := 0
	for _, j := range r.jobs(task.Id) {
		if j.State == store.JobLeased {
			leased++
		}
	}
	if leased != 1 {
		t.Fatalf("the dead node holds %d leases", leased)
	}

	r.node("b2").run()
	r.untilTask(task.Id, store.TaskSucceeded)
	after := r.etags("v1")
	for key, etag := range before {
		if after[key] != etag {
			t.Errorf("%s was made again", key)
		}
	}
	r.wantObjects(&plan, "v1")
	r.wantNoJobs(task.Id)
}

func TestACrashInThePlan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", clip(t))
	first := r.node("b1")
	reached, release := first.stallPut(store.FramesKey("v1"))
	defer release()
	first.run()
	task := first.submit("v1")
	r.await("the frame index", reached)
	first.kill()
	r.node("b2").run()
	r.untilTask(task.Id, store.TaskSucceeded)
}

func TestAStoredCellIsOnlyMarked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	task, job := r.leased(n, &plan, store.JobChunk)
	key := store.CellKey("v1", "180p", 0)
	_, err := store.PutBytes(t.Context(), r.objects, key, []byte("as the dead worker left it"), store.Replace)
	r.ok(err)
	job.Leases = 2
	todo, err := n.todo(t.Context(), job, &plan)
	r.ok(err)
	if len(todo) != 1 || len(todo[0].renditions) != 1 || todo[0].renditions[0] != "90p" {
		t.Errorf("to do: %+v", todo)
	}
	if cells := r.cells("v1"); !cells.Has("180p", 0) || cells["180p"].Bytes != 26 {
		t.Errorf("cells %+v", cells)
	}
	run := &running{Job: job}
	if _, err := n.perform(t.Context(), run); err != nil || run.progress.get() != 1 {
		t.Errorf("perform: %v, progress %v", err, run.progress.get())
	}
	if r.putCount(key) != 0 || r.putCount(store.CellKey("v1", "90p", 0)) != 1 {
		t.Errorf("puts %v", r.puts)
	}
	if r.task(task.ID).State != store.TaskProcessing {
		t.Errorf("task %+v", r.task(task.ID))
	}
}

// leased makes a task under way and hands out the first job of a kind.
func (r *rig) leased(n *node, plan *store.Plan, kind store.JobKind) (store.Task, store.Job) {
	r.Helper()
	task := r.processing("t1", "v1")
	for _, j := range planJobs(task, plan) {
		if j.Kind == kind {
			r.ok(r.db.Queue().Push(r.Context(), j))
			break
		}
	}
	jobs, err := r.db.Queue().Lease(r.Context(), store.LeaseRequest{
		Owner: store.Owner{Node: "other", Boot: "x"}, MaxRank: store.RankOrdinary, TTL: time.Hour})
	r.ok(err)
	return task, jobs[0]
}

// processing makes a task that is under way.
func (r *rig) processing(id, video string) store.Task {
	r.Helper()
	task := store.Task{
		ID: id, VideoID: video, Profile: "default", Priority: 50, State: store.TaskProcessing,
		Created: time.Now().UTC(), Started: time.Now().UTC(), Attempt: 1,
	}
	r.ok(r.catalog.Tasks.Create(r.Context(), task))
	_, err := r.catalog.Videos.Update(r.Context(), video, func(v *store.Video) error {
		v.TaskID = id
		return nil
	})
	r.ok(err)
	return task
}

func TestAWorkerThatLostItsLeaseHasNoSay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1")
	task, job := r.leased(n, &plan, store.JobStills)
	r.advance(2 * time.Hour)
	reaped, err := r.db.Queue().Reap(t.Context(), store.ReapRequest{})
	r.ok(err)
	if len(reaped) != 1 {
		t.Fatalf("reaped %+v", reaped)
	}
	want := r.jobs(task.ID)
	for _, end := range []error{nil, errDrained, storetest.ErrFault, errKillsNode} {
		stale := job
		stale.Failures = maxFailures
		n.finish(t.Context(), stale, []store.Job{planJob(task)}, end)
	}
	got := r.jobs(task.ID)
	if len(got) != 1 || got[0].State != store.JobReady || got[0].Lease != want[0].Lease || got[0].Failure != nil {
		t.Errorf("job %+v, was %+v", got, want)
	}
	if now := r.task(task.ID); now.State != store.TaskProcessing || now.Attempt != 1 {
		t.Errorf("task %+v", now)
	}
}

func TestTwoNodesShareOneQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plans := map[string]store.Plan{"v1": r.uploadPlanned("v1"), "v2": r.uploadPlanned("v2")}
	a := r.node("b1").run()
	b := r.node("b1", func(c *Config) {
		c.Owner.Node, c.Scratch = "n2", filepath.Join(r.dir, "scratch2")
	}).run()
	t1, t2 := a.submit("v1"), b.submit("v2")
	r.untilTask(t1.Id, store.TaskSucceeded)
	r.untilTask(t2.Id, store.TaskSucceeded)
	for id, plan := range plans {
		r.wantObjects(&plan, id)
	}
	r.wantNoJobs(t1.Id)
	ended := 0
	for _, n := range []*node{a, b} {
		m, err := n.GetMetrics(rpc.System(t.Context()), nil)
		r.ok(err)
		ended += int(m.GetTotalTasksProcessed())
	}
	if ended != 2 {
		t.Errorf("two tasks were counted %d times", ended)
	}
}

// The rest of this file makes by hand what a crash between two writes leaves.

func TestAPlanJobThatEndedWithoutItsTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", []byte("x"))
	task := r.processing("t1", "v1")
	q := r.db.Queue()
	r.ok(q.Push(t.Context(), planJob(task)))
	jobs, err := q.Lease(t.Context(), store.LeaseRequest{MaxRank: store.RankOrdinary, TTL: time.Hour})
	r.ok(err)
	job := jobs[0]
	n := r.node("b2")
	r.ok(n.sweep(t.Context()))
	if got := r.task("t1"); got.State != store.TaskProcessing {
		t.Fatalf("a task that is being planned is %+v", got)
	}
	r.ok(q.Finish(t.Context(), job.ID, job.Lease.Token, store.Outcome{Failure: &store.Failure{Code: "not_a_video", Message: "No."}}))
	r.ok(n.sweep(t.Context()))
	if got := r.task("t1"); got.State != store.TaskFailed || got.Failure.Code != "not_a_video" {
		t.Errorf("task %+v, %+v", got, got.Failure)
	}
	if v := r.video("v1"); v.State != store.VideoFailed || v.Failure.Code != "not_a_video" {
		t.Errorf("video %+v", v)
	}
	if _, err := r.objects.Stat(t.Context(), store.SourceKey("v1")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the refused source: %v", err)
	}
	r.wantNoOpenJobs("t1")
}

// A node dies while it ends the video of a refused source: the media is gone
// before the record says that the video has failed, or the next sweep would
// pass over it.
func TestRefusedMediaGoesFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", []byte("x"))
	task := r.processing("t1", "v1")
	task.State, task.Failure = store.TaskFailed, &store.Failure{Code: "not_a_video", Message: "No."}
	n := r.node("b1")
	state := store.VideoState("not asked")
	n.breaks(func(op storetest.Op, key string) storetest.Fault {
		if op == storetest.OpDelete && key == store.VideoPrefix("v1") {
			state = r.video("v1").State
		}
		return storetest.Fault{}
	})
	n.endVideo(t.Context(), task)
	if state != store.VideoProcessing {
		t.Errorf("the media was removed when the video was %s", state)
	}
	if v := r.video("v1"); v.State != store.VideoFailed {
		t.Errorf("video %+v", v)
	}
}

func TestATaskThatEndedWithoutItsVideo(t *testing.T) {
	for name, jobs := range map[string]int{"jobs are left": 1, "no job is left": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			plan := r.uploadPlanned("v1")
			task := r.processing("t1", "v1")
			r.ok(r.db.Queue().Push(t.Context(), planJobs(task, &plan)[:jobs]...))
			_, err := r.catalog.Tasks.Update(t.Context(), "t1", func(t *store.Task) error {
				t.State, t.Failure = store.TaskFailed, &store.Failure{Code: codeFailed}
				return nil
			})
			r.ok(err)
			n := r.node("b2")
			n.run()
			r.until("the video to fail", func() bool { return r.video("v1").State == store.VideoFailed })
			r.wantNoOpenJobs("t1")
			if len(r.etags("v1")) != 0 {
				t.Error("jobs of a task that is over were run")
			}
		})
	}
}

func TestACommittedCellStaysAsItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	task := r.processing("t1", "v1")
	job := store.Job{TaskID: task.ID, VideoID: "v1"}
	for _, cell := range []string{"first", "and another encode"} {
		r.ok(n.commit(t.Context(), job, "180p", 2, []byte(cell)))
	}
	if got := r.putCount(store.CellKey("v1", "180p", 2)); got != 1 {
		t.Errorf("the cell was stored %d times", got)
	}
	if set := r.cells("v1")["180p"]; set.Count != 1 || set.Bytes != 5 {
		t.Errorf("marked %+v", set)
	}
}

func TestJobsOfATaskThatIsOverAreNotRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	task := r.processing("t1", "v1")
	_, err := r.catalog.Tasks.Update(t.Context(), "t1", func(t *store.Task) error {
		t.State = store.TaskCancelled
		return nil
	})
	r.ok(err)
	n := r.node("b1").run()
	r.until("the node to be up", func() bool { return r.video("v1").State == store.VideoFailed })
	for _, id := range []string{"t1", "nobody"} { // pushed while it ended
		task.ID = id
		r.ok(n.queue.Push(t.Context(), planJobs(task, &plan)[0]))
		n.signal(store.RankFirst)
		r.wantNoJobs(id)
	}
	if len(r.etags("v1")) != 0 {
		t.Error("jobs of a task that is over were run")
	}
}

func TestTasksThatSubmitLeftBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, id := range []string{"alone", "named", "busy"} {
		r.upload(id, []byte("x"))
	}
	r.processing("t0", "busy")
	old := time.Now().Add(-time.Minute).UTC()
	for id, task := range map[string]store.Task{
		"t1": {VideoID: "alone", Created: old}, "t2": {VideoID: "busy", Created: old},
		"t3": {VideoID: "nobody", Created: old}, "t4": {VideoID: "named", Created: time.Now()},
	} {
		task.ID, task.State, task.Profile = id, store.TaskQueued, "default"
		r.ok(r.catalog.Tasks.Create(t.Context(), task))
	}
	n := r.node("b1")
	r.ok(n.enqueue(t.Context()))
	left := map[string]bool{}
	all, err := n.allTasks(t.Context(), store.TaskQueued)
	r.ok(err)
	for _, task := range all {
		left[task.ID] = len(r.jobs(task.ID)) > 0
	}
	// t1 becomes its video's task, t4 may be in the middle of submit.
	if want := map[string]bool{"t1": true, "t4": false}; !maps.Equal(left, want) {
		t.Errorf("waiting tasks and whether they have a job: %v, want %v", left, want)
	}
	if r.video("alone").TaskID != "t1" || r.video("busy").TaskID != "t0" || r.video("named").TaskID != "" {
		t.Error("the videos name other tasks")
	}
}

func TestOneBadTaskDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", []byte("x"))
	r.uploadPlanned("v2")
	r.processing("t9", "v2") // swept first, since newest
	r.ok(r.catalog.Videos.Delete(t.Context(), "v2"))
	r.ok(r.catalog.Tasks.Create(t.Context(), store.Task{ID: "t1", VideoID: "v1", State: store.TaskQueued}))
	_, err := r.catalog.Videos.Update(t.Context(), "v1", func(v *store.Video) error { v.TaskID = "t1"; return nil })
	r.ok(err)
	n := r.node("b1")
	r.ok(n.sweep(t.Context()))
	if len(r.jobs("t1")) != 1 {
		t.Error("the waiting task was not admitted")
	}
	if got := r.task("t9").State; got != store.TaskCancelled {
		t.Errorf("the task of a deleted video is %s", got)
	}
	if objects, err := storetest.List(t.Context(), r.objects, store.VideoPrefix("v2")); err != nil || len(objects) != 0 {
		t.Errorf("media of a deleted video: %v, %v", objects, err)
	}
}

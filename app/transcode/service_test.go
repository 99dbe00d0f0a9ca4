package transcode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

func TestNewNeedsADefaultProfile(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a service without a default profile was made")
	}
}

func TestCreateTaskRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) { c.MaxQueue = 1 })
	add := func(id string, change func(*store.Video)) {
		v := store.Video{ID: id, State: store.VideoProcessing, Profile: "default", Priority: 50, SizeBytes: 9}
		change(&v)
		r.ok(r.catalog.Videos.Create(t.Context(), v))
	}
	add("good", func(*store.Video) {})
	add("empty", func(v *store.Video) { v.State, v.SizeBytes = store.VideoUploading, 0 })
	add("refused", func(v *store.Video) { v.State, v.Failure = store.VideoFailed, &store.Failure{Code: "not_a_video"} })
	add("odd", func(v *store.Video) { v.Profile = "gone" })
	add("waiting", func(v *store.Video) { v.TaskID = "w1" })
	prio := func(p int32) *int32 { return &p }

	for _, tc := range []struct {
		req    *rpc.CreateTaskRequest
		reason string
		code   connect.Code
	}{
		{&rpc.CreateTaskRequest{VideoId: "nobody"}, "video_not_found", connect.CodeNotFound},
		{&rpc.CreateTaskRequest{}, "invalid_argument", connect.CodeInvalidArgument},
		{&rpc.CreateTaskRequest{VideoId: "empty"}, "no_source", connect.CodeFailedPrecondition},
		{&rpc.CreateTaskRequest{VideoId: "refused"}, "video_failed", connect.CodeFailedPrecondition},
		{&rpc.CreateTaskRequest{VideoId: "good", Profile: "8k"}, "unknown_profile", connect.CodeInvalidArgument},
		{&rpc.CreateTaskRequest{VideoId: "odd"}, "unknown_profile", connect.CodeInvalidArgument},
		{&rpc.CreateTaskRequest{VideoId: "good", Priority: prio(-1)}, "invalid_priority", connect.CodeInvalidArgument},
		{&rpc.CreateTaskRequest{VideoId: "good", Priority: prio(101)}, "invalid_priority", connect.CodeInvalidArgument},
	} {
		_, err := n.CreateTask(rpc.System(t.Context()), tc.req)
		wantReason(t, err, tc.reason)
		if connect.CodeOf(err) != tc.code {
			t.Errorf("%v: code %v, want %v", tc.req, connect.CodeOf(err), tc.code)
		}
	}
	all, err := n.allTasks(t.Context(), "")
	r.ok(err)
	if len(all) != 0 {
		t.Errorf("refused requests left %+v", all)
	}

	r.ok(r.catalog.Tasks.Create(t.Context(), store.Task{ID: "w1", VideoID: "waiting", State: store.TaskQueued}))
	r.ok(n.enqueue(t.Context()))
	_, err = n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: "good"})
	wantReason(t, err, "queue_full")
	again, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: "waiting"})
	if err != nil || again.GetId() != "w1" {
		t.Errorf("a task that waits already: %v, %v", again, err)
	}
}

func TestASourceThatWasNotRefusedMayBeTriedAgain(t *testing.T) {
	for _, code := range []string{codeFailed, codeTimeout, codeDiskFull, codeCancelled} {
		v := store.Video{ID: "v", Profile: "default", SizeBytes: 1, State: store.VideoFailed, Failure: &store.Failure{Code: code}}
		s := Service{Config: Config{Profiles: profiles()}}
		if _, err := s.newTask(v, &rpc.CreateTaskRequest{}); err != nil {
			t.Errorf("after %s: %v", code, err)
		}
	}
}

func TestConcurrentSubmissionsMakeOneTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", []byte("x"))
	n := r.node("b1")
	const callers = 16
	ids := make([]string, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			task, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: "v1"})
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = task.Id
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("tasks %s and %s of one video", id, ids[0])
		}
	}
	all, err := n.allTasks(t.Context(), "")
	r.ok(err)
	if len(all) != 1 || r.video("v1").TaskID != all[0].ID {
		t.Errorf("tasks %+v, video %+v", all, r.video("v1"))
	}
	r.ok(n.admit(t.Context()))
	if stats, err := r.db.Queue().Stats(t.Context()); err != nil || stats.Ready != 1 {
		t.Errorf("jobs %+v, %v: a task that lost left its plan job", stats, err)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1")
	calls := []struct {
		name string
		need rpc.Scope
		call func(ctx context.Context) error
	}{
		{"CreateTask", rpc.ScopeUploader, func(ctx context.Context) error {
			_, err := n.CreateTask(ctx, &rpc.CreateTaskRequest{VideoId: "x"})
			return err
		}},
		{"GetTask", rpc.ScopeRead, func(ctx context.Context) error {
			_, err := n.GetTask(ctx, &rpc.GetTaskRequest{Id: "x"})
			return err
		}},
		{"ListTasks", rpc.ScopeRead, func(ctx context.Context) error {
			_, err := n.ListTasks(ctx, &rpc.ListTasksRequest{})
			return err
		}},
		{"CancelTask", rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := n.CancelTask(ctx, &rpc.CancelTaskRequest{Id: "x"})
			return err
		}},
		{"GetMetrics", rpc.ScopeRead, func(ctx context.Context) error {
			_, err := n.GetMetrics(ctx, &rpc.GetMetricsRequest{})
			return err
		}},
		{"Demand", rpc.ScopeAdmin, func(ctx context.Context) error {
			_, err := n.Demand(ctx, &rpc.DemandRequest{VideoId: "x"})
			return err
		}},
	}
	for _, c := range calls {
		for scope := rpc.ScopeNone; scope <= rpc.ScopeAdmin; scope++ {
			err := c.call(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: scope}))
			code := connect.CodeOf(err)
			denied := err != nil && (code == connect.CodePermissionDenied || code == connect.CodeUnauthenticated)
			if denied != (scope < c.need) {
				t.Errorf("%s with scope %q: %v", c.name, scope, err)
			}
		}
	}
}

func TestListTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1")
	for i, state := range []store.TaskState{store.TaskQueued, store.TaskFailed, store.TaskQueued} {
		task := store.Task{ID: fmt.Sprintf("t%d", i), VideoID: "v1", State: state}
		if state == store.TaskFailed {
			task.Failure = &store.Failure{Code: "boom", Message: "It broke."}
		}
		r.ok(r.catalog.Tasks.Create(t.Context(), task))
	}
	ctx := rpc.System(t.Context())
	for reason, req := range map[string]*rpc.ListTasksRequest{
		"invalid_limit": {Limit: -1}, "invalid_state": {State: "bored"}, "invalid_cursor": {Cursor: "!"},
	} {
		_, err := n.ListTasks(ctx, req)
		wantReason(t, err, reason)
	}
	_, err := n.ListTasks(ctx, &rpc.ListTasksRequest{Limit: store.MaxLimit + 1})
	wantReason(t, err, "invalid_limit")
	_, err = n.GetTask(ctx, &rpc.GetTaskRequest{Id: "nobody"})
	wantReason(t, err, "task_not_found")

	page, err := n.ListTasks(ctx, &rpc.ListTasksRequest{State: "queued", Limit: 1})
	r.ok(err)
	if len(page.Tasks) != 1 || page.Tasks[0].Id != "t2" || page.NextCursor == "" {
		t.Fatalf("page %v", page)
	}
	page, err = n.ListTasks(ctx, &rpc.ListTasksRequest{State: "queued", Limit: 1, Cursor: page.NextCursor})
	r.ok(err)
	if len(page.Tasks) != 1 || page.Tasks[0].Id != "t0" || page.NextCursor != "" {
		t.Errorf("last page %v", page)
	}
	page, err = n.ListTasks(ctx, &rpc.ListTasksRequest{VideoId: "v1", State: "failed"})
	r.ok(err)
	if len(page.Tasks) != 1 || page.Tasks[0].GetError().GetCode() != "boom" {
		t.Errorf("failed %v", page)
	}
	if page, err = n.ListTasks(ctx, &rpc.ListTasksRequest{VideoId: "v2"}); err != nil || len(page.Tasks) != 0 {
		t.Errorf("of another video %v, %v", page, err)
	}

	r.ok(r.catalog.Videos.Create(t.Context(), store.Video{ID: "v3", DurationSeconds: 80}))
	r.ok(r.catalog.Tasks.Create(t.Context(), store.Task{ID: "t3", VideoID: "v3", State: store.TaskProcessing, Progress: 75, Speed: 2}))
	if page, err = n.ListTasks(ctx, &rpc.ListTasksRequest{VideoId: "v3"}); err != nil || len(page.Tasks) != 1 || page.Tasks[0].GetEta() != 10 {
		t.Errorf("one under way %v, %v", page, err)
	}
}

func TestEncodeTaskTellsTheETA(t *testing.T) {
	task := store.Task{State: store.TaskProcessing, Progress: 75, Speed: 2}
	if got := encodeTask(task, store.Video{DurationSeconds: 80}); got.Eta == nil || *got.Eta != 10 {
		t.Errorf("a quarter of 80 s at double speed: ETA %v", got.Eta)
	}
	task.State = store.TaskSucceeded
	if got := encodeTask(task, store.Video{DurationSeconds: 80}); got.Eta != nil || got.StartedAt != nil || got.FinishedAt != nil {
		t.Errorf("task %v", got)
	}
}

// hangingFFmpeg is a script that is ffmpeg until the file "hang" is there.
// After that it tells its process id through the pipe "pid" and hangs.
func hangingFFmpeg(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "ffmpeg")
	script := fmt.Sprintf("#!/bin/sh\nif [ -e %[1]s/hang ]; then echo $$ > %[1]s/pid; exec sleep 600; fi\nexec %[2]s \"$@\"\n",
		dir, tools(t).FFmpeg)
	if err := errors.Join(os.WriteFile(path, []byte(script), 0o700), syscall.Mkfifo(filepath.Join(dir, "pid"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// readPID waits for a hanging encoder.
func readPID(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(data))[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// wantGone checks that a process has ended and was waited for.
func wantGone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("encoder %d is still there: %v", pid, err)
	}
}

func TestCancelStopsTheEncoderAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	// The heartbeat comes every 20 minutes here: only the hint can be so quick.
	n := r.node("b1", func(c *Config) { c.Workers, c.Tools.FFmpeg = 1, hangingFFmpeg(t, r.dir) })
	r.ok(os.WriteFile(filepath.Join(r.dir, "hang"), nil, 0o600))
	n.run()
	task := n.submit("v1")
	pid := readPID(t, r.dir)
	if m, err := n.GetMetrics(rpc.System(t.Context()), nil); err != nil || m.GetActiveWorkers() != 1 || m.GetIdleWorkers() != 0 {
		t.Errorf("while encoding: %v, %v", m, err)
	}

	over, err := n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: task.Id})
	r.ok(err)
	if over.State != string(store.TaskCancelled) || over.FinishedAt == nil {
		t.Errorf("cancelled: %v", over)
	}
	r.until("the worker to be idle", func() bool { return n.pool.counts().active == 0 })
	wantGone(t, pid)
	r.wantNoJobs(task.Id)
	if v := r.video("v1"); v.State != store.VideoFailed || v.Failure == nil || v.Failure.Code != codeCancelled {
		t.Errorf("video %+v", v)
	}
	r.until("the event", func() bool { return len(r.seen(events.TaskCancelled.Subject)) == 1 })
	_, err = n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: task.Id})
	wantReason(t, err, "task_over")
	_, err = n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: "nobody"})
	wantReason(t, err, "task_not_found")

	// It can be started again, and then everything is made.
	r.ok(os.Remove(filepath.Join(r.dir, "hang")))
	again := n.submit("v1")
	if again.Id == task.Id {
		t.Fatal("the cancelled task was returned")
	}
	r.untilTask(again.Id, store.TaskSucceeded)
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		t.Errorf("video %+v", v)
	}
}

func TestAPlayableVideoStaysPlayableWhenCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1", func(c *Config) { c.Workers = 1 }).run()
	reached, release := n.stallPut(store.CellKey("v1", "180p", 3))
	defer release()
	task := n.submit("v1")
	r.await("the fourth segment", reached)
	r.until("the video to be playable", func() bool { return r.video("v1").State == store.VideoPlayable })
	_, err := n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: task.Id})
	r.ok(err)
	if v := r.video("v1"); v.State != store.VideoPlayable || v.Failure == nil || v.Failure.Code != codeCancelled {
		t.Errorf("video %+v", v)
	}
}

func TestMetricsCountWhatEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) { c.Workers = 3 }).run()
	r.until("the workers", func() bool { return n.pool.size() == 3 })
	now := time.Now()
	n.metrics.ended(store.Task{State: store.TaskSucceeded, Started: now, Finished: now.Add(3 * time.Second)})
	n.metrics.ended(store.Task{State: store.TaskSucceeded, Started: now, Finished: now.Add(4 * time.Second)})
	n.metrics.ended(store.Task{State: store.TaskFailed, Started: now, Finished: now.Add(time.Hour)})
	n.metrics.ended(store.Task{State: store.TaskCancelled})
	m, err := n.GetMetrics(rpc.System(t.Context()), &rpc.GetMetricsRequest{})
	r.ok(err)
	if m.GetTotalWorkers() != 3 || m.GetActiveWorkers() != 0 || m.GetIdleWorkers() != 3 || m.GetUnhealthyWorkers() != 0 ||
		m.GetTotalTasksProcessed() != 2 || m.GetTotalTasksFailed() != 1 || m.AverageTaskTime != "3.5s" {
		t.Errorf("metrics %v", m)
	}
	for name, field := range map[string]*int32{
		"total_workers": m.TotalWorkers, "active_workers": m.ActiveWorkers, "idle_workers": m.IdleWorkers,
		"unhealthy_workers": m.UnhealthyWorkers, "total_tasks_processed": m.TotalTasksProcessed, "total_tasks_failed": m.TotalTasksFailed,
	} {
		if field == nil {
			t.Errorf("%s is absent, not zero", name)
		}
	}
}

// Nodes that take tasks at the same moment take no more than may wait, and what they
// refuse leaves nothing.
func TestTheQueueIsNeverOverfull(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const videos, most = 16, 2
	for i := range videos {
		v := r.upload(fmt.Sprint("v", i), []byte("x"))
		_, err := r.catalog.Videos.Update(t.Context(), v.ID, func(v *store.Video) error { v.State = store.VideoUploading; return nil })
		r.ok(err)
	}
	var nodes []*node
	for range 2 {
		nodes = append(nodes, r.node("b1", func(c *Config) { c.MaxTasks, c.MaxQueue = 1, most }))
	}
	var all sync.WaitGroup
	var taken atomic.Int64
	for i := range videos {
		all.Go(func() {
			_, err := nodes[i%2].CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: fmt.Sprint("v", i)})
			if err == nil {
				taken.Add(1)
				return
			}
			wantReason(t, err, "queue_full")
			if v := r.video(fmt.Sprint("v", i)); v.TaskID != "" || v.State != store.VideoUploading {
				t.Errorf("what was refused has left %+v", v)
			}
		})
	}
	all.Wait()
	stats, err := r.db.Queue().Stats(t.Context())
	r.ok(err)
	tasks, err := nodes[0].allTasks(t.Context(), "")
	r.ok(err)
	if n := int64(len(tasks)); stats.Backlog < 1 || stats.Backlog > most || n != taken.Load() || n != int64(stats.Backlog)+1 { // one is let in
		t.Errorf("%d tasks were taken, %d are stored, %d wait", taken.Load(), len(tasks), stats.Backlog)
	}
}

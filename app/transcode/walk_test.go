package transcode

import (
	"errors"
	"slices"
	"testing"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

func TestAClipBecomesReady(t *testing.T) {
	for profile, renditions := range map[string]int{"default": 3, "copy": 3} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			v := r.upload("v1", clip(t))
			n := r.node("b1").run()
			task, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: v.ID, Profile: profile})
			r.ok(err)
			if task.State != string(store.TaskQueued) || task.Priority != 50 {
				t.Errorf("submitted %+v", task)
			}
			done := r.untilTask(task.Id, store.TaskSucceeded)
			r.until("the completion event", func() bool { return len(r.seen(events.TaskCompleted.Subject)) == 1 })

			plan, err := r.catalog.Plans.Plan(t.Context(), v.ID)
			r.ok(err)
			if len(plan.Renditions) != renditions || r.cells(v.ID).Missing(&plan) != 0 {
				t.Errorf("%d renditions, %d cells missing", len(plan.Renditions), r.cells(v.ID).Missing(&plan))
			}
			if done.Progress != 100 || done.Attempt != 1 || done.Failure != nil || done.Started.IsZero() || done.Finished.IsZero() {
				t.Errorf("task ended as %+v", done)
			}
			now := r.video(v.ID)
			if now.State != store.VideoReady || !now.Poster || !now.Storyboard || now.Failure != nil ||
				now.DurationSeconds < 4.9 || now.DurationSeconds > 5.1 || now.Width != 320 || now.Height != 180 {
				t.Errorf("video ended as %+v", now)
			}
			r.wantNoJobs(task.Id)
			r.wantObjects(&plan, v.ID)
			r.wantEvents(&plan, task.Id)
		})
	}
}

// wantNoJobs checks that the queue forgets a task, and has nothing else: a
// task's end shows before its jobs are gone.
func (r *rig) wantNoJobs(task string) {
	r.Helper()
	r.until("the queue to forget the task", func() bool {
		stats, err := r.db.Queue().Stats(r.Context())
		r.ok(err)
		return len(r.jobs(task)) == 0 && stats == (store.QueueStats{})
	})
}

// wantNoOpenJobs checks that nothing is left to do of a task. The jobs of one
// that failed stay, to tell why.
func (r *rig) wantNoOpenJobs(task string) {
	r.Helper()
	r.until("the task's jobs to be done", func() bool {
		open, err := r.db.Queue().Open(r.Context(), task)
		r.ok(err)
		return open == 0
	})
}

// wantObjects checks that each cell was stored once, with the stills.
func (r *rig) wantObjects(plan *store.Plan, video string) {
	r.Helper()
	for _, rend := range plan.Renditions {
		for seg := range plan.Timeline.Segments() {
			key := store.CellKey(video, rend.Name, seg)
			if _, err := r.objects.Stat(r.Context(), key); err != nil {
				r.Errorf("cell %s: %v", key, err)
			}
			if n := r.putCount(key); n != 1 {
				r.Errorf("%s was stored %d times", key, n)
			}
		}
	}
	for _, name := range []string{"poster.jpg", "storyboard.vtt"} {
		if _, err := r.objects.Stat(r.Context(), store.StillKey(video, name)); err != nil {
			r.Error(err)
		}
	}
}

// wantEvents checks what a listener saw of a task that went well.
func (r *rig) wantEvents(plan *store.Plan, task string) {
	r.Helper()
	for _, subject := range []string{events.TaskSubmitted.Subject, events.TaskStarted.Subject, events.TaskCompleted.Subject} {
		if got := r.seen(subject); len(got) != 1 || payload[events.Task](r.T, got[0]).TaskID != task {
			r.Errorf("%d events %s", len(got), subject)
		}
	}
	most := 0.0 // two workers' hints may pass each other
	for _, m := range r.seen(events.TaskProgress.Subject) {
		most = max(most, payload[events.Task](r.T, m).Progress)
	}
	if most != 100 {
		r.Errorf("the highest progress is %v", most)
	}
	if got := len(r.seen(events.CellsReady.Subject)); got != len(plan.Renditions)*plan.Timeline.Segments() {
		r.Errorf("%d cells were announced", got)
	}
	var states []string
	for _, m := range r.seen(events.VideoChanged.Subject) {
		states = append(states, payload[events.Video](r.T, m).State)
	}
	if got := slices.Compact(states); !slices.Equal(got, []string{"processing", "playable", "ready"}) {
		r.Errorf("the video was %v", got)
	}
}

func TestARefusedSourceLeavesOnlyTheRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("v1", []byte("This is no video at all, whatever its name says.\n"))
	n := r.node("b1").run()
	task := n.submit("v1")
	failed := r.untilTask(task.Id, store.TaskFailed)
	r.wantNoOpenJobs(task.Id)
	r.until("the media to go", func() bool {
		objects, err := storetest.List(t.Context(), r.objects, store.VideoPrefix("v1"))
		r.ok(err)
		return len(objects) == 0
	})
	r.until("the record to say so", func() bool { return r.video("v1").State == store.VideoFailed })
	v := r.video("v1")
	if v.State != store.VideoFailed || v.Failure == nil || v.Failure.Code != "not_a_video" || v.Failure.Message == "" {
		t.Errorf("video %+v, failure %+v", v, v.Failure)
	}
	if failed.Failure == nil || failed.Failure.Code != v.Failure.Code || failed.Failure.Message != v.Failure.Message || failed.Attempt != 1 {
		t.Errorf("task %+v", failed)
	}
	if _, err := r.catalog.Plans.Plan(t.Context(), "v1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("plan: %v", err)
	}
	_, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: "v1"})
	wantReason(t, err, "video_failed")
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	if got, _ := rpc.Reason(err); got != reason || err == nil {
		t.Errorf("error %v with reason %q, want %q", err, got, reason)
	}
}

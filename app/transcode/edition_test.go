package transcode

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

// withEditions adds profiles that share the 90p and the sound of the default
// one: "sharp" makes the 180p anew, "tall" has one of another size.
func withEditions(c *Config) {
	sharp, tall := smallProfile(false), smallProfile(false)
	sharp.Rungs[0].CRF = 20
	tall.Rungs[0] = media.Rung{Name: "120p", Height: 120, CRF: 30, MaxRate: 300_000, BufSize: 450_000}
	tall.Rungs = slices.Insert(tall.Rungs, 0, sharp.Rungs[0])
	c.Profiles["sharp"], c.Profiles["tall"] = sharp, tall
}

func (n *node) submitAs(video, profile string) *rpc.Task {
	n.Helper()
	task, err := n.CreateTask(rpc.System(n.Context()), &rpc.CreateTaskRequest{VideoId: video, Profile: profile})
	n.ok(err)
	return task
}

func (r *rig) plan(video string) store.Plan {
	r.Helper()
	p, err := r.catalog.Plans.Plan(context.Background(), video)
	r.ok(err)
	return p
}

func (r *rig) lastSegment(video string) int {
	r.Helper()
	plan := r.plan(video)
	return plan.Timeline.Segments() - 1
}

func renditionNames(rs []store.Rendition) string {
	var names []string
	for _, r := range rs {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

// wantShown checks which renditions a video shows and which are made for it.
func (r *rig) wantShown(video, profile, shown, next string) {
	r.Helper()
	p, v := r.plan(video), r.video(video)
	gotNext := ""
	if p.Next != nil {
		gotNext = renditionNames(p.Next.Renditions)
	}
	if got := renditionNames(p.Renditions); got != shown || gotNext != next || v.Profile != profile || v.PlanRevision != p.Revision {
		r.Errorf("profile %s shows %q, next %q, revision %d of %d; want %s, %q, %q", v.Profile, got, gotNext, v.PlanRevision, p.Revision, profile, shown, next)
	}
}

// readyVideo makes a video ready with the default profile.
func (n *node) readyVideo(id string) {
	n.Helper()
	n.uploadPlanned(id)
	n.untilTask(n.submit(id).Id, store.TaskSucceeded)
	n.until("the video to be ready", func() bool { return n.video(id).State == store.VideoReady })
	n.wantShown(id, "default", "180p 90p audio", "")
}

func (r *rig) cellThere(video, rendition string, segment int) bool {
	_, err := r.objects.Stat(context.Background(), store.CellKey(video, rendition, segment))
	return err == nil
}

// A ready video is made again: what was shown is shown until the next edition is
// whole, only what differs is made, and what is retired goes when its time has
// come.
func TestAnotherProfile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", withEditions).run()
	n.readyVideo("v1")
	before := r.video("v1")
	last := r.lastSegment("v1")

	reached, release := n.stallPut(store.CellKey("v1", "180p-2", last))
	defer release()
	task := n.submitAs("v1", "sharp")
	r.await("the last cell to be stored", reached)
	r.wantShown("v1", "default", "180p 90p audio", "180p-2 90p audio")
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		t.Errorf("meanwhile the video is %s, %+v", v.State, v.Failure)
	}
	if got := r.task(task.Id).Progress; got < 60 || got >= 100 {
		t.Errorf("the task stands at %v %%, two of three renditions were there", got)
	}
	release()
	r.untilTask(task.Id, store.TaskSucceeded)
	r.wantShown("v1", "sharp", "180p-2 90p audio", "")
	if v := r.video("v1"); v.State != store.VideoReady || !v.Ready.Equal(before.Ready) {
		t.Errorf("the video is %s since %v, was since %v", v.State, v.Ready, before.Ready)
	}
	r.wantNoJobs(task.Id)
	plan := r.plan("v1")
	for _, rendition := range plan.Existing() {
		for segment := range last + 1 {
			if key := store.CellKey("v1", rendition.Name, segment); r.putCount(key) != 1 {
				t.Errorf("%s was stored %d times", key, r.putCount(key))
			}
		}
	}
	if n := r.putCount(store.StillKey("v1", "poster.jpg")); n != 1 {
		t.Errorf("the poster was made %d times", n)
	}

	// The profile once more comes to the same: nothing is made.
	r.untilTask(n.submitAs("v1", "sharp").Id, store.TaskSucceeded)
	r.wantShown("v1", "sharp", "180p-2 90p audio", "")

	// What is retired plays on until its time has come.
	if !r.cellThere("v1", "180p", last) {
		t.Error("the retired cells are gone already")
	}
	r.retireNow("v1")
	r.ok(n.removeRetired(t.Context()))
	objects, err := storetest.List(t.Context(), r.objects, store.CellsPrefix("v1", "180p"))
	r.ok(err)
	if _, marked := r.cells("v1")["180p"]; marked || len(objects) > 0 || len(r.plan("v1").Retired) > 0 {
		t.Errorf("left of the retired: %d objects, marks %v, %+v", len(objects), marked, r.plan("v1").Retired)
	}
	r.wantShown("v1", "sharp", "180p-2 90p audio", "")
	if !r.cellThere("v1", "180p-2", last) || !r.cellThere("v1", "90p", last) {
		t.Error("what is shown was removed")
	}

	// Its name does not come back.
	r.untilTask(n.submitAs("v1", "default").Id, store.TaskSucceeded)
	r.wantShown("v1", "default", "180p-3 90p audio", "")
}

// retireNow moves the time at which a video's retired renditions go.
func (r *rig) retireNow(video string) {
	r.Helper()
	_, err := r.catalog.Plans.UpdatePlan(context.Background(), video, func(p *store.Plan) error {
		for i := range p.Retired {
			p.Retired[i].Until = time.Now().Add(-time.Second)
		}
		return nil
	})
	r.ok(err)
}

// A removal that a dying node left anywhere is finished by the next one.
func TestARemovalIsFinished(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", withEditions).run()
	n.readyVideo("v1")
	r.untilTask(n.submitAs("v1", "sharp").Id, store.TaskSucceeded)
	r.retireNow("v1")
	broken := errors.New("the disk does not answer")
	n.breaks(func(op storetest.Op, _ string) storetest.Fault {
		if op == storetest.OpDelete {
			return storetest.Fault{Err: broken}
		}
		return storetest.Fault{}
	})
	if err := n.removeRetired(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("the removal: %v", err)
	}
	n.kill()
	again := r.node("b2", withEditions)
	plan := r.plan("v1")
	if _, there := plan.Rendition("180p"); there {
		t.Error("what is being removed can be taken up again")
	}
	r.ok(again.removeRetired(t.Context()))
	if r.cellThere("v1", "180p", 0) || len(r.plan("v1").Retired) > 0 {
		t.Errorf("retired: %+v", r.plan("v1").Retired)
	}
}

// A task that is cancelled or fails leaves the video as it was; a retry goes on
// where it stopped, after a crash too; yet another profile drops what nothing
// uses.
func TestAnEditionThatStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", withEditions).run()
	n.readyVideo("v1")

	reached, release := n.stallPut(store.CellKey("v1", "180p-2", 2))
	task := n.submitAs("v1", "sharp")
	r.await("the third cell", reached)
	_, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: "v1", Profile: "tall"})
	wantReason(t, err, "task_unfinished")
	_, err = n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: task.Id})
	r.ok(err)
	release()
	r.wantNoJobs(task.Id)
	r.wantShown("v1", "default", "180p 90p audio", "180p-2 90p audio")
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		t.Errorf("after the cancel the video is %s, %+v", v.State, v.Failure)
	}

	// The retry is killed in the middle.
	made := r.cells("v1")
	if made["180p-2"].Count == 0 {
		t.Error("nothing was made before the cancel")
	}
	last := r.lastSegment("v1")
	reached, release = n.stallPut(store.CellKey("v1", "180p-2", last))
	_, err = n.RetryTask(rpc.System(t.Context()), &rpc.RetryTaskRequest{Id: task.Id})
	r.ok(err)
	r.await("the last cell", reached)
	n.kill()
	release()
	r.wantShown("v1", "default", "180p 90p audio", "180p-2 90p audio")

	n = r.node("b2", withEditions)
	reached, release = n.stallPut(store.CellKey("v1", "180p-2", last))
	n.run()
	r.await("the last cell again", reached)
	_, err = n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: task.Id})
	r.ok(err)
	release()
	r.wantNoJobs(task.Id)
	for segment := range last {
		if key := store.CellKey("v1", "180p-2", segment); made.Has("180p-2", segment) && r.putCount(key) != 1 {
			t.Errorf("%s was stored %d times", key, r.putCount(key))
		}
	}

	// Back to the first profile: what was begun is dropped, nothing is made.
	r.untilTask(n.submitAs("v1", "default").Id, store.TaskSucceeded)
	r.wantShown("v1", "default", "180p 90p audio", "")
	plan := r.plan("v1")
	if len(plan.Retired) != 1 || plan.Retired[0].Name != "180p-2" || time.Until(plan.Retired[0].Until) > lateWriters {
		t.Errorf("retired %+v", plan.Retired)
	}

	// A third one takes it up again as long as it is there.
	r.untilTask(n.submitAs("v1", "tall").Id, store.TaskSucceeded)
	r.wantShown("v1", "tall", "180p-2 120p 90p audio", "")
	r.ok(n.removeRetired(t.Context()))
	if !r.cellThere("v1", "180p-2", last) {
		t.Error("what is shown was removed")
	}
}

// What a player asks for is made whatever the newest task makes.
func TestDemandOfWhatIsShown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", withEditions, func(c *Config) { c.Workers = 1 })
	r.uploadPlanned("v1")
	r.ok(r.catalog.Plans.MarkCells(t.Context(), "v1", store.Cell{Rendition: "180p"}, store.Cell{Rendition: "audio"}))
	_, err := r.catalog.Videos.Update(t.Context(), "v1", func(v *store.Video) error { v.DurationSeconds, v.State = 5, store.VideoPlayable; return nil })
	r.ok(err)
	reached, release := n.stallPut(store.CellKey("v1", "180p-2", 0))
	defer release()
	n.run()
	n.submitAs("v1", "sharp")
	r.await("the first cell of the next edition", reached)
	for _, cell := range []string{"180p", "180p-2"} {
		_, err := n.Demand(rpc.System(t.Context()), &rpc.DemandRequest{VideoId: "v1", Rendition: cell, Segment: 3})
		r.ok(err)
		r.until(cell, func() bool { return r.cells("v1").Has(cell, 3) })
	}
	_, err = n.Demand(rpc.System(t.Context()), &rpc.DemandRequest{VideoId: "v1", Rendition: "180p-3", Segment: 3})
	wantReason(t, err, "cell_not_found")
	r.wantShown("v1", "default", "180p 90p audio", "180p-2 90p audio")
}

// A video of which nobody could watch anything shows the next edition at once.
func TestNothingToShow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", withEditions)
	r.uploadPlanned("v1")
	_, err := r.catalog.Videos.Update(t.Context(), "v1", func(v *store.Video) error {
		v.DurationSeconds, v.State, v.Failure = 5, store.VideoFailed, &store.Failure{Code: codeFailed}
		return nil
	})
	r.ok(err)
	n.run()
	r.untilTask(n.submitAs("v1", "sharp").Id, store.TaskSucceeded)
	r.wantShown("v1", "sharp", "180p-2 90p audio", "")
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		t.Errorf("the video is %s, %+v", v.State, v.Failure)
	}
	if r.putCount(store.CellKey("v1", "180p", 0)) > 0 {
		t.Error("what nobody sees was made")
	}
}

// A profile that is gone by the time its task is taken up fails the task and
// nothing else; put back, the task can be retried.
func TestAProfileThatIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", withEditions).run()
	n.readyVideo("v1")
	n.kill()
	task := r.node("b2", withEditions).submitAs("v1", "sharp")
	n = r.node("b3").run()
	if failed := r.untilTask(task.Id, store.TaskFailed); failed.Failure == nil || failed.Failure.Code != codeNoProfile {
		t.Errorf("failed with %+v", failed.Failure)
	}
	r.wantShown("v1", "default", "180p 90p audio", "")
	if v := r.video("v1"); v.State != store.VideoReady || v.Failure != nil {
		t.Errorf("the video is %s, %+v", v.State, v.Failure)
	}
	n.kill()
	n = r.node("b4", withEditions).run()
	_, err := n.RetryTask(rpc.System(t.Context()), &rpc.RetryTaskRequest{Id: task.Id})
	r.ok(err)
	r.untilTask(task.Id, store.TaskSucceeded)
	r.wantShown("v1", "sharp", "180p-2 90p audio", "")
}

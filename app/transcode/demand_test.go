package transcode

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// demand asks for a cell as a player does.
func (n *node) demand(video, rendition string, segment int) error {
	_, err := n.Demand(rpc.System(n.Context()), &rpc.DemandRequest{VideoId: video, Rendition: rendition, Segment: int32(segment)})
	return err
}

// underway makes a task whose jobs are all pushed and none leased.
func (r *rig) underway(n *node, plan *store.Plan) store.Task {
	r.Helper()
	task := r.processing("t1", "v1")
	r.ok(r.db.Queue().Push(r.Context(), planJobs(task, plan)...))
	return task
}

func TestDemandRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1")
	plan := r.uploadPlanned("v1")
	r.upload("unplanned", []byte("x"))
	r.processing("t2", "unplanned")
	r.upload("taskless", []byte("x"))
	r.underway(n, &plan)
	for _, tc := range []struct {
		video, rendition string
		segment          int
		reason           string
	}{
		{"nobody", "180p", 0, "video_not_found"},
		{"taskless", "180p", 0, "task_not_found"},
		{"unplanned", "180p", 0, "plan_not_found"},
		{"v1", "1080p", 0, "cell_not_found"},
		{"v1", "", 0, "cell_not_found"},
		{"v1", "180p", -1, "cell_not_found"},
		{"v1", "180p", plan.Timeline.Segments(), "cell_not_found"},
	} {
		wantReason(t, n.demand(tc.video, tc.rendition, tc.segment), tc.reason)
	}
	r.ok(r.catalog.Plans.MarkCells(t.Context(), "v1", store.Cell{Rendition: "180p", Segment: 4, Bytes: 1}))
	r.ok(n.demand("v1", "180p", 4))
	if n.queue.pushed.Load() != 0 {
		t.Error("a job for a cell that exists, or cannot")
	}
	_, err := n.CancelTask(rpc.System(t.Context()), &rpc.CancelTaskRequest{Id: "t1"})
	r.ok(err)
	wantReason(t, n.demand("v1", "180p", 3), "cell_not_coming")
	r.ok(n.demand("v1", "180p", 4))
}

func TestADemandedCellIsFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1")
	plan := r.uploadPlanned("v1")
	task := r.underway(n, &plan)
	for range 3 { // impatient players ask again
		r.ok(n.demand("v1", "90p", 3))
	}
	if got := n.queue.pushed.Load(); got != 1 {
		t.Errorf("%d jobs for one cell", got)
	}
	q := r.db.Queue()
	job, err := leaseOne(t.Context(), q, n.Owner, store.RankDemanded)
	r.ok(err)
	if job.Rendition != "90p" || job.From != 3 || job.To != 4 || job.Kind != store.JobChunk {
		t.Errorf("first is %+v", job)
	}
	if _, err := leaseOne(t.Context(), q, n.Owner, store.RankDemanded); err == nil {
		t.Error("the express lanes get ordinary jobs")
	}
	follows, ok := covering(task, &plan, store.JobChunk, 4)
	if got, err := q.Job(t.Context(), follows); !ok || err != nil || got.Rank != store.RankFirst {
		t.Errorf("what follows: %+v, %v", got, err)
	}
	r.ok(n.demand("v1", "180p", 4)) // the last segment: nothing follows
	if got := n.queue.pushed.Load(); got != 2 {
		t.Errorf("%d jobs for two cells", got)
	}
}

func TestACellThatIsComingIsNotMadeTwice(t *testing.T) {
	long := planOf(40)
	task := store.Task{ID: "t1", VideoID: "v1", State: store.TaskProcessing, Created: time.Now().UTC()}
	tests := []struct {
		name      string
		kind      store.JobKind
		from      int
		rank      store.Rank
		rendition string
		segment   int
		have      int // cells of the rendition made by the running job
		soon      bool
	}{
		{"a copy always comes", store.JobCopy, 1, store.RankOrdinary, "source", 2, 0, true},
		{"so does sound", store.JobAudio, 1, store.RankOrdinary, "audio", 2, 0, true},
		{"a picture made in the background may not", store.JobChunk, 1, store.RankOrdinary, "720p", 1, 0, false},
		{"the first picture does", store.JobChunk, 0, store.RankFirst, "720p", 0, 0, true},
		{"a moved-up picture does when it is next", store.JobChunk, 1, store.RankFirst, "720p", 1, 0, true},
		{"but not when others come before", store.JobChunk, 2, store.RankFirst, "720p", 4, 0, false},
		{"unless they are there", store.JobChunk, 2, store.RankFirst, "720p", 4, 1, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			id, ok := covering(task, long, tc.kind, tc.segment)
			if !ok {
				t.Fatal("no job covers the cell")
			}
			var running store.Job
			for _, j := range planJobs(task, long) {
				if j.ID == id {
					running = j
				}
			}
			running.Rank = tc.rank
			job, _ := demandJob(task, long, tc.rendition, tc.segment)
			cells := store.Cells{}
			for i := range tc.have {
				cells[tc.rendition], _ = cells[tc.rendition].Mark(running.From+i, 1)
			}
			if soon := comingSoon(running, job, cells); soon != tc.soon {
				t.Errorf("soon is %v; the running job is [%d,%d)", soon, running.From, running.To)
			}
		})
	}
}

// TestDemandOfAJobThatWaits: a job of just the demanded segment is moved up
// instead of doubled, and while the plan job runs nothing is pushed at all.
func TestDemandOfAJobThatWaits(t *testing.T) {
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	task := n.submit("v1")
	stored, err := r.catalog.Tasks.Get(t.Context(), task.Id)
	r.ok(err)
	plan, err := r.catalog.Plans.Plan(t.Context(), "v1")
	r.ok(err)
	leased, err := leaseOne(t.Context(), r.db.Queue(), n.Owner, store.RankOrdinary)
	r.ok(err)
	if leased.Kind != store.JobPlan {
		t.Fatalf("leased %s first", leased.ID)
	}
	demandedID := func() string {
		job, _ := demandJob(stored, &plan, "90p", 0)
		return job.ID
	}()
	r.ok(n.demand("v1", "90p", 0))
	if _, err := r.db.Queue().Job(t.Context(), demandedID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("while the plan job runs: %v, want no job of its own", err)
	}
	r.ok(r.db.Queue().Finish(t.Context(), leased.ID, leased.Lease.Token, store.Outcome{Push: planJobs(stored, &plan)}))
	r.ok(n.demand("v1", "90p", 0))
	if _, err := r.db.Queue().Job(t.Context(), demandedID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("while the ordinary job waits: %v, want no job of its own", err)
	}
	next, err := leaseOne(t.Context(), r.db.Queue(), n.Owner, store.RankDemanded)
	r.ok(err)
	if next.Kind != store.JobChunk || next.From != 0 {
		t.Errorf("the express lane gets %s", next.ID)
	}
}

func TestAPlayerGetsItsCellWhileAllWorkersAreBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	n := r.node("b1", func(c *Config) { c.Workers = 1 })
	reached, release := n.stallPut(store.CellKey("v1", "180p", 0))
	n.run()
	task := n.submit("v1")
	r.await("the only worker to be stuck", reached)
	r.ok(n.demand("v1", "90p", 3))
	r.until("the demanded cell", func() bool { return r.cells("v1").Has("90p", 3) })
	release()
	r.untilTask(task.Id, store.TaskSucceeded)
	r.wantObjects(&plan, "v1") // the background run has left the demanded cell as it was
}

func TestDemandOfAWaitingTaskDoesNotEndIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	r.upload("v2", []byte("x"))
	other := r.processing("t2", "v2") // takes the only place
	r.ok(r.db.Queue().Push(t.Context(), planJob(other)))
	_, err := leaseOne(t.Context(), r.db.Queue(), store.Owner{Node: "n2"}, store.RankOrdinary)
	r.ok(err)
	n := r.node("b1", func(c *Config) { c.MaxTasks = 1 }).run()
	task := n.submit("v1")
	r.ok(n.demand("v1", "90p", 0))
	r.until("the demanded cell", func() bool { return r.cells("v1").Has("90p", 0) })
	r.until("its job to end", func() bool {
		return slices.ContainsFunc(r.jobs(task.Id), func(j store.Job) bool { return j.State == store.JobDone })
	})
	r.ok(n.settle(t.Context(), task.Id))
	if got := r.task(task.Id); got.State != store.TaskQueued {
		t.Errorf("task %+v, %+v", got, got.Failure)
	}
}

func TestAdmission(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) { c.MaxTasks = 2 })
	begin := time.Now().Add(-time.Hour).UTC()
	for i, priority := range []int{50, 50, 90, 10, 90} {
		id := fmt.Sprintf("v%d", i)
		r.upload(id, []byte("x"))
		_, err := r.catalog.Videos.Update(t.Context(), id, func(v *store.Video) error { v.TaskID = "t" + id; return nil })
		r.ok(err)
		r.ok(r.catalog.Tasks.Create(t.Context(), store.Task{
			ID: "t" + id, VideoID: id, State: store.TaskQueued, Profile: "default", Priority: priority,
			Created: begin.Add(time.Duration(-i) * time.Second),
		}))
	}
	r.ok(n.enqueue(t.Context()))
	r.ok(n.enqueue(t.Context())) // again is harmless
	var order []string
	for len(order) < 5 {
		r.ok(n.admit(t.Context()))
		r.ok(n.admit(t.Context())) // again is harmless
		stats, err := r.db.Queue().Stats(t.Context())
		r.ok(err)
		if open := stats.Ready + stats.Leased; open != min(2, 5-len(order)) {
			t.Fatalf("%d tasks have jobs", open)
		}
		job, err := leaseOne(t.Context(), r.db.Queue(), n.Owner, store.RankOrdinary)
		r.ok(err)
		_, err = n.start(t.Context(), job.TaskID)
		r.ok(err)
		order = append(order, job.TaskID)
		_, err = n.end(t.Context(), job.TaskID, store.TaskCancelled, nil)
		r.ok(err)
	}
	if got := fmt.Sprint(order); got != "[tv4 tv2 tv1 tv0 tv3]" {
		t.Errorf("the order was %s: not priority, then age", got)
	}
	stats, err := n.Queue.Stats(t.Context())
	if r.ok(err); stats.Backlog != 0 {
		t.Errorf("%d tasks wait, says the queue", stats.Backlog)
	}
}

package transcode

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

// Twenty kills during one and the same part are no reason to give it up.
func TestManyDeathsDuringOnePart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plan := r.uploadPlanned("v1")
	key := store.CellKey("v1", "180p", 2)
	var task string
	for i := range 20 {
		n := r.node(fmt.Sprintf("b%d", i))
		reached, release := n.stallPut(key)
		n.run()
		if task == "" {
			task = n.submit("v1").Id
		}
		r.hasten(reached)
		r.await("the part", reached)
		n.kill()
		release()
	}
	r.node("last").run()
	r.hasten(t.Context().Done())
	done := r.untilTask(task, store.TaskSucceeded)
	if done.Attempt != 1 {
		t.Errorf("deaths counted as failures: %+v", done)
	}
	r.wantObjects(&plan, "v1")
}

// hasten moves the queue's clock on for whatever waits, until stop is closed.
func (r *rig) hasten(stop <-chan struct{}) {
	r.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	hastened := make(chan struct{})
	go func() {
		defer close(hastened)
		defer look.Stop()
		for {
			select {
			case <-stop:
				return
			case <-look.C:
			}
			if stats, err := r.db.Queue().Stats(context.Background()); err == nil && stats.Later > 0 {
				r.ahead.Add(int64(time.Second))
				r.moved.fire()
			}
		}
	}()
	r.Cleanup(func() { <-hastened })
}

// A job that really kills its node is found, and the others get on.
func TestAJobThatKillsItsNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("bad")
	r.uploadPlanned("good")
	key := store.CellKey("bad", "180p", 1) // the first cell of a chunk: no progress
	var bad, good string
	deaths := 0
	for ; deaths < 40; deaths++ {
		n := r.node(fmt.Sprintf("b%d", deaths))
		reached := make(chan struct{})
		n.breaks(func(op storetest.Op, k string) storetest.Fault {
			switch {
			case op != storetest.OpPut:
				return storetest.Fault{}
			case k == key:
				if reached != nil {
					close(reached)
					reached = nil
				}
				return storetest.Fault{Err: errDead}
			case k == store.CellKey("bad", "90p", 1):
				return storetest.Fault{Err: errDead} // the same run of ffmpeg
			}
			return storetest.Fault{}
		})
		dies := reached
		n.run()
		if bad == "" {
			bad, good = n.submit("bad").Id, n.submit("good").Id
		}
		over := make(chan struct{})
		r.hasten(over)
		go func() {
			defer close(over)
			for r.task(bad).State != store.TaskFailed || r.task(good).State != store.TaskSucceeded {
				select {
				case <-dies:
					return
				case <-r.moved.next():
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		r.await("the death, or the end", over)
		n.kill()
		if r.task(bad).State == store.TaskFailed && r.task(good).State == store.TaskSucceeded {
			break
		}
	}
	failed := r.task(bad)
	if failed.State != store.TaskFailed || failed.Failure.Code != codeKillsNode {
		t.Fatalf("after %d deaths the task is %s, %+v", deaths, failed.State, failed.Failure)
	}
	if r.task(good).State != store.TaskSucceeded {
		t.Errorf("the other task is %+v", r.task(good))
	}
	culprits := 0
	for _, j := range r.jobs(bad) {
		if j.Failure != nil {
			culprits++
		}
	}
	if culprits != 1 {
		t.Errorf("%d jobs were given up", culprits)
	}
	if deaths < maxLoneDeaths || deaths > maxLoneDeaths+suspectAfter+2 {
		t.Errorf("it took %d deaths", deaths)
	}
	// It can be tried again.
	n := r.node("mended").run()
	if _, err := n.RetryTask(rpc.System(t.Context()), &rpc.RetryTaskRequest{Id: bad}); err != nil {
		t.Fatal(err)
	}
	r.untilTask(bad, store.TaskSucceeded)
}

// While a suspect runs, nothing else does.
func TestASuspectRunsAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.uploadPlanned("v1")
	n := r.node("b1")
	task := r.processing("t1", "v1")
	plan, err := r.catalog.Plans.Plan(t.Context(), "v1")
	r.ok(err)
	jobs := planJobs(task, &plan)
	chunk := slices.IndexFunc(jobs, func(j store.Job) bool { return j.Kind == store.JobChunk && j.From > 0 })
	r.ok(n.Queue.Push(t.Context(), jobs[chunk]))
	for range suspectAfter {
		_, err := leaseOne(t.Context(), n.Queue, store.Owner{Node: "n1", Boot: "dead"}, store.RankOrdinary)
		r.ok(err)
		_, err = n.Queue.Reap(t.Context(), reapRequest(store.Dead{Node: "n1", Boot: "b1"}))
		r.ok(err)
		r.advance(maxDeathPause)
	}
	if job := r.jobs("t1")[0]; job.State != store.JobSuspect {
		t.Fatalf("job %+v", job)
	}
	reached, release := n.stallPut(store.CellKey("v1", "180p", 1))
	defer release()
	n.run()
	r.await("the suspect", reached)
	others := slices.Delete(slices.Clone(jobs), chunk, chunk+1)
	r.ok(n.Queue.Push(t.Context(), others...))
	n.signal(store.RankDemanded)
	stats, err := n.Queue.Stats(t.Context())
	r.ok(err)
	if stats.Leased != 1 || stats.Ready != len(others) {
		t.Errorf("beside the suspect: %+v", stats)
	}
	release()
	r.untilTask("t1", store.TaskSucceeded)
}

func TestAPanicIsAFailureOfItsJob(t *testing.T) {
	_, err := guard(func() ([]store.Job, error) { panic("boom") })
	if err == nil || !slices.Contains([]string{codeFailed}, failureOf(err).Code) {
		t.Errorf("a panic is %v", err)
	}
}

package transcode

import (
	"math/rand/v2"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/storetest"
)

// A queue over a bad line: one call in eight fails, one takes effect and fails
// all the same, one takes its time. The video becomes ready, each cell is
// stored once, and no failure of the line is held against a job.
func TestAQueueOnABadLine(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func() storetest.Fault
	}{
		{"calls fail", func() storetest.Fault { return storetest.Fault{Err: storetest.ErrFault} }},
		{"calls take effect and fail", func() storetest.Fault { return storetest.Fault{Late: true} }},
		{"calls stall", func() storetest.Fault {
			stall := make(chan struct{})
			time.AfterFunc(50*time.Millisecond, func() { close(stall) })
			return storetest.Fault{Stall: stall}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			plan := r.uploadPlanned("v1")
			faulty := storetest.NewFaultyQueue(r.db.Queue())
			n := r.node("b1", func(c *Config) {
				// A lease whose answer was lost ends by itself.
				c.Queue, c.LeaseTTL = &fatalQueue{Queue: faulty, moved: r.moved}, 2*time.Second
			}).run()
			task, err := n.CreateTask(rpc.System(t.Context()), &rpc.CreateTaskRequest{VideoId: "v1"})
			r.ok(err)
			rng := rand.New(rand.NewPCG(1, 2))
			hit := 0
			faulty.Break(func(storetest.Op) storetest.Fault {
				if rng.IntN(8) > 0 {
					return storetest.Fault{}
				}
				hit++
				return tc.fault()
			})
			done := r.untilTask(task.Id, store.TaskSucceeded)
			faulty.Break(nil)
			r.wantNoOpenJobs(task.Id)
			if done.Attempt != 1 || done.Failure != nil {
				t.Errorf("task ended as %+v", done)
			}
			r.wantObjects(&plan, "v1")
			if hit == 0 {
				t.Error("no call was hit")
			}
		})
	}
}

package transcode

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// idlePool is a pool whose workers wait until they are to end.
func idlePool(t *testing.T, workers int) (p *pool, look *wake) {
	p, look = &pool{}, newWake()
	ctx, stop := context.WithCancel(t.Context())
	p.open(workers, 1, func(w *worker) {
		for {
			woken := look.next()
			if goOn, _ := p.may(w); !goOn || ctx.Err() != nil {
				return
			}
			select {
			case <-woken:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { stop(); p.close() })
	return p, look
}

func TestPoolResizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, look := idlePool(t, 3)
		if c := p.counts(); c != (counts{total: 3, idle: 3}) {
			t.Errorf("counts %+v", c)
		}
		busy := p.staying()[0]
		p.take(busy, &running{})
		p.resize(1)
		look.fire()
		synctest.Wait()
		// The one with a job stays, the idle ones went.
		if got := p.staying(); len(got) != 1 || got[0] != busy {
			t.Errorf("staying: %+v", got)
		}
		p.resize(0)
		look.fire()
		if c := p.counts(); c.active != 1 || p.size() != 0 {
			t.Errorf("counts %+v, size %d", c, p.size())
		}
		p.resize(2)
		synctest.Wait()
		if p.size() != 2 {
			t.Errorf("size %d", p.size())
		}
	})
}

func TestPoolDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := idlePool(t, 2)
		states := func() (out []string) {
			for _, s := range p.list() {
				out = append(out, s.name+" "+s.state)
			}
			return out
		}
		want := func(want ...string) {
			t.Helper()
			if got := states(); !slices.Equal(got, want) {
				t.Errorf("workers %q, want %q", got, want)
			}
		}
		p.take(p.workers[0], &running{})
		if !p.drain("worker-1", true) || p.drain("worker-9", true) {
			t.Error("drain of a worker that is, and of one that is not")
		}
		want("worker-1 draining", "worker-2 idle", "express-1 idle")
		if _, take := p.may(p.workers[0]); take {
			t.Error("a drained worker takes jobs")
		}
		p.take(p.workers[0], nil)
		want("worker-1 drained", "worker-2 idle", "express-1 idle")
		p.drain("", true)
		want("worker-1 drained", "worker-2 drained", "express-1 drained")
		p.drain("", false)
		want("worker-1 idle", "worker-2 idle", "express-1 idle")
	})
}

func TestPoolReplacesAnUnhealthyWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, look := idlePool(t, 2)
		p.replace(p.workers[0], "it hung")
		look.fire()
		synctest.Wait()
		if c := p.counts(); c != (counts{total: 3, idle: 2, unhealthy: 1}) || p.size() != 2 {
			t.Errorf("counts %+v, size %d", c, p.size())
		}
		if got := p.list()[0]; got.state != "unhealthy" || got.why != "it hung" {
			t.Errorf("first %+v", got)
		}
		p.forget(time.Minute)
		if c := p.counts(); c.unhealthy != 1 {
			t.Errorf("it was forgotten at once: %+v", c)
		}
		time.Sleep(time.Minute)
		p.forget(time.Minute)
		if c := p.counts(); c != (counts{total: 2, idle: 2}) {
			t.Errorf("counts %+v", c)
		}
	})
}

func TestTheScalerFollowsTheLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.node("b1", func(c *Config) {
		c.Workers, c.Scaling = 1, Scaling{Min: 1, Max: 3, Up: 2.5, Down: 0.5, Interval: 5 * time.Millisecond}
	})
	r.ok(n.Queue.SetPaused(t.Context(), true)) // jobs stay ready
	jobs := make([]store.Job, 12)
	for i := range jobs {
		jobs[i] = store.Job{ID: string(rune('a' + i)), TaskID: "nobody", Rank: store.RankOrdinary}
	}
	r.ok(n.Queue.Push(t.Context(), jobs...))
	n.run()
	r.poll("three workers", func() bool { return n.pool.size() == 3 })
	r.ok(n.Queue.SetPaused(t.Context(), false))
	r.poll("one worker", func() bool { return n.pool.counts().total == 1 })
	out, err := n.ListWorkers(rpc.System(t.Context()), &rpc.ListWorkersRequest{})
	if err != nil || out.Workers[0].State == "" {
		t.Errorf("workers %v, %v", out, err)
	}
}

// poll waits for something that announces nothing.
func (r *rig) poll(what string, cond func() bool) {
	r.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	timeout := time.After(patience)
	for !cond() {
		select {
		case <-look.C:
		case <-timeout:
			r.Fatalf("waited for %s in vain\n%s", what, r.state())
		}
	}
}

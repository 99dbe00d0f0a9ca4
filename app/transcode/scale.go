package transcode

import (
	"context"
	"time"
)

// Scaling moves the number of workers with the load. Ratio is runnable jobs by
// workers.
type Scaling struct {
	Min, Max int
	// TargetQueueLen is the number of waiting tasks for each of which a worker
	// is wanted at least.
	TargetQueueLen int
	Up             float64       // ratio above which one is added
	Down           float64       // ratio below which one is ended, when nothing waits
	Interval       time.Duration // between two looks
}

// load is what scaling goes by.
type load struct {
	workers int // now
	ready   int // jobs that can be leased
	waiting int // tasks that wait
}

// scale returns how many workers there should be, and why. It does no I/O.
func (p Scaling) scale(l load) (workers int, why string) {
	ratio := float64(l.ready) / float64(max(1, l.workers))
	want := l.workers
	switch {
	case ratio > p.Up:
		want, why = l.workers+1, "many jobs can run"
	case ratio < p.Down && l.ready == 0 && l.waiting == 0:
		want, why = l.workers-1, "nothing waits"
	}
	if p.TargetQueueLen > 0 {
		if least := (l.waiting + p.TargetQueueLen - 1) / p.TargetQueueLen; least > want {
			want, why = least, "many tasks wait"
		}
	}
	if bounded := min(max(want, p.Min), p.Max); bounded != want {
		want, why = bounded, "that is the bound"
	}
	if want == l.workers {
		why = "it fits the load"
	}
	return want, why
}

// scaler looks at the load every interval and resizes the pool, until ctx is
// done.
func (s *Service) scaler(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.Scaling.Interval):
		}
		stats, err := s.Queue.Stats(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Error("look at the load", "err", err)
			}
			continue
		}
		have := s.pool.size()
		want, why := s.Scaling.scale(load{workers: have, ready: stats.Ready, waiting: stats.Backlog})
		if want != have {
			s.Log.Info("workers scaled", "from", have, "to", want, "why", why, "jobs_ready", stats.Ready, "tasks_waiting", stats.Backlog)
			s.pool.resize(want)
			s.jobs.fire()
		}
	}
}

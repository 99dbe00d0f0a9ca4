package transcode

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"streamgate/store"
)

// work leases and runs jobs, one at a time, until ctx is done or the pool has
// no more need of the worker; a running job goes on until hard is done.
func (s *Service) work(ctx, hard context.Context, w *worker) {
	for ctx.Err() == nil {
		woken := s.jobs.next() // before the lease, so that none is missed
		goOn, take := s.pool.may(w)
		if !goOn {
			return
		}
		ran := take && s.disk.enough(ctx) && s.runNext(ctx, hard, w)
		if take {
			s.pool.took()
		}
		if ran {
			continue
		}
		select {
		case <-ctx.Done():
		case <-woken:
		case <-time.After(s.Poll):
		}
	}
}

func (s *Service) runNext(ctx, hard context.Context, w *worker) (ran bool) {
	defer s.alone.beside(w)()
	return s.leaseAndRun(ctx, hard, w, store.LeaseRequest{MaxRank: w.maxRank})
}

// leaseAndRun runs the first job that the request allows, if there is one.
func (s *Service) leaseAndRun(ctx, hard context.Context, w *worker, req store.LeaseRequest) (ran bool) {
	renewNow := s.renewals.next() // before the lease: a cancel right after it must be heard
	req.Owner, req.TTL, req.Encoder = s.Owner, s.LeaseTTL, s.encoder()
	req.Owner.Worker = w.name
	asked := time.Now()
	jobs, err := s.Queue.Lease(ctx, req)
	if err != nil {
		switch {
		case errors.Is(err, store.ErrEmpty), ctx.Err() != nil:
		case errors.Is(err, store.ErrUnavailable):
			s.Log.Debug("lease a job", "err", err) // all workers meet it, each second
		default:
			s.Log.Error("lease a job", "err", err)
		}
		return false
	}
	for _, job := range jobs {
		run := &running{Job: job, asked: asked, began: time.Now()}
		s.pool.take(w, run)
		err := s.runJob(hard, run, renewNow)
		s.pool.take(w, nil)
		if why := unhealthy(err); why != "" {
			s.Log.Error("worker replaced", "worker", w.name, "job", job.ID, "why", why)
			s.pool.replace(w, why)
		}
	}
	return true
}

// progress is how much of a job is done, 0–1: written by the job, read by its
// heartbeat.
type progress struct{ bits atomic.Uint64 }

func (p *progress) set(share float64) { p.bits.Store(math.Float64bits(share)) }
func (p *progress) get() float64      { return math.Float64frombits(p.bits.Load()) }

// runJob runs one leased job and tells the queue how it ended. renewNow closes
// when the lease may have been lost since it was taken.
func (s *Service) runJob(hard context.Context, run *running, renewNow <-chan struct{}) error {
	job := run.Job
	log := s.Log.With("job", job.ID, "failures", job.Failures)
	traced, span := s.beginJob(hard, job)
	defer span.End()
	ctx, stop := context.WithCancelCause(traced)
	defer stop(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, s.JobTimeout, errJobTimeout)
	defer cancel()

	beating := make(chan struct{})
	go func() {
		defer close(beating)
		s.heartbeat(ctx, run, renewNow, stop)
	}()
	push, err := guard(func() ([]store.Job, error) { return s.perform(ctx, run) })
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel()
	<-beating

	if errors.Is(err, store.ErrLeaseLost) {
		log.Info("job lost")
		markJob(ctx, outcomeLost, nil)
		s.sweepDeleted(context.WithoutCancel(ctx), job.VideoID)
		return nil
	}
	log.Debug("job ended", "took", time.Since(run.began), "err", err)
	s.finish(context.WithoutCancel(ctx), job, push, err)
	return err
}

// perform does the job's work and returns the jobs that follow from it.
func (s *Service) perform(ctx context.Context, run *running) ([]store.Job, error) {
	job := run.Job
	if err := s.wanted(ctx, job); err != nil {
		return nil, err
	}
	if job.LoneDeaths >= maxLoneDeaths {
		return nil, errKillsNode
	}
	switch job.Kind {
	case store.JobPlan:
		return s.plan(ctx, run)
	case store.JobStills:
		return nil, s.stills(ctx, run)
	default:
		return nil, s.makeCells(ctx, run)
	}
}

// wanted returns errOver if the job's task is over or gone.
func (s *Service) wanted(ctx context.Context, job store.Job) error {
	task, err := s.Catalog.Tasks.Get(ctx, job.TaskID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && task.State.Final():
		return errOver
	case err != nil:
		return fmt.Errorf("read task: %w", err)
	}
	return nil
}

// heartbeat renews the lease until ctx is done, at once when a task was
// cancelled or paused somewhere. A lost lease stops the job, and so does one that
// by this node's own clock must be over, because the queue could not be reached.
func (s *Service) heartbeat(ctx context.Context, run *running, renewNow <-chan struct{}, stop context.CancelCauseFunc) {
	held := run.asked // the queue may have answered long after the lease began
	pause := s.LeaseTTL/3 - time.Since(held)
	for {
		select {
		case <-ctx.Done():
			return
		case <-renewNow:
		case <-time.After(pause):
		}
		renewNow = s.renewals.next() // before the renewal, which may be just too early
		asked := time.Now()
		err := s.renew(ctx, run, s.LeaseTTL-asked.Sub(held))
		switch {
		case err == nil:
			held, pause = asked, s.LeaseTTL/3
			continue
		case errors.Is(err, store.ErrLeaseLost), time.Since(held) >= s.LeaseTTL:
			stop(store.ErrLeaseLost)
			return
		case ctx.Err() == nil:
			s.Log.Warn("renew a lease", "job", run.ID, "err", err)
		}
		pause = min(s.LeaseTTL/15, s.LeaseTTL-time.Since(held))
	}
}

// renew extends a lease, and waits for the answer as long as the lease lasts: where
// none comes, the job may be another node's. A process that was stopped for longer
// than that still asks once.
func (s *Service) renew(ctx context.Context, run *running, left time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, max(left, s.LeaseTTL/15))
	defer cancel()
	return s.Queue.Renew(ctx, run.ID, run.Lease.Token, s.LeaseTTL, run.progress.get())
}

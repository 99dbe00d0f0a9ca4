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

// worker returns a loop that leases jobs of at most maxRank until ctx is
// done; a running job goes on until hard is.
func (s *Service) worker(ctx, hard context.Context, name string, maxRank store.Rank) func() {
	owner := s.Owner
	owner.Worker = name
	return func() {
		for ctx.Err() == nil {
			// Both before the lease: a cancel right after it must be heard.
			woken, nudged := s.jobs.next(), s.hearts.next()
			job, err := s.Queue.Lease(ctx, owner, maxRank, s.LeaseTTL)
			if err == nil {
				s.busy(maxRank, +1)
				s.runJob(hard, job, nudged)
				s.busy(maxRank, -1)
				continue
			}
			if !errors.Is(err, store.ErrEmpty) && ctx.Err() == nil {
				s.Log.Error("lease a job", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-woken:
			case <-time.After(s.Poll):
			}
		}
	}
}

// busy counts the workers that have a job; the express lanes are not workers.
func (s *Service) busy(maxRank store.Rank, n int64) {
	if maxRank == store.RankOrdinary {
		s.metrics.active.Add(n)
	}
}

// progress is how much of a job is done, 0–1: written by the job, read by its
// heartbeat.
type progress struct{ bits atomic.Uint64 }

func (p *progress) set(share float64) { p.bits.Store(math.Float64bits(share)) }
func (p *progress) get() float64      { return math.Float64frombits(p.bits.Load()) }

// runJob runs one leased job and tells the queue how it ended. nudged closes
// when the lease may have been lost since it was taken.
func (s *Service) runJob(hard context.Context, job store.Job, nudged <-chan struct{}) {
	log := s.Log.With("job", job.ID, "attempt", job.Attempt)
	ctx, stop := context.WithCancelCause(hard)
	defer stop(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, s.JobTimeout, errJobTimeout)
	defer cancel()

	var done progress
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		s.heartbeat(ctx, job, nudged, &done, stop)
	}()
	began := time.Now()
	push, err := s.perform(ctx, job, &done)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel()
	<-beating

	if errors.Is(err, store.ErrLeaseLost) {
		log.Info("job lost")
		s.sweepDeleted(context.WithoutCancel(ctx), job.VideoID)
		return
	}
	log.Debug("job ended", "took", time.Since(began), "err", err)
	s.finish(context.WithoutCancel(ctx), job, push, err)
}

// perform does the job's work and returns the jobs that follow from it.
func (s *Service) perform(ctx context.Context, job store.Job, done *progress) ([]store.Job, error) {
	if err := s.wanted(ctx, job); err != nil {
		return nil, err
	}
	if job.Attempt > maxAttempts {
		return nil, errGaveUp
	}
	switch job.Kind {
	case store.JobPlan:
		return s.plan(ctx, job)
	case store.JobStills:
		return nil, s.stills(ctx, job)
	default:
		return nil, s.makeCells(ctx, job, done)
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
// cancelled somewhere. A lost lease stops the job.
func (s *Service) heartbeat(ctx context.Context, job store.Job, nudged <-chan struct{}, done *progress, stop context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-nudged:
		case <-time.After(s.LeaseTTL / 3):
		}
		nudged = s.hearts.next() // before the renewal, which may be just too early
		err := s.Queue.Renew(ctx, job.ID, job.Lease.Token, s.LeaseTTL, done.get())
		switch {
		case errors.Is(err, store.ErrLeaseLost):
			stop(store.ErrLeaseLost)
			return
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("renew a lease", "job", job.ID, "err", err)
		}
	}
}

package transcode

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"streamgate/store"
)

// reap makes the jobs of silent workers ready again, and moves tasks that
// nobody moved, every third of a lease's life until ctx is done.
func (s *Service) reap(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.LeaseTTL / 3):
		}
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("sweep the queue", "err", err)
		}
	}
}

func (s *Service) sweep(ctx context.Context) error {
	s.pool.forget(s.HealthInterval)
	jobs, err := s.Queue.Reap(ctx, reapRequest())
	if err != nil {
		return err
	}
	for _, j := range jobs {
		s.Log.Warn("lease expired", "job", j.ID, "deaths", j.Deaths)
	}
	tasks, err := s.allTasks(ctx, store.TaskProcessing)
	if err != nil {
		return err
	}
	maps.DeleteFunc(s.strandedSince, func(id string, _ time.Time) bool {
		return !slices.ContainsFunc(tasks, func(t store.Task) bool { return t.ID == id })
	})
	var errs []error // one task's trouble must not keep the others
	for _, t := range tasks {
		if err := s.sweepTask(ctx, t); err != nil && !errors.Is(err, errOver) {
			errs = append(errs, fmt.Errorf("task %s: %w", t.ID, err))
		}
	}
	if turn, err := s.Cache.Allow(ctx, repairTurn, 1/repairEvery.Seconds(), 1); err != nil {
		errs = append(errs, fmt.Errorf("ask whose turn it is: %w", err))
	} else if turn.OK {
		errs = append(errs, s.enqueue(ctx), s.repause(ctx, tasks), s.repair(ctx), s.retain(ctx))
	}
	return errors.Join(append(errs, s.removeRetired(ctx), s.admit(ctx))...)
}

const (
	// repairEvery is how often tasks that wait or are over are looked through.
	repairEvery = 5 * time.Minute
	// repairTurn is a limit of the whole deployment: the first node that asks after
	// that time looks through them. Twice is harmless, and what a node leaves that
	// dies meanwhile, the next one does.
	repairTurn = "transcode/repair"
)

// repause finishes what a node that died in the middle of a pause or of a
// resumption has left.
func (s *Service) repause(ctx context.Context, processing []store.Task) error {
	paused, err := s.allTasks(ctx, store.TaskPaused)
	if err != nil {
		return err
	}
	for _, t := range paused {
		_, perr := s.Queue.PauseTask(ctx, t.ID)
		err = errors.Join(err, perr)
	}
	for _, t := range processing {
		if now, gerr := s.Catalog.Tasks.Get(ctx, t.ID); gerr == nil && now.State == store.TaskProcessing {
			_, rerr := s.Queue.ResumeTask(ctx, t.ID)
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// reapRequest is what becomes of jobs whose node has died; dead are the nodes
// known to have.
func reapRequest(dead ...store.Dead) store.ReapRequest {
	return store.ReapRequest{Dead: dead, SuspectAfter: suspectAfter, Delay: deathPause, MaxDelay: maxDeathPause}
}

// retain forgets the tasks that ended long ago, and their jobs. The newest of a
// video stays: it tells how the video came to be.
func (s *Service) retain(ctx context.Context) error {
	for _, state := range []store.TaskState{store.TaskSucceeded, store.TaskFailed, store.TaskCancelled} {
		for t, err := range store.All(ctx, s.Catalog.Tasks, store.Query{State: string(state)}) {
			if err != nil {
				return fmt.Errorf("list %s tasks: %w", state, err)
			}
			if time.Since(t.Finished) < s.KeepTasks {
				continue
			}
			if err := s.forget(ctx, t); err != nil {
				return fmt.Errorf("forget task %s: %w", t.ID, err)
			}
		}
	}
	return nil
}

func (s *Service) forget(ctx context.Context, t store.Task) error {
	v, err := s.Catalog.Videos.Get(ctx, t.VideoID)
	if err == nil && v.TaskID == t.ID || err != nil && !errors.Is(err, store.ErrNotFound) {
		return ignore(err, store.ErrNotFound)
	}
	if _, err := s.Queue.Cancel(ctx, t.ID); err != nil {
		return err
	}
	return ignore(s.Catalog.Tasks.Delete(ctx, t.ID), store.ErrNotFound)
}

// sweepTask moves a task; one whose video is gone it ends.
func (s *Service) sweepTask(ctx context.Context, t store.Task) error {
	_, err := s.Catalog.Videos.Get(ctx, t.VideoID)
	switch {
	case err == nil:
		return errors.Join(s.settle(ctx, t.ID), s.lookAtEncoder(ctx, t))
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	_, err = s.end(ctx, t.ID, store.TaskCancelled, nil)
	s.removeMedia(ctx, t.VideoID)
	return err
}

// repair ends for good the tasks that a dying node has ended only by half: the
// task is over, its video still waits for it.
func (s *Service) repair(ctx context.Context) error {
	for _, state := range []store.VideoState{store.VideoProcessing, store.VideoPlayable} {
		for v, err := range store.All(ctx, s.Catalog.Videos, store.Query{State: string(state)}) {
			if err != nil {
				return fmt.Errorf("list %s videos: %w", state, err)
			}
			task, err := s.Catalog.Tasks.Get(ctx, v.TaskID)
			if err != nil || !v.Ended(task) {
				continue // it waits for good reason, or for a client
			}
			if err := s.clearUp(ctx, task); err != nil {
				return err
			}
		}
	}
	return nil
}

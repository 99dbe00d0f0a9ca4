package transcode

import (
	"context"
	"errors"
	"fmt"
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
	jobs, err := s.Queue.Reap(ctx, store.Owner{})
	if err != nil {
		return err
	}
	for _, j := range jobs {
		s.Log.Warn("lease expired", "job", j.ID, "attempt", j.Attempt)
	}
	tasks, err := s.allTasks(ctx, store.TaskProcessing)
	if err != nil {
		return err
	}
	var errs []error // one task's trouble must not keep the others
	for _, t := range tasks {
		if err := s.sweepTask(ctx, t); err != nil && !errors.Is(err, errOver) {
			errs = append(errs, fmt.Errorf("task %s: %w", t.ID, err))
		}
	}
	return errors.Join(append(errs, s.admit(ctx))...)
}

// sweepTask moves a task; one whose video is gone it ends.
func (s *Service) sweepTask(ctx context.Context, t store.Task) error {
	_, err := s.Catalog.Videos.Get(ctx, t.VideoID)
	switch {
	case err == nil:
		return s.settle(ctx, t.ID)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	_, err = s.end(ctx, t.ID, store.TaskCancelled, nil)
	s.removeMedia(ctx, t.VideoID)
	return err
}

// heal ends for good the tasks that a dying node has ended only by half: the
// task is over, its video still waits for it.
func (s *Service) heal(ctx context.Context) error {
	for v, err := range store.All(ctx, s.Catalog.Videos, store.Query{State: string(store.VideoProcessing)}) {
		if err != nil {
			return fmt.Errorf("list processing videos: %w", err)
		}
		task, err := s.Catalog.Tasks.Get(ctx, v.TaskID)
		if err != nil || !task.State.Final() {
			continue // it waits for good reason, or for a client
		}
		if err := s.bury(ctx, task); err != nil {
			return err
		}
	}
	return nil
}

package transcode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"streamgate/store"
)

// admit pushes the plan jobs of the first waiting tasks (priority, then age)
// until MaxTasks tasks have jobs. It may run at any time and on any node: a
// task that was admitted already keeps its job.
func (s *Service) admit(ctx context.Context) error {
	// In this order: a task that starts in between is counted twice, not
	// missed, and the bound holds.
	waiting, err := s.allTasks(ctx, store.TaskQueued)
	if err != nil {
		return err
	}
	active, err := s.countTasks(ctx, store.TaskProcessing)
	if err != nil {
		return err
	}
	s.metrics.waiting.Store(int64(len(waiting)))
	slices.SortFunc(waiting, func(a, b store.Task) int {
		return cmp.Or(b.Priority-a.Priority, a.Created.Compare(b.Created))
	})
	room := s.MaxTasks - active
	for _, task := range waiting {
		if room <= 0 {
			break
		}
		ours, err := s.claimed(ctx, task)
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		if err := s.Queue.Push(ctx, planJob(task)); err != nil && !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("push plan job: %w", err)
		}
		room--
	}
	s.signal(store.RankFirst)
	return nil
}

// orphanAge is when a task that its video does not name is taken for left
// behind: submit's two writes are milliseconds apart.
const orphanAge = 10 * time.Second

// claimed tells whether a waiting task is its video's newest. A node that
// died in submit leaves one that is not: if the video has no other task under
// way it becomes so now, else it is removed.
func (s *Service) claimed(ctx context.Context, task store.Task) (bool, error) {
	video, err := s.Catalog.Videos.Get(ctx, task.VideoID)
	gone := errors.Is(err, store.ErrNotFound)
	switch {
	case err != nil && !gone:
		return false, fmt.Errorf("read video of task %s: %w", task.ID, err)
	case !gone && video.TaskID == task.ID:
		return true, nil
	case time.Since(task.Created) < orphanAge:
		return false, nil
	}
	if !gone {
		_, busy, err := s.unfinished(ctx, video)
		if err != nil {
			return false, err
		}
		if !busy {
			_, err = s.claim(ctx, video, task)
			return err == nil, ignore(err, errRaced, store.ErrNotFound)
		}
	}
	return false, ignore(s.Catalog.Tasks.Delete(ctx, task.ID), store.ErrNotFound)
}

// ignore returns err unless it is one of those.
func ignore(err error, those ...error) error {
	for _, e := range those {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// allTasks returns every task in a state.
func (s *Service) allTasks(ctx context.Context, state store.TaskState) ([]store.Task, error) {
	var all []store.Task
	for task, err := range store.All(ctx, s.Catalog.Tasks, store.Query{State: string(state)}) {
		if err != nil {
			return nil, fmt.Errorf("list %s tasks: %w", state, err)
		}
		all = append(all, task)
	}
	return all, nil
}

func (s *Service) countTasks(ctx context.Context, state store.TaskState) (int, error) {
	tasks, err := s.allTasks(ctx, state)
	return len(tasks), err
}

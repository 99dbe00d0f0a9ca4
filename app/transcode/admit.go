package transcode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"streamgate/store"
)

// admit lets the first waiting tasks (priority, then age) in until MaxTasks
// tasks are under way, in the whole deployment. It may run at any time.
func (s *Service) admit(ctx context.Context) error {
	defer s.signal(store.RankFirst)
	jobs, err := s.Queue.Admit(ctx, s.MaxTasks)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if err := s.admitted(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

// admitted shows in a task that its turn has come. A node that dies before
// this leaves it to start.
func (s *Service) admitted(ctx context.Context, job store.Job) error {
	_, err := s.Catalog.Tasks.Update(ctx, job.TaskID, func(t *store.Task) error {
		if t.State != store.TaskQueued {
			return errUnchanged
		}
		t.State = store.TaskProcessing
		return nil
	})
	if err = ignore(err, errUnchanged, store.ErrNotFound); err != nil {
		return fmt.Errorf("admit task %s: %w", job.TaskID, err)
	}
	return nil
}

// orphanAge is when a task that its video does not name is taken for left
// behind: submit's writes are milliseconds apart.
const orphanAge = 10 * time.Second

// enqueue gives every queued task the job that a node which died in submit
// has not pushed, and goes on with retries that one has begun. It reads all of them, and so runs now and then only.
func (s *Service) enqueue(ctx context.Context) error {
	for task, err := range store.All(ctx, s.Catalog.Tasks, store.Query{State: string(store.TaskQueued)}) {
		if err != nil {
			return fmt.Errorf("list queued tasks: %w", err)
		}
		job, err := s.Queue.Job(ctx, planJob(task).ID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			err = s.adopt(ctx, task)
		case err == nil && job.State == store.JobDone && !task.Started.IsZero():
			_, err = s.again(ctx, task)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// adopt pushes the job of a queued task that has none.
func (s *Service) adopt(ctx context.Context, task store.Task) error {
	ours, err := s.claimed(ctx, task)
	if err != nil || !ours {
		return err
	}
	if err := s.Queue.Push(ctx, waitingPlanJob(task)); err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("push plan job: %w", err)
	}
	return nil
}

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

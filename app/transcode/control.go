package transcode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// errState refuses a change that a task's state does not allow.
type errState struct{ reason, sentence string }

// isOver is the refusal to change a task that has ended.
func isOver(state store.TaskState) error {
	return errState{"task_over", fmt.Sprintf("The task is %s already.", state)}
}

func (e errState) Error() string { return e.sentence }

// change is what operators do to one task.
type change func(ctx context.Context, s *Service, id string) (store.Task, error)

// apply makes a change and answers with the task.
func (s *Service) apply(ctx context.Context, id string, do change) (*rpc.Task, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	task, err := do(ctx, s, id)
	if err != nil {
		return nil, refusal(err, id)
	}
	return s.describe(ctx, task), nil
}

// refusal is the coded error of a change that was not made.
func refusal(err error, id string) error {
	var state errState
	if errors.As(err, &state) {
		return rpc.Errorf(connect.CodeFailedPrecondition, state.reason, "%s", state.sentence)
	}
	return rpc.NotFound(err, "task", id)
}

// CancelTask implements rpc.TranscoderHandler.
func (s *Service) CancelTask(ctx context.Context, req *rpc.CancelTaskRequest) (*rpc.Task, error) {
	return s.apply(ctx, req.Id, cancelTask)
}

// PauseTask implements rpc.TranscoderHandler.
func (s *Service) PauseTask(ctx context.Context, req *rpc.PauseTaskRequest) (*rpc.Task, error) {
	return s.apply(ctx, req.Id, pauseTask)
}

// ResumeTask implements rpc.TranscoderHandler.
func (s *Service) ResumeTask(ctx context.Context, req *rpc.ResumeTaskRequest) (*rpc.Task, error) {
	return s.apply(ctx, req.Id, resumeTask)
}

// RetryTask implements rpc.TranscoderHandler.
func (s *Service) RetryTask(ctx context.Context, req *rpc.RetryTaskRequest) (*rpc.Task, error) {
	return s.apply(ctx, req.Id, retryTask)
}

// UpdateTask implements rpc.TranscoderHandler.
func (s *Service) UpdateTask(ctx context.Context, req *rpc.UpdateTaskRequest) (*rpc.Task, error) {
	if req.Priority == nil {
		return s.GetTask(ctx, &rpc.GetTaskRequest{Id: req.Id})
	}
	priority, err := rpc.Priority(req.Priority, 0)
	if err != nil {
		return nil, err
	}
	return s.apply(ctx, req.Id, reprioritise(priority))
}

func cancelTask(ctx context.Context, s *Service, id string) (store.Task, error) {
	task, err := s.end(ctx, id, store.TaskCancelled, nil)
	if errors.Is(err, errOver) {
		return task, isOver(task.State)
	}
	return task, err
}

// pauseTask takes a task's jobs out of the line. The record comes first: a
// node that dies in between leaves it to the sweep.
func pauseTask(ctx context.Context, s *Service, id string) (store.Task, error) {
	task, err := s.Catalog.Tasks.Update(ctx, id, func(t *store.Task) error {
		if t.State.Final() {
			return isOver(t.State)
		}
		t.State, t.Speed = store.TaskPaused, 0
		return nil
	})
	if err != nil {
		return task, err
	}
	if _, err := s.Queue.PauseTask(ctx, id); err != nil {
		return task, err
	}
	s.announce(ctx, events.TaskPaused, task)
	return task, s.admit(ctx) // its place is free
}

// resumeTask puts a paused task's jobs back in line. One that had been let in
// is under way again, whatever the others.
func resumeTask(ctx context.Context, s *Service, id string) (store.Task, error) {
	task, err := s.Catalog.Tasks.Update(ctx, id, func(t *store.Task) error {
		if t.State != store.TaskPaused {
			return errState{"task_not_paused", fmt.Sprintf("The task is not paused: it is %s.", t.State)}
		}
		t.State = store.TaskQueued
		if !t.Started.IsZero() {
			t.State = store.TaskProcessing
		}
		measureFrom(t)
		return nil
	})
	if err != nil {
		return task, err
	}
	if _, err := s.Queue.ResumeTask(ctx, id); err != nil {
		return task, err
	}
	s.announce(ctx, events.TaskResumed, task)
	s.signal(store.RankFirst)
	return task, s.admit(ctx)
}

// reprioritise changes a task's place in the line, from its next job on.
func reprioritise(priority int) change {
	return func(ctx context.Context, s *Service, id string) (store.Task, error) {
		task, err := s.Catalog.Tasks.Update(ctx, id, func(t *store.Task) error {
			if t.State.Final() {
				return isOver(t.State)
			}
			t.Priority = priority
			return nil
		})
		if err != nil {
			return task, err
		}
		if _, err := s.Queue.Reprioritise(ctx, id, priority); err != nil {
			return task, err
		}
		s.announce(ctx, events.TaskProgress, task)
		s.signal(store.RankOrdinary)
		return task, nil
	}
}

// retryTask makes what a failed or cancelled task has left missing. It is
// queued until its jobs are in line, or it would be found to have none and end
// again; what a node that dies on the way leaves, enqueue finishes.
func retryTask(ctx context.Context, s *Service, id string) (store.Task, error) {
	task, err := s.Catalog.Tasks.Get(ctx, id)
	if err != nil {
		return task, err
	}
	if err := s.retriable(ctx, task); err != nil {
		return task, err
	}
	task, err = s.Catalog.Tasks.Update(ctx, id, func(t *store.Task) error {
		if t.State != store.TaskFailed && t.State != store.TaskCancelled {
			return errState{"task_not_failed", fmt.Sprintf("The task is %s; only one that failed or was cancelled can be retried.", t.State)}
		}
		t.State, t.Failure, t.Finished = store.TaskQueued, nil, time.Time{}
		measureFrom(t)
		return nil
	})
	if err != nil {
		return task, err
	}
	return s.again(ctx, task)
}

// again puts the jobs in line that make what a task lacks, and moves it to
// processing.
func (s *Service) again(ctx context.Context, task store.Task) (store.Task, error) {
	if err := s.putMissingInLine(ctx, task); err != nil {
		return task, err
	}
	now, err := s.Catalog.Tasks.Update(ctx, task.ID, func(t *store.Task) error {
		if t.State != store.TaskQueued {
			return errUnchanged // paused or cancelled meanwhile
		}
		t.State = store.TaskProcessing
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return s.Catalog.Tasks.Get(ctx, task.ID)
	}
	if err != nil {
		return task, err
	}
	s.announce(ctx, events.TaskRetried, now)
	s.signal(store.RankFirst)
	return now, s.settle(ctx, task.ID) // all may be there already
}

// retriable says what stands against making what is missing.
func (s *Service) retriable(ctx context.Context, task store.Task) error {
	video, err := s.Catalog.Videos.Get(ctx, task.VideoID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errState{"video_deleted", "The task's video was deleted."}
	case err != nil:
		return err
	case video.TaskID != task.ID:
		return errState{"task_superseded", fmt.Sprintf("The video has a newer task, %s.", video.TaskID)}
	case task.Failure != nil && refused(task.Failure):
		return errState{"video_failed", "The source itself was refused, another try would end in the same way: " + task.Failure.Message}
	}
	return nil
}

// putMissingInLine shows in the video that it is being worked on, and puts the
// jobs in line that make what is missing.
func (s *Service) putMissingInLine(ctx context.Context, task store.Task) error {
	video, err := s.Catalog.Videos.Update(ctx, task.VideoID, func(v *store.Video) error {
		v.Failure, v.Updated = nil, time.Now().UTC()
		if v.State == store.VideoFailed {
			v.State = store.VideoProcessing
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.announceVideo(video)
	plan, err := s.Catalog.Plans.Plan(ctx, task.VideoID)
	if errors.Is(err, store.ErrNotFound) {
		return s.putInLine(ctx, planJob(task))
	}
	if err != nil {
		return err
	}
	if next := plan.Next != nil && plan.Next.TaskID == task.ID; !next && task.Profile != cmp.Or(plan.Profile, video.Profile) {
		return s.putInLine(ctx, planJob(task)) // it ended before it was decided what it makes
	}
	open, err := s.openJobs(ctx, task, &plan)
	if err != nil {
		return err
	}
	for _, job := range open {
		if err := s.putInLine(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

// putInLine pushes a job, or has it done once more if it is there.
func (s *Service) putInLine(ctx context.Context, job store.Job) error {
	err := s.Queue.Push(ctx, job)
	if errors.Is(err, store.ErrExists) {
		if _, err = s.Queue.Redo(ctx, job.ID); err == nil {
			_, err = s.Queue.Reprioritise(ctx, job.TaskID, job.Priority)
		}
	}
	if err != nil {
		return fmt.Errorf("put job %s in line: %w", job.ID, err)
	}
	return nil
}

// ListJobs implements rpc.TranscoderHandler.
func (s *Service) ListJobs(ctx context.Context, req *rpc.ListJobsRequest) (*rpc.ListJobsResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	if _, err := s.Catalog.Tasks.Get(ctx, req.TaskId); err != nil {
		return nil, rpc.NotFound(err, "task", req.TaskId)
	}
	jobs, err := s.Queue.Jobs(ctx, req.TaskId)
	if err != nil {
		return nil, err
	}
	out := &rpc.ListJobsResponse{}
	for _, j := range jobs {
		out.Jobs = append(out.Jobs, encodeJob(j))
	}
	return out, nil
}

// PauseQueue implements rpc.TranscoderHandler.
func (s *Service) PauseQueue(ctx context.Context, _ *rpc.PauseQueueRequest) (*rpc.QueueState, error) {
	return s.setPaused(ctx, true)
}

// ResumeQueue implements rpc.TranscoderHandler.
func (s *Service) ResumeQueue(ctx context.Context, _ *rpc.ResumeQueueRequest) (*rpc.QueueState, error) {
	return s.setPaused(ctx, false)
}

func (s *Service) setPaused(ctx context.Context, paused bool) (*rpc.QueueState, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if err := s.Queue.SetPaused(ctx, paused); err != nil {
		return nil, err
	}
	s.Log.Info("queue", "paused", paused)
	s.signal(store.RankFirst)
	return s.queueState(ctx)
}

// GetQueue implements rpc.TranscoderHandler.
func (s *Service) GetQueue(ctx context.Context, _ *rpc.GetQueueRequest) (*rpc.QueueState, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	return s.queueState(ctx)
}

func (s *Service) queueState(ctx context.Context) (*rpc.QueueState, error) {
	stats, err := s.Queue.Stats(ctx)
	if err != nil {
		return nil, err
	}
	age := func(t time.Time) *float64 {
		if t.IsZero() {
			return nil
		}
		seconds := max(0, time.Since(t).Seconds())
		return &seconds
	}
	return &rpc.QueueState{
		Paused: stats.QueuePaused, TasksWaiting: int32(stats.Backlog),
		JobsReady: int32(stats.Ready + stats.Suspect), JobsLater: int32(stats.Later), JobsRunning: int32(stats.Leased),
		JobsPaused: int32(stats.Paused), JobsDone: int32(stats.Done),
		OldestTaskSeconds: age(stats.OldestBacklog), OldestJobSeconds: age(stats.OldestReady),
	}, nil
}

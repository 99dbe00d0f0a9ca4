package transcode

import (
	"context"
	"errors"

	"streamgate/app/events"
	"streamgate/store"
)

// finish tells the queue how a job ended and moves its task.
func (s *Service) finish(ctx context.Context, job store.Job, push []store.Job, err error) {
	out, givenUp := store.Outcome{Push: push}, false
	switch {
	case errors.Is(err, errOver):
		markJob(ctx, outcomeDropped, nil)
		s.drop(ctx, job)
		return
	case s.foreign(ctx, job, err):
		markJob(ctx, outcomeDropped, nil)
		return
	case err != nil:
		s.Log.Warn("job failed", "job", job.ID, "failures", job.Failures, "err", err)
		out, givenUp = outcomeOf(job, err)
	}
	held, cancel := context.WithTimeout(ctx, s.LeaseTTL) // nobody renews the lease any more
	defer cancel()
	defer context.AfterFunc(s.left, cancel)()
	qerr := patiently(held, func() error { return s.Queue.Finish(held, job.ID, job.Lease.Token, out) })
	if qerr != nil {
		if !errors.Is(qerr, store.ErrLeaseLost) && s.left.Err() == nil {
			s.Log.Error("finish a job", "job", job.ID, "err", qerr)
		}
		markJob(ctx, outcomeLost, nil)
		s.sweepDeleted(ctx, job.VideoID)
		return // whoever holds the job now will say how it ended
	}
	s.metrics.jobEnded(job, out, givenUp)
	markJob(ctx, outcomeName(out, givenUp), out.Failure)
	s.signal(store.RankOrdinary)
	if out.Failure != nil && !out.Killed && !givenUp {
		err = s.noteRetry(ctx, job)
	} else {
		err = s.settle(ctx, job.TaskID)
	}
	if err = ignore(err, errOver, store.ErrNotFound); err != nil {
		s.Log.Error("move a task", "task", job.TaskID, "err", err) // the sweep tries again
	}
}

// noteRetry shows in the task that a job of it is tried again.
func (s *Service) noteRetry(ctx context.Context, job store.Job) error {
	task, err := s.Catalog.Tasks.Update(ctx, job.TaskID, func(t *store.Task) error {
		t.Attempt = max(t.Attempt, job.Failures+2) // this one failed, and the next is begun
		return nil
	})
	if err == nil {
		s.announce(ctx, events.TaskRetried, task)
	}
	return err
}

// drop removes the jobs of a task that is over or gone: those that a crash
// left, or that were pushed while it ended.
func (s *Service) drop(ctx context.Context, job store.Job) {
	task, err := s.Catalog.Tasks.Get(ctx, job.TaskID)
	switch {
	case err == nil && task.State == store.TaskFailed:
		err = s.Queue.Finish(ctx, job.ID, job.Lease.Token, store.Outcome{}) // the others tell why it failed
	case err == nil:
		err = s.clearUp(ctx, task)
	case errors.Is(err, store.ErrNotFound):
		_, err = s.Queue.Cancel(ctx, job.TaskID)
	}
	if err = ignore(err, store.ErrLeaseLost); err != nil {
		s.Log.Error("remove the jobs of a task that is over", "task", job.TaskID, "err", err)
	}
	s.sweepDeleted(ctx, job.VideoID)
}

// sweepDeleted removes what a worker wrote after its video was deleted.
func (s *Service) sweepDeleted(ctx context.Context, videoID string) {
	if _, err := s.Catalog.Videos.Get(ctx, videoID); errors.Is(err, store.ErrNotFound) {
		s.removeMedia(ctx, videoID)
	}
}

// removeMedia removes a video's objects and plan.
func (s *Service) removeMedia(ctx context.Context, videoID string) {
	err := errors.Join(s.Objects.Delete(ctx, store.VideoPrefix(videoID)), s.Catalog.Plans.DeletePlan(ctx, videoID))
	if err != nil {
		s.Log.Error("remove media", "video", videoID, "err", err)
	}
}

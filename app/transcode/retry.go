package transcode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"streamgate/app/events"
	"streamgate/app/media"
	"streamgate/store"
)

// maxAttempts is how often a job is tried before its task fails.
const maxAttempts = 4

// The codes of failures that do not come from the source itself.
const (
	codeFailed    = "transcode_failed"
	codeTimeout   = "transcode_timeout"
	codeDiskFull  = "disk_full"
	codeCancelled = "cancelled"
)

var (
	errJobTimeout = errors.New("the job took longer than transcoder.task_timeout")
	errGaveUp     = errors.New("the job ended without a word too often")
)

// retryDelay is the pause before the next attempt: 1, 4, 16 s.
func retryDelay(attempt int) time.Duration {
	return time.Second << (2 * (min(attempt, maxAttempts) - 1))
}

// failureOf puts an error into words for users.
func failureOf(err error) *store.Failure {
	var refusal media.Refusal
	switch {
	case errors.As(err, &refusal):
		return &refusal.Failure
	case errors.Is(store.Full(err), store.ErrFull):
		return &store.Failure{Code: codeDiskFull, Message: "The node's disk is full; free some space and start the task again."}
	case errors.Is(err, errJobTimeout):
		return &store.Failure{Code: codeTimeout, Message: "A part of the transcode took longer than transcoder.task_timeout allows."}
	default:
		return &store.Failure{Code: codeFailed, Message: fmt.Sprintf("Encoding failed %d times; the node's log says why.", maxAttempts)}
	}
}

// permanent tells whether another attempt would end the same way.
func permanent(job store.Job, err error) bool {
	var refusal media.Refusal
	return errors.As(err, &refusal) || job.Attempt >= maxAttempts
}

// refused tells whether a failure is the source's own fault.
func refused(f *store.Failure) bool {
	switch f.Code {
	case codeFailed, codeTimeout, codeDiskFull, codeCancelled:
		return false
	}
	return true
}

// finish tells the queue how a job ended and moves its task.
func (s *Service) finish(ctx context.Context, job store.Job, push []store.Job, err error) {
	out := store.Outcome{Push: push}
	giveUp := false
	switch {
	case err == nil:
	case errors.Is(err, errOver):
		s.drop(ctx, job)
		return
	case errors.Is(err, errDrained):
		out.RetryAt = time.Now()
	default:
		s.Log.Warn("job failed", "job", job.ID, "attempt", job.Attempt, "err", err)
		out.Failure = failureOf(err)
		giveUp = permanent(job, err)
		if !giveUp {
			out.RetryAt = time.Now().Add(retryDelay(job.Attempt))
		}
	}
	if qerr := s.Queue.Finish(ctx, job.ID, job.Lease.Token, out); qerr != nil {
		if !errors.Is(qerr, store.ErrLeaseLost) {
			s.Log.Error("finish a job", "job", job.ID, "err", qerr)
		}
		s.sweepDeleted(ctx, job.VideoID)
		return // whoever holds the job now will say how it ended
	}
	s.signal(store.RankOrdinary)
	s.afterwards(ctx, job, out, giveUp)
}

// afterwards does to the task what the end of one of its jobs means.
func (s *Service) afterwards(ctx context.Context, job store.Job, out store.Outcome, giveUp bool) {
	var err error
	switch {
	case giveUp && job.Kind == store.JobStills:
		err = s.settle(ctx, job.TaskID) // a video without a poster is still a video
	case giveUp:
		_, err = s.end(ctx, job.TaskID, store.TaskFailed, out.Failure)
	case out.Failure != nil:
		err = s.noteRetry(ctx, job)
	default:
		err = s.settle(ctx, job.TaskID)
	}
	if err != nil && !errors.Is(err, errOver) && !errors.Is(err, store.ErrNotFound) {
		s.Log.Error("move a task", "task", job.TaskID, "err", err) // the sweep tries again
	}
}

// noteRetry shows in the task that a job of it is tried again.
func (s *Service) noteRetry(ctx context.Context, job store.Job) error {
	task, err := s.Catalog.Tasks.Update(ctx, job.TaskID, func(t *store.Task) error {
		t.Attempt = max(t.Attempt, job.Attempt+1)
		return nil
	})
	if err == nil {
		s.announce(events.TaskRetried, task)
	}
	return err
}

// drop removes the jobs of a task that is over or gone: those that a crash
// left, or that were pushed while it ended.
func (s *Service) drop(ctx context.Context, job store.Job) {
	task, err := s.Catalog.Tasks.Get(ctx, job.TaskID)
	switch {
	case err == nil:
		err = s.bury(ctx, task)
	case errors.Is(err, store.ErrNotFound):
		_, err = s.Queue.Cancel(ctx, job.TaskID)
	}
	if err != nil {
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

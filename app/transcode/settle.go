package transcode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

// errOver: the task has ended already.
var errOver = errors.New("the task is over")

// start moves a task to processing when its plan job is taken up.
func (s *Service) start(ctx context.Context, taskID string) (store.Task, error) {
	first := false
	task, err := s.Catalog.Tasks.Update(ctx, taskID, func(t *store.Task) error {
		switch {
		case t.State.Final():
			return errOver
		case t.State == store.TaskPaused:
			return store.ErrLeaseLost // or it will be, in a moment
		}
		first = t.Started.IsZero()
		t.State, t.Attempt = store.TaskProcessing, max(t.Attempt, 1)
		if first {
			t.Started = time.Now().UTC()
			measureFrom(t)
		}
		return nil
	})
	if err == nil && first {
		s.announce(ctx, events.TaskStarted, task)
	}
	return task, err
}

// measureFrom makes speed count from now on.
func measureFrom(t *store.Task) {
	t.Measured, t.MeasuredFrom, t.Speed = time.Now().UTC(), t.Progress, 0
}

// settle moves a task and its video to where the store says they are. It may
// run at any time, on any node, twice at once.
func (s *Service) settle(ctx context.Context, taskID string) error {
	task, err := s.Catalog.Tasks.Get(ctx, taskID)
	if err != nil {
		return err
	}
	plan, err := s.Catalog.Plans.Plan(ctx, task.VideoID)
	if errors.Is(err, store.ErrNotFound) {
		return s.settleEnd(ctx, task, 1) // not planned yet, or never
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	cells, err := s.Catalog.Plans.Cells(ctx, task.VideoID)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	made := plan.MadeBy(task.ID)
	missing := cells.MissingOf(&plan, made)
	if missing == 0 && plan.Next != nil && plan.Next.TaskID == task.ID && !task.State.Final() {
		if plan, err = s.show(ctx, task.VideoID, task.ID); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	// Also when the task has just ended: its last cells count.
	if err := s.settleVideo(ctx, task.VideoID, &plan, stateOf(&plan, cells)); err != nil || task.State.Final() {
		return err
	}
	switch decided, failed, err := s.decided(ctx, task); {
	case err != nil || !decided:
		return err
	case failed:
		return s.settleEnd(ctx, task, 1)
	}
	if err := s.settleProgress(ctx, task, &plan, progressOf(&plan, made, missing)); err != nil {
		return err
	}
	return s.settleEnd(ctx, task, missing)
}

// progressOf is how much of a plan's renditions is there, 0 to 100.
func progressOf(p *store.Plan, renditions []store.Rendition, missing int) float64 {
	total := len(renditions) * p.Timeline.Segments()
	return 100 * float64(total-missing) / float64(max(1, total))
}

// stateOf tells a video's state from its cells: playable as soon as the first
// segment is.
func stateOf(p *store.Plan, cells store.Cells) store.VideoState {
	switch {
	case cells.Complete(p):
		return store.VideoReady
	case cells.Playable(p, 0):
		return store.VideoPlayable
	default:
		return store.VideoProcessing
	}
}

var errUnchanged = errors.New("unchanged")

// settleVideo moves a video's state forward, and shows the plan's revision.
// That it has nothing to show yet is what submit writes; here it could only
// undo what endVideo wrote.
func (s *Service) settleVideo(ctx context.Context, id string, p *store.Plan, state store.VideoState) error {
	moves := false
	video, err := s.Catalog.Videos.Update(ctx, id, func(v *store.Video) error {
		moves = v.State != state && v.State != store.VideoReady && state != store.VideoProcessing
		switch news := showRevision(v, p); {
		case !news && !moves:
			return errUnchanged
		case !moves:
			v.Updated = time.Now().UTC()
			return nil
		}
		if state == store.VideoReady {
			v.Ready = time.Now().UTC()
		}
		v.State, v.Updated = state, time.Now().UTC()
		if state == store.VideoReady { // what a task has left missing came all the same
			v.Failure = nil
		}
		return nil
	})
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case err != nil:
		return fmt.Errorf("settle video %s: %w", id, err)
	}
	s.announceVideo(video)
	if moves {
		s.announceState(video, store.Task{})
	}
	return nil
}

// settleProgress writes a task's progress and speed.
func (s *Service) settleProgress(ctx context.Context, task store.Task, p *store.Plan, progress float64) error {
	task, err := s.Catalog.Tasks.Update(ctx, task.ID, func(t *store.Task) error {
		if t.State.Final() {
			return errOver
		}
		t.Progress = max(t.Progress, progress) // a slow reader comes late
		if took := time.Since(t.Measured).Seconds(); took > 0 && !t.Measured.IsZero() && t.State == store.TaskProcessing {
			t.Speed = (t.Progress - t.MeasuredFrom) / 100 * p.Timeline.Seconds(p.Timeline.Ticks()) / took
		}
		return nil
	})
	if err == nil {
		s.announce(ctx, events.TaskProgress, task)
	}
	return err
}

// settleEnd ends a task whose jobs are all done. One that is still queued has
// its plan job to come, whatever demanded jobs it has had.
func (s *Service) settleEnd(ctx context.Context, task store.Task, missing int) error {
	if task.State != store.TaskProcessing {
		return nil
	}
	open, err := s.Queue.Open(ctx, task.ID)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	if open > 0 {
		return nil
	}
	if missing > 0 { // the last job may have ended since they were counted
		if missing, err = s.missing(ctx, task); err != nil {
			return err
		}
	}
	if missing > 0 {
		failure, ferr := s.whichFailed(ctx, task)
		if ferr != nil {
			return ferr
		}
		_, err = s.end(ctx, task.ID, store.TaskFailed, failure)
	} else {
		_, err = s.end(ctx, task.ID, store.TaskSucceeded, nil)
	}
	return ignore(err, errOver) // another worker saw it first
}

// missing counts the cells that a task has yet to make; if that was never
// decided, one at least.
func (s *Service) missing(ctx context.Context, task store.Task) (int, error) {
	if _, failed, err := s.decided(ctx, task); failed || err != nil {
		return 1, err
	}
	plan, err := s.Catalog.Plans.Plan(ctx, task.VideoID)
	if errors.Is(err, store.ErrNotFound) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("settle: %w", err)
	}
	cells, err := s.Catalog.Plans.Cells(ctx, task.VideoID)
	if err != nil {
		return 0, fmt.Errorf("settle: %w", err)
	}
	return cells.MissingOf(&plan, plan.MadeBy(task.ID)), nil
}

// end moves a task to a final state, removes its jobs and lets the next one
// in; errOver if it has ended already.
func (s *Service) end(ctx context.Context, taskID string, state store.TaskState, failure *store.Failure) (store.Task, error) {
	task, err := s.Catalog.Tasks.Update(ctx, taskID, func(t *store.Task) error {
		if t.State.Final() {
			return errOver
		}
		t.State, t.Failure, t.Finished = state, failure, time.Now().UTC()
		if state == store.TaskSucceeded {
			t.Progress = 100
		}
		t.NeedBytes = 0
		return nil
	})
	if err != nil {
		if errors.Is(err, errOver) {
			task, _ = s.Catalog.Tasks.Get(ctx, taskID) // for the caller's message
		}
		return task, err
	}
	s.metrics.ended(task)
	err = s.clearUp(ctx, task)
	s.announceEnd(ctx, task)
	return task, errors.Join(err, s.admit(ctx))
}

// clearUp removes the jobs of a task that is over and shows its end in the
// video. Those of a failed one stay: they tell why. Doing it again is harmless.
func (s *Service) clearUp(ctx context.Context, task store.Task) error {
	var err error
	if task.State != store.TaskFailed {
		if _, err = s.Queue.Cancel(ctx, task.ID); err != nil {
			err = fmt.Errorf("remove jobs: %w", err)
		}
	}
	if task.State != store.TaskSucceeded {
		s.endVideo(ctx, task)
	}
	return err
}

// endVideo shows in the video that its task did not succeed. A video of which
// nothing can be played has failed; the media of a refused source is removed,
// and first, so that whoever dies between leaves a video that repair looks at. A
// video that has a newer task is that one's.
func (s *Service) endVideo(ctx context.Context, task store.Task) {
	if seen, err := s.Catalog.Videos.Get(ctx, task.VideoID); err == nil &&
		seen.Ended(task) && seen.DurationSeconds == 0 && refused(seen.Failure) {
		s.removeMedia(ctx, seen.ID)
	}
	video, err := s.Catalog.Videos.Update(ctx, task.VideoID, func(v *store.Video) error {
		if !v.Ended(task) {
			return errUnchanged
		}
		v.Updated = time.Now().UTC()
		return nil
	})
	if err != nil {
		if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, errUnchanged) {
			s.Log.Error("fail a video", "video", task.VideoID, "err", err)
		}
		return
	}
	s.announceVideo(video)
	if video.State == store.VideoFailed {
		s.announceState(video, task)
	}
}

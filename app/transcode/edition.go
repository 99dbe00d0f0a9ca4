package transcode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"streamgate/app/media"
	"streamgate/store"
)

// lateWriters is how long a worker may go on with a job of a task that is over:
// the cells of what was dropped are removed only then.
const lateWriters = time.Minute

// codeNoProfile fails a task whose profile was taken out of the configuration.
const codeNoProfile = "unknown_profile"

// edition decides, once, what a task makes of a video that is planned already:
// what is shown, if that is not whole yet or the profile comes to the same, else
// the next edition. The edition of a task before it that was not finished is
// dropped but for what this one uses.
func (s *Service) edition(ctx context.Context, task store.Task, plan store.Plan, tools media.Tools) (store.Plan, error) {
	if plan.Next != nil && plan.Next.TaskID == task.ID {
		return s.goOn(ctx, task, plan, tools)
	}
	video, err := s.Catalog.Videos.Get(ctx, task.VideoID)
	if err != nil {
		return plan, fmt.Errorf("read video: %w", err)
	}
	cells, err := s.Catalog.Plans.Cells(ctx, task.VideoID)
	if err != nil {
		return plan, fmt.Errorf("read cells: %w", err)
	}
	next := store.Edition{TaskID: task.ID, Profile: task.Profile, Renditions: plan.Renditions}
	goesOn := task.Profile == cmp.Or(plan.Profile, video.Profile) && !cells.Complete(&plan)
	switch {
	case goesOn && plan.Next == nil:
		return s.goOn(ctx, task, plan, tools)
	case !goesOn:
		if next.Renditions, err = s.planEdition(ctx, task, &plan, cells, tools); err != nil {
			return plan, err
		}
	}
	now := time.Now().UTC()
	changed, err := s.Catalog.Plans.UpdatePlan(ctx, task.VideoID, func(p *store.Plan) error {
		if p.Revision != plan.Revision {
			return errRaced // something was removed on which this was planned
		}
		p.Begin(next, now.Add(lateWriters))
		if !cells.Playable(p, 0) {
			p.Show(now.Add(s.KeepRetired)) // nobody could watch what is shown
		}
		return nil
	})
	if err != nil {
		return plan, fmt.Errorf("store the edition: %w", err)
	}
	if goesOn {
		return s.goOn(ctx, task, changed, tools)
	}
	return changed, nil
}

// planEdition plans the task's profile on the video's timeline.
func (s *Service) planEdition(ctx context.Context, task store.Task, plan *store.Plan, cells store.Cells, tools media.Tools) (_ []store.Rendition, err error) {
	ctx, span := s.Tracer.Start(ctx, "edition")
	defer func() { endSpan(ctx, span, err) }()
	profile, ok := s.Profiles[task.Profile]
	if !ok {
		return nil, media.Refusal{Failure: store.Failure{Code: codeNoProfile, Message: fmt.Sprintf(
			"There is no profile %q any more: put it back into the configuration and retry the task, or make one with another profile.", task.Profile)}}
	}
	in, source, release, err := s.editionInput(ctx, plan)
	if err != nil {
		return nil, err
	}
	defer release()
	in.Profile = profile
	in.Foreign = without(plan, plan.Existing(), cells, func(encoder string) bool { return encoder == s.encoder() })
	renditions, err := tools.Edition(ctx, in)
	for i := range renditions {
		if _, before := plan.Rendition(renditions[i].Name); !before {
			s.encodedHere(renditions[i : i+1])
		}
	}
	return renditions, source.Read(err)
}

// editionInput is what more renditions of a plan are made of; release is called at
// the end.
func (s *Service) editionInput(ctx context.Context, plan *store.Plan) (in media.EditionInput, source store.Input, release func(), err error) {
	frames, err := s.frames(ctx, plan)
	if err != nil {
		return in, source, nil, err
	}
	source, release, err = s.Objects.Input(ctx, plan.Source.Object)
	if err != nil {
		return in, source, nil, fmt.Errorf("open source: %w", err)
	}
	return media.EditionInput{Source: source.Location(), Plan: plan, Frames: frames}, source, release, nil
}

// decided tells whether it is known which renditions a task makes: its plan job
// does not wait or run. failed: it will not be known.
func (s *Service) decided(ctx context.Context, task store.Task) (done, failed bool, err error) {
	job, err := s.Queue.Job(ctx, planJob(task).ID)
	if errors.Is(err, store.ErrNotFound) {
		return true, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("read plan job: %w", err)
	}
	done = job.State == store.JobDone
	return done, done && job.Failure != nil, nil
}

// show makes an edition the one that is shown, once all its cells are there.
// Only one of those who see that does it.
func (s *Service) show(ctx context.Context, videoID, taskID string) (store.Plan, error) {
	changed, err := s.Catalog.Plans.UpdatePlan(ctx, videoID, func(p *store.Plan) error {
		if p.Next == nil || p.Next.TaskID != taskID {
			return errUnchanged
		}
		p.Show(time.Now().UTC().Add(s.KeepRetired))
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return s.Catalog.Plans.Plan(ctx, videoID)
	}
	return changed, err
}

// removeRetired removes the cells of renditions that nobody can be playing any
// more. Each step can be done again, so that it may be left anywhere: they are
// marked, which keeps a task from taking them up again, then the objects go, the
// cells' marks, and at last the record.
func (s *Service) removeRetired(ctx context.Context) error {
	due, err := s.Catalog.Plans.RemovalsDue(ctx, time.Now())
	if err != nil {
		return fmt.Errorf("look for retired renditions: %w", err)
	}
	var errs []error
	for _, id := range due {
		if err := s.removeRetiredOf(ctx, id); ignore(err, store.ErrNotFound) != nil {
			errs = append(errs, fmt.Errorf("remove retired renditions of video %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) removeRetiredOf(ctx context.Context, videoID string) error {
	var names []string
	if _, err := s.Catalog.Plans.UpdatePlan(ctx, videoID, func(p *store.Plan) error {
		names = p.RemoveRetired(time.Now())
		return nil
	}); err != nil {
		return err
	}
	for _, name := range names {
		for _, prefix := range []string{store.CellsPrefix(videoID, name), store.IFramesKey(videoID, name)} {
			if err := s.Objects.Delete(ctx, prefix); err != nil {
				return err
			}
		}
	}
	if err := s.Catalog.Plans.RemoveCells(ctx, videoID, names...); err != nil {
		return err
	}
	plan, err := s.Catalog.Plans.UpdatePlan(ctx, videoID, func(p *store.Plan) error {
		p.Removed(names)
		return nil
	})
	if err != nil {
		return err
	}
	s.Log.Info("retired renditions removed", "video", videoID, "renditions", names)
	return s.showPlan(ctx, videoID, &plan)
}

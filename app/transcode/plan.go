package transcode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"streamgate/app/media"
	"streamgate/store"
)

// plan decides everything about a video and returns the jobs that carry it
// out. A video that is planned already keeps its timeline; what the task makes
// of it, edition decides.
func (s *Service) plan(ctx context.Context, run *running) ([]store.Job, error) {
	job := run.Job
	task, err := s.start(ctx, job.TaskID)
	if err != nil {
		return nil, fmt.Errorf("start task: %w", err)
	}
	tools := s.Tools.Watched(&run.watch)
	var first []media.Cell
	plan, err := s.Catalog.Plans.Plan(ctx, job.VideoID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		plan, first, err = s.newPlan(ctx, task, tools)
	case err == nil:
		plan, err = s.edition(ctx, task, plan, tools)
	}
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if err := s.showPlan(ctx, job.VideoID, &plan); err != nil {
		return nil, err
	}
	if err := s.reserve(ctx, task, &plan); err != nil {
		return nil, err
	}
	for _, c := range first {
		if err := s.commit(ctx, job, c.Rendition, c.Segment, c.Data); err != nil {
			return nil, fmt.Errorf("keep the first cells: %w", err)
		}
	}
	return s.openJobs(ctx, task, &plan)
}

// openJobs are the jobs that make what a task's renditions lack.
func (s *Service) openJobs(ctx context.Context, task store.Task, plan *store.Plan) (open []store.Job, err error) {
	cells, err := s.Catalog.Plans.Cells(ctx, task.VideoID)
	if err != nil {
		return nil, fmt.Errorf("read cells: %w", err)
	}
	video, err := s.Catalog.Videos.Get(ctx, task.VideoID)
	if err != nil {
		return nil, fmt.Errorf("read video: %w", err)
	}
	for _, job := range planJobs(task, plan) {
		todo := missing(job, plan, cells)
		lacks := len(todo) > 0
		job.Encoder = encoderOf(plan, todo)
		if job.Kind == store.JobStills {
			lacks = !video.Storyboard
		}
		if lacks {
			open = append(open, job)
		}
	}
	return open, nil
}

// newPlan plans the source and stores, in this order, the normalised copy,
// the frame index and the plan. first are the cells that came with it.
func (s *Service) newPlan(ctx context.Context, task store.Task, tools media.Tools) (plan store.Plan, first []media.Cell, err error) {
	ctx, span := s.Tracer.Start(ctx, "plan")
	defer func() {
		span.SetAttributes(
			attribute.Int("streamgate.segments", plan.Timeline.Segments()),
			attribute.Int("streamgate.plan.renditions", len(plan.Renditions)))
		endSpan(ctx, span, err)
	}()
	source, release, err := s.Objects.Input(ctx, store.SourceKey(task.VideoID))
	if err != nil {
		return store.Plan{}, nil, err
	}
	defer release()
	dir, err := os.MkdirTemp(s.Scratch, "plan-")
	if err != nil {
		return store.Plan{}, nil, err
	}
	defer os.RemoveAll(dir)
	planned, err := tools.Plan(ctx, media.PlanInput{
		VideoID: task.VideoID, Source: source.Location(), Dir: dir, Profile: s.Profiles[task.Profile],
	})
	if err = source.Read(err); err != nil {
		return store.Plan{}, nil, err
	}
	if planned.Normal != "" {
		if _, err := s.Objects.Adopt(ctx, store.NormalKey(task.VideoID), planned.Normal); err != nil {
			return store.Plan{}, nil, err
		}
	}
	if key := planned.Plan.Source.FrameIndex; key != "" {
		if _, err := store.PutBytes(ctx, s.Objects, key, planned.Frames.Marshal(), store.Replace); err != nil {
			return store.Plan{}, nil, err
		}
	}
	planned.Plan.Profile = task.Profile
	s.encodedHere(planned.Plan.Renditions)
	err = s.Catalog.Plans.SavePlan(ctx, task.VideoID, planned.Plan)
	if errors.Is(err, store.ErrExists) {
		plan, err = s.Catalog.Plans.Plan(ctx, task.VideoID)
		return plan, nil, err
	}
	return planned.Plan, planned.Cells, err
}

// showPlan copies what users see of a plan into the video's record.
func (s *Service) showPlan(ctx context.Context, videoID string, p *store.Plan) error {
	video, err := s.Catalog.Videos.Update(ctx, videoID, func(v *store.Video) error {
		v.DurationSeconds = p.Timeline.Seconds(p.Timeline.Ticks())
		v.Width, v.Height, v.Warnings, v.Updated = p.Source.Width, p.Source.Height, p.Source.Warnings, time.Now().UTC()
		showRevision(v, p)
		return nil
	})
	if err != nil {
		return fmt.Errorf("show plan: %w", err)
	}
	s.announceVideo(video)
	return nil
}

// showRevision shows in a video's record what its plan has come to, and tells
// whether that is news: who caches the plan reads it anew then.
func showRevision(v *store.Video, p *store.Plan) bool {
	if v.PlanRevision >= p.Revision {
		return false
	}
	v.PlanRevision, v.Profile = p.Revision, cmp.Or(p.Profile, v.Profile)
	return true
}

package transcode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Cells of a rendition can only be shown with the header that its plan has, so only
// the encoder that wrote it can make them. Jobs are leased by nodes that have it
// (store.Job.Encoder). Where none has it any more, because ffmpeg was upgraded or
// the node is gone, the task waits for it for a while and is planned again: what is
// not whole gets another name and the header of an encoder that is there. What was
// made goes on playing, and what is whole, copied, or would have the very same
// header stays.

// codeEncoder is what a task shows while it waits for an encoder.
const codeEncoder = "encoder_missing"

// encoder is this node's; "" until Run has asked for it.
func (s *Service) encoder() string {
	if name := s.own.Load(); name != nil {
		return *name
	}
	return ""
}

// hasEncoder tells whether a node that is there can make cells of an encoder.
func (s *Service) hasEncoder(name string) bool {
	return name == "" || name == s.encoder() || s.Encoders != nil && slices.Contains(s.Encoders(), name)
}

// encodedHere notes whose work encoded renditions are.
func (s *Service) encodedHere(renditions []store.Rendition) {
	for i := range renditions {
		if !renditions[i].Copy {
			renditions[i].Encoder = s.encoder()
		}
	}
}

// encoderOf is the encoder that a job's missing cells need: one, since a task begins
// only renditions of one encoder.
func encoderOf(p *store.Plan, todo []batch) string {
	for _, b := range todo {
		for _, name := range b.renditions {
			if r, ok := p.Rendition(name); ok && r.Encoder != "" {
				return r.Encoder
			}
		}
	}
	return ""
}

// without are those of the renditions that lack cells, and whose encoder cannot
// make them.
func without(p *store.Plan, renditions []store.Rendition, cells store.Cells, can func(encoder string) bool) (names []string) {
	for _, r := range renditions {
		if !r.Copy && cells[r.Name].Count < p.Timeline.Segments() && !can(r.Encoder) {
			names = append(names, r.Name)
		}
	}
	return names
}

// ours are the encoders whose renditions this node goes on with when it plans: its
// own, and those of others that are there. One without a name may be anybody's.
func (s *Service) ours(encoder string) bool {
	return encoder != "" && s.hasEncoder(encoder) || encoder == "" && s.encoder() == ""
}

// goOn is the plan of a task that goes on with renditions of before. Those that
// nobody can go on with are this node's from now on: under their name if it writes
// the same header, else under another.
func (s *Service) goOn(ctx context.Context, task store.Task, plan store.Plan, tools media.Tools) (store.Plan, error) {
	cells, err := s.Catalog.Plans.Cells(ctx, task.VideoID)
	if err != nil {
		return plan, fmt.Errorf("read cells: %w", err)
	}
	made := plan.MadeBy(task.ID)
	names := without(&plan, made, cells, s.ours)
	if len(names) == 0 {
		return plan, nil
	}
	in, source, release, err := s.editionInput(ctx, &plan)
	if err != nil {
		return plan, err
	}
	defer release()
	remade, err := tools.Remade(ctx, in, names)
	if err = source.Read(err); err != nil {
		return plan, err
	}
	s.encodedHere(remade)
	next := slices.Clone(made)
	var kept, replaced []string
	for _, r := range remade {
		i := slices.IndexFunc(next, func(o store.Rendition) bool { return o.Name == r.Name })
		if bytes.Equal(next[i].Init, r.Init) {
			kept = append(kept, r.Name)
			continue
		}
		replaced = append(replaced, r.Name)
		r.Name = plan.FreshName(r.Name, next)
		next[i] = r
	}
	now := time.Now().UTC()
	changed, err := s.Catalog.Plans.UpdatePlan(ctx, task.VideoID, func(p *store.Plan) error {
		if p.Revision != plan.Revision {
			return errRaced
		}
		shown := slices.ContainsFunc(p.Renditions, func(r store.Rendition) bool { return slices.Contains(replaced, r.Name) })
		if len(replaced) > 0 {
			p.Begin(store.Edition{TaskID: task.ID, Profile: task.Profile, Renditions: next}, now.Add(lateWriters))
		}
		if shown { // it would never become whole
			p.Show(now.Add(s.KeepRetired))
		}
		p.Encoded(s.encoder(), kept...)
		return nil
	})
	if err != nil {
		return plan, fmt.Errorf("store the renditions of another encoder: %w", err)
	}
	s.Log.Info("renditions go on with another encoder", "video", task.VideoID, "encoder", s.encoder(), "same", kept, "replaced", replaced)
	return changed, nil
}

// lookAtEncoder has a task planned again that needs an encoder which no node has
// had for EncoderPatience. Until then the task says what it waits for.
func (s *Service) lookAtEncoder(ctx context.Context, task store.Task) error {
	missing, err := s.missingEncoder(ctx, task)
	if err != nil {
		return err
	}
	if missing == "" {
		delete(s.strandedSince, task.ID)
		return s.sayWaits(ctx, task, nil)
	}
	since, known := s.strandedSince[task.ID]
	if !known {
		since = time.Now()
		s.strandedSince[task.ID] = since
	}
	if time.Since(since) >= s.EncoderPatience {
		delete(s.strandedSince, task.ID)
		s.Log.Warn("no node has the encoder that a task was planned with; it is planned again", "task", task.ID, "encoder", missing, "here", s.encoder())
		return s.planAgain(ctx, task.ID)
	}
	if !known {
		s.Log.Warn("no node has the encoder that a task was planned with; it waits", "task", task.ID, "encoder", missing, "for", s.EncoderPatience)
	}
	return s.sayWaits(ctx, task, &store.Failure{Code: codeEncoder, Message: fmt.Sprintf(
		"No node has the ffmpeg that this task was planned with (encoder %s). It waits %v for one, then what is missing is made by another ffmpeg.", missing, s.EncoderPatience)})
}

// missingEncoder is the encoder that a task under way needs and no node has; "" if
// there is none.
func (s *Service) missingEncoder(ctx context.Context, task store.Task) (string, error) {
	if decided, _, err := s.decided(ctx, task); err != nil || !decided {
		return "", err // a plan job that is to come sees to it
	}
	plan, err := s.Catalog.Plans.Plan(ctx, task.VideoID)
	if err != nil {
		return "", ignore(err, store.ErrNotFound)
	}
	cells, err := s.Catalog.Plans.Cells(ctx, task.VideoID)
	if err != nil {
		return "", fmt.Errorf("read cells: %w", err)
	}
	for _, name := range without(&plan, plan.MadeBy(task.ID), cells, s.hasEncoder) {
		r, _ := plan.Rendition(name)
		return r.Encoder, nil
	}
	return "", nil
}

// sayWaits shows in a task under way what it waits for; nil for nothing.
func (s *Service) sayWaits(ctx context.Context, task store.Task, why *store.Failure) error {
	waits := task.Failure != nil && task.Failure.Code == codeEncoder
	if waits == (why != nil) {
		return nil
	}
	_, err := s.Catalog.Tasks.Update(ctx, task.ID, func(t *store.Task) error {
		if t.State.Final() {
			return errOver
		}
		t.Failure = why
		return nil
	})
	return ignore(err, errOver, store.ErrNotFound)
}

// planAgain has a task under way planned again: its jobs go, and the first comes
// back. It is queued meanwhile, so that it is not found to have no jobs and ends;
// what a node that dies on the way leaves, enqueue finishes.
func (s *Service) planAgain(ctx context.Context, taskID string) error {
	task, err := s.Catalog.Tasks.Update(ctx, taskID, func(t *store.Task) error {
		if t.State != store.TaskProcessing {
			return errUnchanged // paused, over, or another node was faster
		}
		t.State, t.Failure = store.TaskQueued, nil
		measureFrom(t)
		return nil
	})
	if err != nil {
		return ignore(err, errUnchanged, store.ErrNotFound)
	}
	if _, err := s.Queue.Cancel(ctx, task.ID); err != nil {
		return fmt.Errorf("remove the jobs of another encoder: %w", err)
	}
	if err := s.Queue.Push(ctx, waitingPlanJob(task)); err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("push plan job: %w", err)
	}
	return s.admit(ctx)
}

// foreign has a task planned again whose job found that the plan is of another
// encoder, which nobody had noted: it was made before encoders had names. It tells
// whether that is so.
func (s *Service) foreign(ctx context.Context, job store.Job, err error) bool {
	if !errors.Is(err, media.ErrForeign) || job.Encoder != "" || s.encoder() == "" {
		return false
	}
	plan, perr := s.Catalog.Plans.Plan(ctx, job.VideoID)
	if perr != nil || job.Rendition != "" && !slices.Contains(family(plan.MadeBy(job.TaskID), job.Kind), job.Rendition) {
		return false
	}
	s.Log.Warn("another ffmpeg has planned a task; it is planned again", "job", job.ID, "encoder", s.encoder(), "err", err)
	if perr = s.planAgain(ctx, job.TaskID); perr != nil {
		s.Log.Error("plan a task again", "task", job.TaskID, "err", perr)
		return false
	}
	return true
}

// encoderRetry is when a player may ask again for a part whose encoder is missed.
const encoderRetry = 30 * time.Second

// encoderGone is the honest answer for a part that no node can make.
func encoderGone(task store.Task, p *store.Plan, job store.Job) error {
	if !slices.Contains(family(p.MadeBy(task.ID), job.Kind), job.Rendition) {
		return notComing("no node has the ffmpeg any more that this version of the video was made with; load the video again")
	}
	return rpc.RetryErrorf(encoderRetry, connect.CodeUnavailable, codeEncoder,
		"This part is not made yet: no node has the ffmpeg that the video was planned with.")
}

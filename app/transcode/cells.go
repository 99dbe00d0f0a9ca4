package transcode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"streamgate/app/events"
	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/store"
)

// makeCells makes those cells of a copy, chunk or audio job that are missing.
func (s *Service) makeCells(ctx context.Context, run *running) error {
	job := run.Job
	plan, err := s.Catalog.Plans.Plan(ctx, job.VideoID)
	if err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	todo, err := s.todo(ctx, job, &plan)
	if err != nil || len(todo) == 0 {
		return err
	}
	frames, err := s.frames(ctx, &plan)
	if err != nil {
		return err
	}
	source, release, err := s.Objects.Input(ctx, plan.Source.Object)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer release()

	var made atomic.Int64
	total := float64(cellsIn(todo))
	emit := func(ctx context.Context, rendition string, segment int, cell []byte) error {
		if err := source.Read(nil); err != nil { // what ffmpeg made up for is in the cell
			return err
		}
		if err := s.commit(ctx, job, rendition, segment, cell); err != nil {
			return err
		}
		n := made.Add(1)
		run.progress.set(float64(n) / total)
		if n == 1 {
			s.noteProgress(ctx, run)
		}
		return nil
	}
	for _, b := range todo {
		err := s.encode(ctx, s.Tools.Watched(&run.watch), media.EncodeInput{
			Source: source.Location(), Plan: &plan, Frames: frames, From: b.from, To: b.to, Renditions: b.renditions,
			Background: job.Rank == store.RankOrdinary, Threads: s.threads(job),
		}, emit)
		if err = source.Read(err); err != nil {
			return fmt.Errorf("encode %s [%d,%d): %w", job.Kind, b.from, b.to, err)
		}
	}
	if job.Kind == store.JobChunk && job.Rendition == "" {
		s.metrics.realTime.Observe(secondsIn(todo, &plan.Timeline) / time.Since(run.began).Seconds())
	}
	return nil
}

// secondsIn is how much of the timeline batches make.
func secondsIn(batches []batch, t *store.Timeline) (seconds float64) {
	for _, b := range batches {
		seconds += t.Seconds(t.Bounds[b.to] - t.Bounds[b.from])
	}
	return seconds
}

// encode is one run of ffmpeg.
func (s *Service) encode(ctx context.Context, tools media.Tools, in media.EncodeInput, emit func(context.Context, string, int, []byte) error) (err error) {
	ctx, span := s.Tracer.Start(ctx, "encode", trace.WithAttributes(
		attribute.Int("streamgate.segment.from", in.From), attribute.Int("streamgate.segment.to", in.To),
		attribute.StringSlice("streamgate.renditions", in.Renditions),
	))
	defer func() { endSpan(ctx, span, err) }()
	return tools.Encode(ctx, in, func(rendition string, segment int, cell []byte) error {
		return emit(ctx, rendition, segment, cell)
	})
}

// noteProgress tells the queue at once that a job gets on, so that the death of
// its node is not held against it.
func (s *Service) noteProgress(ctx context.Context, run *running) {
	err := s.Queue.Renew(ctx, run.ID, run.Lease.Token, s.LeaseTTL, run.progress.get())
	if err != nil && !errors.Is(err, store.ErrLeaseLost) && ctx.Err() == nil {
		s.Log.Warn("renew a lease", "job", run.ID, "err", err) // the heartbeat tries again
	}
}

// threads is how many threads an encoder gets: one when every core has a
// worker (13 % less CPU than two), else as many as it likes.
func (s *Service) threads(job store.Job) int {
	if c := s.pool.counts(); job.Rank == store.RankOrdinary && c.idle == 0 && c.active > 1 {
		return 1
	}
	return 0
}

// todo lists what is missing of a job, after marking the cells that a killed
// worker stored but did not mark.
func (s *Service) todo(ctx context.Context, job store.Job, plan *store.Plan) ([]batch, error) {
	have, err := s.Catalog.Plans.Cells(ctx, job.VideoID)
	if err != nil {
		return nil, fmt.Errorf("read cells: %w", err)
	}
	if job.Leases == 1 {
		return missing(job, plan, have), nil
	}
	var found []store.Cell
	for _, b := range missing(job, plan, have) {
		for _, r := range b.renditions {
			for seg := b.from; seg < b.to; seg++ {
				if obj, err := s.Objects.Stat(ctx, store.CellKey(job.VideoID, r, seg)); err == nil {
					found = append(found, store.Cell{Rendition: r, Segment: seg, Bytes: obj.Size})
				}
			}
		}
	}
	if len(found) > 0 {
		if err := s.Catalog.Plans.MarkCells(ctx, job.VideoID, found...); err != nil {
			return nil, fmt.Errorf("mark cells: %w", err)
		}
		if have, err = s.Catalog.Plans.Cells(ctx, job.VideoID); err != nil {
			return nil, fmt.Errorf("read cells: %w", err)
		}
	}
	return missing(job, plan, have), nil
}

// frames reads the frame times that the plan refers to.
func (s *Service) frames(ctx context.Context, plan *store.Plan) (media.Frames, error) {
	if plan.Source.FrameIndex == "" {
		return media.Frames{}, nil
	}
	r, _, err := s.Objects.Get(ctx, plan.Source.FrameIndex)
	if err != nil {
		return media.Frames{}, fmt.Errorf("open frame index: %w", err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return media.Frames{}, fmt.Errorf("read frame index: %w", err)
	}
	return media.ParseFrames(data)
}

// commit stores one cell, marks it, and tells those who wait. A cell that a
// demanded job has made in the meantime stays as it is.
func (s *Service) commit(ctx context.Context, job store.Job, rendition string, segment int, cell []byte) (err error) {
	ctx, span := s.Tracer.Start(ctx, "cell", trace.WithAttributes(
		attribute.String("streamgate.rendition", rendition), attribute.Int("streamgate.segment", segment),
		attribute.Int("streamgate.bytes", len(cell)),
	))
	defer func() { endSpan(ctx, span, err) }()
	key := store.CellKey(job.VideoID, rendition, segment)
	obj, err := store.PutBytes(ctx, s.Objects, key, cell, store.IfAbsent)
	if err != nil {
		return fmt.Errorf("store cell %s: %w", key, err)
	}
	mark := func() error {
		return s.Catalog.Plans.MarkCells(ctx, job.VideoID, store.Cell{Rendition: rendition, Segment: segment, Bytes: obj.Size})
	}
	if err := patiently(ctx, mark); err != nil { // ffmpeg waits, for as long as the lease lasts
		return fmt.Errorf("mark cell %s: %w", key, err)
	}
	events.CellsReady.Announce(s.Bus, s.Log, events.Cells{
		VideoID: job.VideoID, Rendition: rendition, Segment: segment, Trace: rpc.Traceparent(ctx),
	})
	if segment == 0 || s.pace.due("progress/"+job.TaskID) {
		if err := s.settle(ctx, job.TaskID); err != nil && !errors.Is(err, errOver) && !errors.Is(err, store.ErrNotFound) {
			s.Log.Warn("move a task", "task", job.TaskID, "err", err)
		}
	}
	return nil
}

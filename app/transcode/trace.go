package transcode

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// A video's trace, from its upload's last byte on:
//
//	upload finish                   app/upload; its context comes with CreateTask
//	└ task create                   its traceparent is Task.Trace, and so Job.Trace
//	  ├ task submitted, task …      a mark for each event of the task
//	  ├ job plan                    one run of a job, with how it ended
//	  │ └ plan
//	  └ job chunk, copy, audio …
//	    ├ encode                    one run of ffmpeg
//	    │ └ cell                    stored, marked and told
//	    └ task completed            under the run that was the last
//
// Spans carry ids and numbers and stable words, never titles, file names or
// what an error says.
const (
	keyTask    = attribute.Key("streamgate.task.id")
	keyVideo   = attribute.Key("streamgate.video.id")
	keyOutcome = attribute.Key("streamgate.job.outcome")
	keyFailure = attribute.Key("streamgate.failure.code")
)

// outcomeDone and so on are how a run of a job ends.
const (
	outcomeDone      = "done"
	outcomeRetried   = "retried"    // failed, and is tried again
	outcomeGivenUp   = "given_up"   // failed for good
	outcomeGivenBack = "given_back" // no attempt: the node stops, or the disk is full
	outcomeLost      = "lost"       // the lease is another's, or the task's end has taken it
	outcomeDropped   = "dropped"    // the task was over already
)

// beginTask begins the span in which a task is made: a trace of its own, if
// the caller has none.
func (s *Service) beginTask(ctx context.Context, t store.Task) (context.Context, trace.Span) {
	return s.Tracer.Start(ctx, "task create", trace.WithAttributes(keyTask.String(t.ID), keyVideo.String(t.VideoID)))
}

// beginJob begins the span of one run of a job, in its task's trace.
func (s *Service) beginJob(ctx context.Context, job store.Job) (context.Context, trace.Span) {
	return s.Tracer.Start(rpc.ContinueTrace(ctx, job.Trace), "job "+string(job.Kind), trace.WithAttributes(
		keyTask.String(job.TaskID), keyVideo.String(job.VideoID),
		attribute.String("streamgate.job.id", job.ID),
		attribute.String("streamgate.job.kind", string(job.Kind)),
		attribute.Int("streamgate.job.rank", int(job.Rank)),
		attribute.Int("streamgate.job.failures", job.Failures),
		attribute.Int("streamgate.job.leases", job.Leases),
		attribute.Int("streamgate.segment.from", job.From),
		attribute.Int("streamgate.segment.to", job.To),
		attribute.String("streamgate.rendition", job.Rendition), // "": all of the kind
		attribute.String("streamgate.worker", job.Lease.Owner.Worker),
	))
}

// markJob writes into the span of a job's run how it ended.
func markJob(ctx context.Context, outcome string, failure *store.Failure) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(keyOutcome.String(outcome))
	if failure != nil {
		span.SetAttributes(keyFailure.String(failure.Code))
		span.SetStatus(codes.Error, failure.Code)
	}
}

// outcomeName names how a run ended that the queue has taken note of.
func outcomeName(out store.Outcome, givenUp bool) string {
	switch {
	case givenUp:
		return outcomeGivenUp
	case out.Failure != nil:
		return outcomeRetried
	case out.Retry:
		return outcomeGivenBack
	default:
		return outcomeDone
	}
}

// markSpan leaves a mark in a task's trace: "task started" and so on. Progress
// has none, the cells show it.
func (s *Service) markSpan(ctx context.Context, topic events.Topic[events.Task], t store.Task) {
	if topic == events.TaskProgress {
		return
	}
	what := topic.Subject[strings.LastIndexByte(topic.Subject, '.')+1:]
	_, span := s.Tracer.Start(rpc.ContinueTrace(ctx, t.Trace), "task "+what, trace.WithAttributes(
		keyTask.String(t.ID), keyVideo.String(t.VideoID),
		attribute.String("streamgate.task.state", string(t.State)),
		attribute.Float64("streamgate.task.progress", t.Progress),
	))
	if t.Failure != nil {
		span.SetAttributes(keyFailure.String(t.Failure.Code))
		span.SetStatus(codes.Error, t.Failure.Code)
	}
	span.End()
}

// endSpan ends the span of a piece of work; what the error says stays in the
// log. Work that was told to stop has not failed.
func endSpan(ctx context.Context, span trace.Span, err error) {
	switch {
	case err == nil:
	case ctx.Err() != nil:
		span.AddEvent("stopped")
	default:
		span.SetStatus(codes.Error, failureOf(err).Code)
	}
	span.End()
}

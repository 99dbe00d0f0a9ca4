package upload

import (
	"cmp"
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"streamgate/app/rpc"
	"streamgate/store"
)

// beginSpan begins the span of an upload's end, with which its video's trace
// begins unless the caller has one: the task that is made in it goes on from
// there. Spans carry ids and numbers, never names or what an error says.
func (s *Service) beginSpan(ctx context.Context, rec store.Upload) (context.Context, trace.Span) {
	return s.Tracer.Start(ctx, "upload finish", trace.WithAttributes(
		attribute.String("streamgate.upload.id", rec.ID),
		attribute.String("streamgate.video.id", rec.VideoID),
		attribute.Int64("streamgate.upload.bytes", rec.SizeBytes),
	))
}

func endSpan(span trace.Span, out outcome, err error) {
	if err != nil {
		reason, _ := rpc.Reason(err)
		span.SetStatus(codes.Error, cmp.Or(reason, "internal"))
	} else {
		span.SetAttributes(attribute.String("streamgate.task.id", out.TaskID))
	}
	span.End()
}

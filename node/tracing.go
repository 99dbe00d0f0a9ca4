package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"streamgate/app/rpc"
)

const (
	// spanTimeout bounds one batch of spans, its retries included.
	spanTimeout = 10 * time.Second
	// spanGrace is how long the last spans may hold up the node's stop.
	spanGrace = 3 * time.Second
	// spanQueue is how many spans wait for the collector; more are dropped: an
	// hour of video in five renditions has 4500 cells.
	spanQueue = 8192
)

// tracing sends spans to the collector of monitor.otlp_endpoint. Nobody ever
// waits for it: what cannot be sent is lost, and the log says so once.
type tracing struct {
	provider *sdktrace.TracerProvider
	exporter *exporter
}

func (*tracing) Name() string { return "tracing" }

func (t *tracing) Start(ctx context.Context, k *Kernel) error {
	endpoint := k.Config.Monitor.OTLPEndpoint
	if endpoint == "" {
		return nil
	}
	otlp, err := otlptracegrpc.New(ctx, // does not connect yet
		otlptracegrpc.WithEndpointURL(endpoint), otlptracegrpc.WithTimeout(spanTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: spanTimeout,
		}))
	if err != nil {
		return fmt.Errorf("monitor.otlp_endpoint: %w", err)
	}
	t.exporter = &exporter{SpanExporter: otlp, log: k.Log.With("monitor.otlp_endpoint", endpoint)}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(t.exporter, sdktrace.WithMaxQueueSize(spanQueue)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
		sdktrace.WithIDGenerator(spanIDs{}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "streamgate"), attribute.String("service.version", k.Version),
			attribute.String("service.instance.id", k.NodeID))),
	)
	k.Tracer = t.provider.Tracer("streamgate")
	return nil
}

// Stop sends the spans that wait. A collector that does not take them is no
// reason to fail.
func (t *tracing) Stop(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, spanGrace)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.exporter.note(err, 0)
		_ = t.exporter.Shutdown(ctx) // ctx is done: ends the attempt that still runs
	}
	return nil
}

// exporter is a SpanExporter that says when spans begin to be lost and when
// they no longer are, once each.
type exporter struct {
	sdktrace.SpanExporter
	log *slog.Logger

	mu   sync.Mutex
	down bool
	lost int // since then
}

// ExportSpans implements sdktrace.SpanExporter. It never fails, so that the
// SDK does not write its own line to standard error for each batch.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.note(e.SpanExporter.ExportSpans(ctx, spans), len(spans))
	return nil
}

func (e *exporter) note(err error, spans int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil && !e.down:
		e.log.Warn("spans cannot be sent and are lost; everything else goes on", "err", err)
		e.down, e.lost = true, spans
	case err != nil:
		e.lost += spans
	case e.down:
		e.log.Info("spans are sent again", "lost", e.lost)
		e.down = false
	}
}

// spanIDs makes random ids, but begins a request's trace under the id that its
// errors are logged and shown with.
type spanIDs struct{}

func (spanIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, err := trace.TraceIDFromHex(rpc.TraceID(ctx))
	if err != nil {
		id, _ = trace.TraceIDFromHex(rpc.NewTraceID()) // 32 hex digits, not all 0
	}
	return id, spanIDs{}.NewSpanID(ctx, id)
}

func (spanIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	id, _ := trace.SpanIDFromHex(rpc.NewTraceID()[:16]) // not all 0, but for once in 2⁶⁴ times
	return id
}

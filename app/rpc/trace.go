package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

type traceKey struct{}

type logged struct {
	id  string
	log *slog.Logger
}

// WithTrace returns a context whose errors are logged to log under a trace
// id: 32 lower-case hex digits, as in W3C Trace Context.
func WithTrace(ctx context.Context, id string, log *slog.Logger) context.Context {
	return context.WithValue(ctx, traceKey{}, logged{id, log})
}

// TraceID returns the context's trace id; "" if it has none.
func TraceID(ctx context.Context) string {
	t, _ := ctx.Value(traceKey{}).(logged)
	return t.id
}

// NewTraceID returns a random trace id.
func NewTraceID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// logError writes the one line about an unexpected error.
func logError(ctx context.Context, msg string, err error) {
	t, ok := ctx.Value(traceKey{}).(logged)
	if !ok {
		t.log = slog.Default()
	}
	t.log.ErrorContext(ctx, msg, "err", err, "trace_id", t.id)
}

// traceparent is the header of W3C Trace Context.
const traceparent = "traceparent"

// Traceparent returns the context's span as a W3C traceparent; "" if it is in
// none.
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// ContinueTrace returns a context whose spans go under that of a traceparent.
// A context that is in that trace already stays where it is; so does one for
// which there is no traceparent, or none that can be read.
func ContinueTrace(ctx context.Context, parent string) context.Context {
	remote := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: parent})
	span := trace.SpanContextFromContext(remote)
	if !span.IsValid() || span.TraceID() == trace.SpanContextFromContext(ctx).TraceID() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, span)
}

// SendTrace lets a client's calls carry the trace of their context. The edge
// of whoever serves them takes it up.
func SendTrace() connect.ClientOption {
	return connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			if parent := Traceparent(ctx); parent != "" {
				req.Header().Set(traceparent, parent)
			}
			return next(ctx, req)
		}
	}))
}

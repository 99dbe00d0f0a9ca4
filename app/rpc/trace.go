package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
)

type traceKey struct{}

type trace struct {
	id  string
	log *slog.Logger
}

// WithTrace returns a context whose errors are logged to log under a trace
// id: 32 lower-case hex digits, as in W3C Trace Context.
func WithTrace(ctx context.Context, id string, log *slog.Logger) context.Context {
	return context.WithValue(ctx, traceKey{}, trace{id, log})
}

// TraceID returns the context's trace id; "" if it has none.
func TraceID(ctx context.Context) string {
	t, _ := ctx.Value(traceKey{}).(trace)
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
	t, ok := ctx.Value(traceKey{}).(trace)
	if !ok {
		t.log = slog.Default()
	}
	t.log.ErrorContext(ctx, msg, "err", err, "trace_id", t.id)
}

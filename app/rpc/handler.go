package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"connectrpc.com/connect"
)

// MaxMessageBytes bounds one request message.
const MaxMessageBytes = 1 << 20

// HandlerOptions are what every generated handler is made with: our JSON, the
// size limit, and errors that are coded or "internal" (panics included), the
// latter with one line in log.
func HandlerOptions(log *slog.Logger) []connect.HandlerOption {
	opts := []connect.HandlerOption{
		connect.WithReadMaxBytes(MaxMessageBytes),
		connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
				if TraceID(ctx) == "" {
					ctx = WithTrace(ctx, NewTraceID(), log)
				}
				resp, err := next(ctx, req)
				if err != nil {
					return nil, Outward(ctx, fmt.Errorf("%s: %w", req.Spec().Procedure, err))
				}
				return resp, nil
			}
		})),
		connect.WithRecover(func(_ context.Context, _ connect.Spec, _ http.Header, cause any) error {
			return fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}),
	}
	for _, c := range JSONCodecs() {
		opts = append(opts, connect.WithCodec(c))
	}
	return opts
}

package upload

import (
	"context"
	"log/slog"

	exp "golang.org/x/exp/slog"
)

// tusLogger keeps tusd's log out of ours but for its own failures, which come
// without the request's attributes: an upload's id lets its reader write to
// the upload, and tusd logs it with every line.
func tusLogger(log *slog.Logger) *exp.Logger { return exp.New(tusLog{log}) }

type tusLog struct{ log *slog.Logger }

func (t tusLog) Enabled(_ context.Context, level exp.Level) bool { return level >= exp.LevelWarn }

func (t tusLog) Handle(ctx context.Context, r exp.Record) error {
	level := slog.LevelDebug // a client that hung up is no error of ours
	if r.Message == "InternalServerError" {
		level = slog.LevelError
	}
	var args []any
	r.Attrs(func(a exp.Attr) bool {
		if a.Key == "error" || a.Key == "message" {
			args = append(args, a.Key, a.Value.String())
		}
		return true
	})
	t.log.Log(ctx, level, "tus: "+r.Message, args...)
	return nil
}

func (t tusLog) WithAttrs([]exp.Attr) exp.Handler { return t }

func (t tusLog) WithGroup(string) exp.Handler { return t }

package fetch

import (
	"context"
	"errors"
	"time"
)

// errStalled is the cause of a context whose answer, or next byte, took too long.
var errStalled = errors.New("nothing came")

// watch ends a request from which nothing comes.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

func newWatch(ctx context.Context, limit time.Duration) *watch {
	w := &watch{limit: limit}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() { w.cancel(errStalled) })
	return w
}

// rest lets the watched do other things than wait for the server; again goes on.
func (w *watch) rest()  { w.timer.Stop() }
func (w *watch) again() { w.timer.Reset(w.limit) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain names the stall, or what the caller's context ended with, instead of
// the error that it led to.
func (w *watch) explain(err error) error {
	switch cause := context.Cause(w.ctx); {
	case errors.Is(cause, errStalled):
		return passing(fault(CodeStalled, "The server sent nothing for %v.", w.limit))
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	}
	return err
}

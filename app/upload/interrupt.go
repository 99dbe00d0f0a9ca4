package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// interrupt ends the reading of one request's body from outside: another request
// takes over the upload, or the node stops.
//
// It is the only way to the deadline of the connection's reads, and closed once the
// body has been read: from then on net/http reads by itself, to see whether the
// client has gone, and a deadline that passes then ends the context of the
// connection, which its later requests share.
type interrupt struct {
	ctx    context.Context // done once interrupted; its cause says why
	cancel context.CancelCauseFunc

	mu   sync.Mutex
	conn *http.ResponseController // nil once nothing is left to be read
	hit  bool                     // the connection is good for no other request
}

func newInterrupt(w http.ResponseWriter, r *http.Request) *interrupt {
	h := &interrupt{}
	if r.Body != nil && r.Body != http.NoBody {
		h.conn = http.NewResponseController(w)
	}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	return h
}

// now makes the running read and all later ones fail with cause.
func (h *interrupt) now(cause error) {
	h.cancel(cause)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil {
		h.hit = true
		_ = h.conn.SetReadDeadline(time.Unix(1, 0)) // as in deadline
	}
}

// deadline bounds the next read. Where a connection has no deadlines the
// server's own have to do.
func (h *interrupt) deadline(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil {
		_ = h.conn.SetReadDeadline(at)
	}
}

// read is called when the body has been read to its end.
func (h *interrupt) read() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil && !h.hit {
		_ = h.conn.SetReadDeadline(time.Time{}) // as in deadline
	}
	h.conn = nil
}

// end is called before the request is answered.
func (h *interrupt) end(answer http.Header) {
	h.cancel(nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn = nil
	if h.hit {
		answer.Set("Connection", "close")
	}
}

// errBody is a body that cannot be read: the connection broke, or what came
// over it is no HTTP.
var errBody = errors.New("read the request's body")

// interruptibleBody is a body that an interrupt can end. If idle is set, each read may take
// that long.
type interruptibleBody struct {
	src       io.Reader
	interrupt *interrupt
	idle      time.Duration
}

func (b interruptibleBody) Read(p []byte) (int, error) {
	if b.idle > 0 {
		b.interrupt.deadline(time.Now().Add(b.idle))
	}
	// After the deadline is set, so that an interrupt in between is seen here.
	if cause := context.Cause(b.interrupt.ctx); cause != nil {
		return 0, cause
	}
	n, err := b.src.Read(p)
	if errors.Is(err, io.EOF) {
		b.interrupt.read()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		if cause := context.Cause(b.interrupt.ctx); cause != nil {
			err = cause
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err
}

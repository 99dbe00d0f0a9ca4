package stream

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// problem is an outcome that the client is told in full.
type problem struct {
	status       int
	code, detail string
}

func (p problem) Error() string { return p.code }

// The problems that are always the same.
var (
	errNotFound   = problem{http.StatusNotFound, "not_found", "There is nothing at this address."}
	errNoVideo    = problem{http.StatusNotFound, "video_not_found", "There is no such video, or it was deleted."}
	errNoStill    = problem{http.StatusNotFound, "still_not_made", "This picture has not been made yet."}
	errMethod     = problem{http.StatusMethodNotAllowed, "method_not_allowed", "Media can only be read: use GET or HEAD."}
	errNoSession  = problem{http.StatusUnauthorized, "session_required", "This video is not public: open it with a session."}
	errExpired    = problem{http.StatusUnauthorized, "ticket_expired", "This session has expired: open a new one."}
	errInvalid    = problem{http.StatusUnauthorized, "ticket_invalid", "This is not a valid ticket: open a session."}
	errCell       = problem{http.StatusServiceUnavailable, "cell_pending", "This part of the video is still being made; try again."}
	errPlan       = problem{http.StatusServiceUnavailable, "video_pending", "This video is still being prepared; try again."}
	errManyWait   = problem{http.StatusServiceUnavailable, "too_many_waiting", "Too many players wait for videos that are being made; try again."}
	errShutDown   = problem{http.StatusServiceUnavailable, "shutting_down", "This node is shutting down; try again."}
	errClientGone = problem{status: 499, code: "client_gone"} // never sent; for the metrics
)

// fail answers with an error. What is no problem of the above or of the
// transcoder's is logged and shown as internal.
func (s *Service) fail(a *answer, r *http.Request, t target, err error) {
	if r.Context().Err() != nil {
		a.status = errClientGone.status
		return
	}
	r = s.traced(withoutTicket(r, t))
	var ended *EndedError
	if errors.As(err, &ended) {
		rpc.WriteRefusal(a, r, http.StatusForbidden, ended.Code, ended.Sentence, ended.Admits)
		return
	}
	var p problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, store.ErrNotFound):
		p = errNotFound
	case errors.Is(err, errTooMany):
		p = errManyWait
	case errors.Is(err, errClosed):
		p = errShutDown
	default:
		rpc.WriteProblem(a, r, err)
		return
	}
	switch p.status {
	case http.StatusServiceUnavailable:
		rpc.WriteRetry(a, r, p.status, p.code, p.detail, time.Second)
	case http.StatusMethodNotAllowed:
		a.Header()["Allow"] = s.headers.allow
		fallthrough
	default:
		rpc.WriteStatus(a, r, p.status, p.code, p.detail)
	}
}

// traced gives a request a trace id if the edge has not.
func (s *Service) traced(r *http.Request) *http.Request {
	if rpc.TraceID(r.Context()) != "" {
		return r
	}
	return r.WithContext(rpc.WithTrace(r.Context(), rpc.NewTraceID(), s.Log))
}

// withoutTicket returns the request under the address that an error may
// name: the ticket is a secret, and error bodies end up in reports.
func withoutTicket(r *http.Request, t target) *http.Request {
	if t.scope != scopeSession {
		return r
	}
	clean := r.WithContext(r.Context()) // a shallow copy
	clean.RequestURI = "/s/-/" + t.name
	return clean
}

// fromTicket is what a player is told whose ticket opens nothing.
func fromTicket(err error) error {
	var ended *EndedError
	switch {
	case errors.As(err, &ended):
		return ended
	case errors.Is(err, ErrTicketExpired):
		return errExpired
	case errors.Is(err, store.ErrUnavailable):
		return err
	}
	return errInvalid
}

// fromTranscoder sorts the error of a demand: a refusal is told to the player,
// anything else may pass, and the wait goes on (nil).
func fromTranscoder(err error) error {
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return nil
	}
	reason, _ := rpc.Reason(err)
	switch coded.Code() {
	case connect.CodeFailedPrecondition:
		return problem{http.StatusGone, reason, coded.Message()}
	case connect.CodeNotFound:
		return errNoVideo
	case connect.CodeUnavailable:
		if reason == reasonPaused {
			return coded // with its Retry-After
		}
	}
	return nil
}

// reasonPaused is the transcoder's for a part whose task is paused: there is no
// use in holding the request.
const reasonPaused = "task_paused"

// fromHold sorts the error of a wait: pending is what the end of the hold
// means.
func fromHold(ctx context.Context, err error, pending problem) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return pending
	}
	return err
}

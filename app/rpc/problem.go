package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"streamgate/store"
)

// Problem is the body of every error under /api (RFC 9457). Type is always
// "about:blank": what a program should test is Code.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`    // the status in words
	Status   int    `json:"status"`   // the HTTP status
	Detail   string `json:"detail"`   // one sentence for people
	Instance string `json:"instance"` // path of the request
	Code     string `json:"code"`     // stable snake_case word
	TraceID  string `json:"trace_id"` // also in the node's log, if it logged anything
	// Admits is what would admit a viewer who is refused: each entry suffices.
	Admits []string `json:"admits,omitempty"`
	// Decision is what a viewer's refusal stands on.
	Decision json.RawMessage `json:"decision,omitempty"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// internalDetail is all that a client learns of an unexpected error.
const internalDetail = "Something went wrong inside the node; its log has more under the trace id."

// WriteProblem answers a request with an error. A coded error (Errorf,
// StatusErrorf) is shown as it is; any other is logged and shown as
// "internal". Headers that belong to the error (Allow, Retry-After) are set
// by the caller before.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	err = Outward(r.Context(), err)
	var coded *connect.Error
	errors.As(err, &coded) // Outward returns nothing else
	reason, status := Reason(err)
	if reason == "" {
		reason = coded.Code().String()
	}
	if status == 0 {
		status = HTTPStatus(coded.Code())
	}
	if seconds := retryIn(coded); seconds > 0 {
		RetryAfter(w.Header(), time.Duration(seconds)*time.Second)
	}
	p := Problem{Status: status, Code: reason, Detail: coded.Message()}
	if d := decisionIn(coded); d != nil {
		p.Admits = d.Admits
		p.Decision, _ = JSONMarshal().Marshal(d) // plain fields always encode
	}
	writeProblem(w, r, p)
}

// WriteStatus answers a request with an error that has an HTTP status but no
// RPC code of its own, such as 405 or 413.
func WriteStatus(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	writeProblem(w, r, Problem{Status: status, Code: code, Detail: detail})
}

// WriteRefusal is WriteStatus for a viewer, with what would admit them.
func WriteRefusal(w http.ResponseWriter, r *http.Request, status int, code, detail string, admits []string) {
	writeProblem(w, r, Problem{Status: status, Code: code, Detail: detail, Admits: admits})
}

// WriteRetry is WriteStatus with a Retry-After.
func WriteRetry(w http.ResponseWriter, r *http.Request, status int, code, detail string, wait time.Duration) {
	RetryAfter(w.Header(), wait)
	writeProblem(w, r, Problem{Status: status, Code: code, Detail: detail})
}

// RetryAfter sets the header of that name to wait in whole seconds, at least
// one, and returns them.
func RetryAfter(h http.Header, wait time.Duration) int {
	seconds := Seconds(wait)
	h.Set("Retry-After", strconv.Itoa(seconds))
	return seconds
}

// writeProblem fills in what every problem has, and sends it.
func writeProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	// RequestURI, not URL: a transcoder on the way may have rewritten the latter.
	p.Instance, _, _ = strings.Cut(r.RequestURI, "?")
	p.Type, p.Title, p.TraceID = "about:blank", statusTitle(p.Status), TraceID(r.Context())
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // people read it too
	encoder.Encode(p)            //nolint:errcheck // strings and numbers always encode
	h := w.Header()
	h.Set("Content-Type", ProblemType)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Encoding")
	h.Del("ETag")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="streamgate"`)
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		w.Write(body.Bytes()) // the client may have gone
	}
}

// StatusChecksumMismatch is the status that tus gives a chunk that is not what
// was announced.
const StatusChecksumMismatch = 460

// statusClientClosed is nginx's status for a request whose client went away.
const statusClientClosed = 499

func statusTitle(status int) string {
	switch status {
	case statusClientClosed:
		return "Client Closed Request"
	case StatusChecksumMismatch:
		return "Checksum Mismatch"
	}
	return http.StatusText(status)
}

// HTTPStatus returns the HTTP status of a code.
func HTTPStatus(code connect.Code) int {
	switch code {
	case connect.CodeCanceled:
		return statusClientClosed
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return http.StatusBadRequest
	case connect.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeAlreadyExists, connect.CodeFailedPrecondition, connect.CodeAborted:
		return http.StatusConflict
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case connect.CodeUnimplemented:
		return http.StatusNotImplemented
	case connect.CodeUnavailable:
		return http.StatusServiceUnavailable
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	default:
		return http.StatusInternalServerError
	}
}

// storeRetry is after how long what a store could not do is worth another try.
const storeRetry = 2 * time.Second

// Outward returns the error that may be shown for err: err itself if it is
// coded, the code for an ended context, store_unavailable for a store that cannot
// be reached, else "internal", the latter two after one log line with the trace id.
func Outward(ctx context.Context, err error) error {
	var coded *connect.Error
	isCoded := errors.As(err, &coded)
	if reason, _ := Reason(err); reason != "" {
		return coded // without what was wrapped around it
	}
	switch {
	case errors.Is(err, store.ErrReadOnly):
		return RetryErrorf(storeRetry, connect.CodeUnavailable, "read_only",
			"The deployment is being moved, and nothing can be changed for some seconds; try again in a moment.")
	case errors.Is(err, store.ErrMoved):
		return RetryErrorf(storeRetry, connect.CodeUnavailable, "moved",
			"The deployment was moved, and nothing can be changed here any more; its operator knows where it is.")
	case errors.Is(err, store.ErrUnavailable):
		logError(ctx, "store unavailable", err)
		return RetryErrorf(storeRetry, connect.CodeUnavailable, "store_unavailable",
			"The node cannot reach a store that this needs; try again in a moment.")
	case errors.Is(err, context.Canceled):
		return Errorf(connect.CodeCanceled, "canceled", "The request was given up.")
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(connect.CodeDeadlineExceeded, "timeout", "The request took too long.")
	case isCoded && coded.Code() == connect.CodeUnimplemented:
		return Errorf(connect.CodeUnimplemented, "unimplemented", "This node does not offer that.")
	case isCoded && coded.Code() == connect.CodeUnavailable:
		logError(ctx, "peer unavailable", err)
		return Errorf(connect.CodeUnavailable, "unavailable", "A part of the service is not reachable now; try again.")
	}
	logError(ctx, "internal error", err)
	return Errorf(connect.CodeInternal, "internal", "%s", internalDetail)
}

package rpc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"streamgate/store"
)

// errorDomain marks the ErrorInfo details that Errorf attaches.
const errorDomain = "streamgate"

// Errorf makes the one error that may leave the node: a Connect code, a
// stable snake_case reason ("video_not_found") and a sentence for people.
// Everything else is shown as "internal" and only logged.
func Errorf(code connect.Code, reason, format string, args ...any) *connect.Error {
	return withInfo(connect.NewError(code, fmt.Errorf(format, args...)), reason, nil)
}

// StatusErrorf is Errorf with an HTTP status that no Connect code maps to
// (410, 413, 507 …).
func StatusErrorf(status int, code connect.Code, reason, format string, args ...any) *connect.Error {
	return withInfo(connect.NewError(code, fmt.Errorf(format, args...)), reason, map[string]string{metaStatus: strconv.Itoa(status)})
}

// RetryErrorf is Errorf of what may go well after a while, in whole seconds: it
// becomes a Retry-After.
func RetryErrorf(wait time.Duration, code connect.Code, reason, format string, args ...any) *connect.Error {
	seconds := strconv.Itoa(int(wait / time.Second))
	return withInfo(connect.NewError(code, fmt.Errorf(format, args...)), reason, map[string]string{metaRetry: seconds})
}

// What ErrorInfo carries besides the reason.
const (
	metaStatus = "status"      // HTTP
	metaRetry  = "retry_after" // seconds
)

func withInfo(err *connect.Error, reason string, meta map[string]string) *connect.Error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain, Metadata: meta}
	if detail, derr := connect.NewErrorDetail(info); derr == nil {
		err.AddDetail(detail)
	}
	return err
}

// WithDecision adds to a refusal the decision that it stands on; it returns
// err.
func WithDecision(err *connect.Error, d *Decision) *connect.Error {
	if detail, derr := connect.NewErrorDetail(d); derr == nil {
		err.AddDetail(detail)
	}
	return err
}

// decisionIn returns the decision that a refusal stands on; nil without one.
func decisionIn(err *connect.Error) *Decision {
	for _, detail := range err.Details() {
		if v, verr := detail.Value(); verr == nil {
			if d, ok := v.(*Decision); ok {
				return d
			}
		}
	}
	return nil
}

// Reason returns the stable reason of a coded error ("" if err has none) and
// the HTTP status it asks for (0 for the code's own).
func Reason(err error) (reason string, status int) {
	info := infoIn(err)
	status, _ = strconv.Atoi(info.GetMetadata()[metaStatus])
	return info.GetReason(), status
}

// retryIn returns after how many seconds it may go well; 0 if that is not said.
func retryIn(err error) int {
	seconds, _ := strconv.Atoi(infoIn(err).GetMetadata()[metaRetry])
	return seconds
}

// infoIn returns our own detail of a coded error; nil without one.
func infoIn(err error) *errdetails.ErrorInfo {
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return nil
	}
	for _, d := range coded.Details() {
		v, verr := d.Value()
		if verr != nil {
			continue
		}
		if info, ok := v.(*errdetails.ErrorInfo); ok && info.Domain == errorDomain {
			return info
		}
	}
	return nil
}

// NotFound turns store.ErrNotFound into a coded error about a noun ("video");
// other errors pass through.
func NotFound(err error, noun, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return Errorf(connect.CodeNotFound, noun+"_not_found", "There is no %s %q.", noun, clip(id))
	}
	return err
}

// clip shortens what a caller has sent to what an error may repeat.
func clip(text string) string {
	const most = 100 // bytes
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Invalid is the error of a bad request field.
func Invalid(reason, format string, args ...any) *connect.Error {
	return Errorf(connect.CodeInvalidArgument, reason, format, args...)
}

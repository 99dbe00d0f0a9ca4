package rpc

import (
	"errors"
	"fmt"
	"strconv"

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
	return withInfo(connect.NewError(code, fmt.Errorf(format, args...)), reason, 0)
}

// StatusErrorf is Errorf with an HTTP status that no Connect code maps to
// (410, 413, 507 …).
func StatusErrorf(status int, code connect.Code, reason, format string, args ...any) *connect.Error {
	return withInfo(connect.NewError(code, fmt.Errorf(format, args...)), reason, status)
}

func withInfo(err *connect.Error, reason string, status int) *connect.Error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain}
	if status != 0 {
		info.Metadata = map[string]string{"status": strconv.Itoa(status)}
	}
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
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return "", 0
	}
	for _, d := range coded.Details() {
		v, verr := d.Value()
		if verr != nil {
			continue
		}
		if info, ok := v.(*errdetails.ErrorInfo); ok && info.Domain == errorDomain {
			status, _ = strconv.Atoi(info.Metadata["status"])
			return info.Reason, status
		}
	}
	return "", 0
}

// NotFound turns store.ErrNotFound into a coded error about a noun ("video");
// other errors pass through.
func NotFound(err error, noun, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return Errorf(connect.CodeNotFound, noun+"_not_found", "There is no %s %q.", noun, id)
	}
	return err
}

// Invalid is the error of a bad request field.
func Invalid(reason, format string, args ...any) *connect.Error {
	return Errorf(connect.CodeInvalidArgument, reason, format, args...)
}

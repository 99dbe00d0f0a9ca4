package gateway

import (
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"streamgate/app/rpc"
)

// problem returns the failed answer as a problem. The transcoder speaks
// google.rpc.Status of errors inside a method, and plain text of requests
// that match none. reached tells whether the service was called.
func (w *response) problem(r *http.Request, reached bool) *response {
	if r.Method == http.MethodHead { // whose header is that of the whole answer
		r = r.WithContext(r.Context())
		r.Method = http.MethodGet
	}
	out := newResponse()
	if allow := w.header.Get("Allow"); allow != "" {
		out.header.Set("Allow", strings.ReplaceAll(allow, ",", ", "))
	}
	var st status.Status
	if !strings.HasPrefix(w.header.Get("Content-Type"), "text/plain") &&
		(protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(w.body.Bytes(), &st) == nil {
		rpc.WriteProblem(out, r, errorOf(&st, reached))
		return out
	}
	switch w.status {
	case http.StatusNotFound:
		rpc.WriteStatus(out, r, w.status, "route_not_found", "There is no such path; /openapi.json lists them.")
	case http.StatusMethodNotAllowed:
		rpc.WriteStatus(out, r, w.status, "method_not_allowed", "This path takes "+out.header.Get("Allow")+" only.")
	default:
		rpc.WriteStatus(out, r, w.status, "invalid_request", "The request is not one of this API's.")
	}
	return out
}

// errorOf returns the coded error that a status was made of. A status that
// names no reason of ours is not from a service: the request could not be
// read, or else the answer could not be written.
func errorOf(st *status.Status, reached bool) error {
	wire := connect.NewWireError(connect.Code(st.GetCode()), errString(st.GetMessage()))
	for _, any := range st.GetDetails() {
		if detail, err := connect.NewErrorDetail(any); err == nil &&
			(any.MessageIs(&errdetails.ErrorInfo{}) || any.MessageIs(&rpc.Decision{})) {
			wire.AddDetail(detail)
		}
	}
	switch reason, _ := rpc.Reason(wire); {
	case reason != "":
		return wire
	case reached:
		return errString("write the answer: " + st.GetMessage())
	default:
		return rpc.Invalid("invalid_request", "%s.", rpc.PlainDecodeError(st.GetMessage()))
	}
}

type errString string

func (e errString) Error() string { return string(e) }

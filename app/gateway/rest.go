package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/vanguard"

	"streamgate/app/rpc"
)

// rest is /api: the schema's HTTP annotations through the transcoder, with
// what the transcoder leaves open closed around it.
type rest struct {
	transcoder http.Handler
	idempotent idempotency
	condition  conditional
	timeout    time.Duration
}

func newREST(mounts []mount, cfg Config) (*rest, error) {
	var services []*vanguard.Service
	for _, m := range mounts {
		if m.rest {
			services = append(services, vanguard.NewService(m.path, m.handler))
		}
	}
	t, err := vanguard.NewTranscoder(services, vanguard.WithCodec(func(vanguard.TypeResolver) vanguard.Codec {
		return vanguard.JSONCodec{MarshalOptions: rpc.JSONMarshal(), UnmarshalOptions: rpc.JSONUnmarshal()}
	}))
	if err != nil {
		return nil, err
	}
	paths, err := restRoutes(openAPI)
	if err != nil {
		return nil, err
	}
	return &rest{
		transcoder: t, timeout: cfg.Timeout, condition: conditional{routes: routes{rest: paths}},
		idempotent: idempotency{cache: cfg.Cache, claim: cfg.Timeout},
	}, nil
}

func (h *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
	defer cancel()
	r = r.WithContext(ctx)
	if strings.HasSuffix(r.URL.Path, "/") { // an id that is empty
		rpc.WriteStatus(w, r, http.StatusNotFound, "route_not_found", "There is no such path: none ends with a slash. /openapi.json lists them.")
		return
	}
	if err := checkQuery(r); err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	body, ok := readBody(w, r, h.timeout)
	if !ok || !acceptable(w, r, body) {
		return
	}
	if r.Method == http.MethodPatch && len(body) == 0 { // it changes nothing
		body = []byte("{}")
	}
	if err := h.condition.routes.agree(r.URL.Path, body); err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	known := rpc.Caller(ctx).Scope != rpc.ScopeNone // nothing is kept for strangers
	if key := r.Header.Get("Idempotency-Key"); key != "" && known && r.Method == http.MethodPost {
		h.idempotent.serve(w, r, key, body, h.call)
		return
	}
	h.condition.serve(r, body, h.call).writeTo(w, r)
}

// repeatable are the parameters that may be there more than once.
var repeatable = []string{"vaults", "name"}

// checkQuery refuses what the transcoder would leave out or take without a
// word: what cannot be read, what is there twice, and, beside a body, anything.
func checkQuery(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return rpc.Invalid("invalid_request", "The query after the ? cannot be read; write name=value&name=value, percent-encoded.")
	}
	for name, values := range query {
		if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
			return rpc.Invalid("invalid_request", "This method takes no parameter %q in its address: its fields go into the body.", name)
		}
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return rpc.Invalid("invalid_request", "The parameter %q is there %d times; write it once.", name, len(values))
		}
	}
	return nil
}

// readBody reads at most rpc.MaxMessageBytes, within the time-out.
func readBody(w http.ResponseWriter, r *http.Request, timeout time.Duration) ([]byte, bool) {
	// Without support for deadlines (a test's recorder) the server's own hold.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(timeout)) //nolint:errcheck // see above
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rpc.MaxMessageBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		rpc.WriteStatus(w, r, http.StatusRequestEntityTooLarge, "body_too_large",
			fmt.Sprintf("The body has more than %d bytes.", rpc.MaxMessageBytes))
	case err != nil:
		rpc.WriteStatus(w, r, http.StatusBadRequest, "body_incomplete", "The body did not arrive whole.")
	default:
		control.SetReadDeadline(time.Time{}) //nolint:errcheck // see above
	}
	return body, err == nil
}

// acceptable refuses bodies that are not plain JSON.
func acceptable(w http.ResponseWriter, r *http.Request, body []byte) bool {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		rpc.WriteStatus(w, r, http.StatusUnsupportedMediaType, "unsupported_encoding",
			"Send the body as it is, without Content-Encoding.")
		return false
	}
	contentType := r.Header.Get("Content-Type")
	if media, params, err := mime.ParseMediaType(contentType); len(body) > 0 && contentType != "" &&
		(err != nil || media != "application/json" || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8")) {
		rpc.WriteStatus(w, r, http.StatusUnsupportedMediaType, "unsupported_media_type",
			"Send JSON in UTF-8, with \"Content-Type: application/json\".")
		return false
	}
	return true
}

// call runs one REST request and returns its whole answer, errors as
// problems.
func (h *rest) call(r *http.Request, body []byte) *response {
	var a answer
	inner := r.Clone(context.WithValue(r.Context(), answerKey{}, &a)) // the transcoder rewrites its URL
	inner.Body, inner.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if inner.Method == http.MethodHead {
		inner.Method = http.MethodGet
	}
	for _, name := range []string{"Accept-Encoding", "Content-Encoding", "Connect-Protocol-Version", "Content-Type"} {
		inner.Header.Del(name)
	}
	if len(body) > 0 {
		inner.Header.Set("Content-Type", "application/json")
	}
	resp := newResponse()
	h.transcoder.ServeHTTP(resp, inner)
	if methods := h.condition.routes.allow(r.URL.Path); resp.status == http.StatusMethodNotAllowed && methods != nil {
		resp.header.Set("Allow", strings.Join(methods, ",")) // the transcoder does not know HEAD and OPTIONS
	}
	if resp.status >= http.StatusBadRequest {
		return resp.problem(r, a.reached)
	}
	resp.apply(a, rpc.BaseURL(r.Context()))
	return resp
}

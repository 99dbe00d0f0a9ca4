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
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil { // what cannot be read would be left out
		rpc.WriteStatus(w, r, http.StatusBadRequest, "invalid_request", "The query after the ? cannot be read; write name=value&name=value, percent-encoded.")
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
	if media, _, err := mime.ParseMediaType(contentType); len(body) > 0 && contentType != "" &&
		(err != nil || media != "application/json") {
		rpc.WriteStatus(w, r, http.StatusUnsupportedMediaType, "unsupported_media_type",
			"Send JSON, with \"Content-Type: application/json\".")
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
	if resp.status >= http.StatusBadRequest {
		return resp.problem(r, a.reached)
	}
	resp.apply(a, rpc.BaseURL(r.Context()))
	return resp
}

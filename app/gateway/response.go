package gateway

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
)

// response keeps an answer whole, so that it can be changed before it is
// sent. Messages are bounded, so answers are.
type response struct {
	header http.Header
	status int // 0 until WriteHeader
	body   bytes.Buffer
	secret bool // not to be kept
}

func newResponse() *response { return &response{header: make(http.Header)} }

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush implements http.Flusher, which the transcoder asks for; everything is
// sent at the end.
func (w *response) Flush() {}

// apply turns a success into what the method's answer says.
func (w *response) apply(a answer, base string) {
	w.secret = a.secret
	w.header.Del("Accept-Encoding") // said to RPC peers only
	w.header.Del("Vary")
	w.header.Set("Cache-Control", "no-store")
	if a.status != 0 {
		w.status = a.status
	}
	if a.location != "" {
		w.header.Set("Location", base+a.location)
	}
	if cookie := a.cookie(base); cookie != nil {
		w.header.Set("Set-Cookie", cookie.String())
	}
	if w.status == http.StatusNoContent {
		w.body.Reset()
		w.header.Del("Content-Type")
	}
}

// writeTo sends the answer; to HEAD, all but its body.
func (w *response) writeTo(out http.ResponseWriter, r *http.Request) {
	maps.Copy(out.Header(), w.header)
	out.Header().Del("Content-Length")
	if w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		out.Header().Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	out.WriteHeader(w.status)
	if r.Method != http.MethodHead {
		out.Write(w.body.Bytes()) // the client may have gone
	}
}

// mayBeDone tells whether what was asked for may have been done, though the answer
// is an error.
func (w *response) mayBeDone() bool {
	var problem struct{ Code string }
	if json.Unmarshal(w.body.Bytes(), &problem) != nil {
		return false
	}
	return problem.Code == "outcome_unknown" || problem.Code == "not_recorded"
}

package upload

import (
	"context"
	"net/http"
	"path"
	"strings"
	"time"

	"streamgate/app/rpc"
)

// exchange is what travels with one tus request past tusd, which passes on
// contexts but neither headers nor errors.
type exchange struct {
	check     *checksum // of the request's bytes; nil for none
	expires   time.Time // of the upload, if it is unfinished
	err       error     // why the request was refused, if we did
	deletes   bool      // the request is to delete its upload
	interrupt *interrupt
}

type exchangeKey struct{}

// exchangeOf returns the request's exchange. serveTus puts one into every
// context that reaches tusd.
func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// answer finishes what tusd writes: headers of the extensions that it lacks,
// our public address, and problem documents for its plain-text errors.
type answer struct {
	http.ResponseWriter
	r      *http.Request
	ex     *exchange
	status int    // of a refusal, held back until finish
	text   []byte // tusd's words for it
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// SetReadDeadline is what http.ResponseController does for tusd, which bounds its
// reads by it, and goes on with that when there is nothing left to be read.
func (a *answer) SetReadDeadline(at time.Time) error {
	a.ex.interrupt.deadline(at)
	return nil
}

func (a *answer) WriteHeader(status int) {
	// tusd's deadline runs from the last byte received, and to hand over a
	// large file can take longer.
	_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(time.Minute))
	if status >= 400 {
		a.status = status
		return
	}
	h := a.Header()
	a.ex.interrupt.end(h)
	if loc := h.Get("Location"); loc != "" {
		h.Set("Location", rpc.BaseURL(a.r.Context())+basePath+path.Base(loc))
	}
	if ext := h.Get("Tus-Extension"); ext != "" {
		h.Set("Tus-Extension", ext+",expiration,checksum")
		h.Set("Tus-Checksum-Algorithm", checksumAlgorithms)
	}
	if !a.ex.expires.IsZero() {
		h.Set("Upload-Expires", a.ex.expires.UTC().Format(http.TimeFormat))
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status != 0 {
		a.text = append(a.text, p...) // a line
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// finish writes the refusal that WriteHeader held back, if any.
func (a *answer) finish() {
	if a.status == 0 {
		return
	}
	hangUp(a.ResponseWriter, a.r)
	h := a.Header()
	switch a.status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "POST, HEAD, PATCH, DELETE, OPTIONS")
	case http.StatusPreconditionFailed:
		h.Set("Tus-Version", "1.0.0")
	}
	if a.ex.err != nil {
		rpc.WriteProblem(a.ResponseWriter, a.r, a.ex.err)
		return
	}
	code, detail := problemOf(a.status, string(a.text))
	rpc.WriteStatus(a.ResponseWriter, a.r, a.status, code, detail)
}

// hangUp prepares the refusal of a request whose body may not be read to its
// end. Without it net/http waits for the rest of a small body before it
// answers, for ever if the client has stopped sending.
func hangUp(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(2 * time.Second)) // as good as it gets
}

// refuseRequest answers with an error before the body was read.
func refuseRequest(w http.ResponseWriter, r *http.Request, err error) {
	hangUp(w, r)
	rpc.WriteProblem(w, r, err)
}

// problemOf makes a problem's code and sentence of tusd's "ERR_CODE: words".
func problemOf(status int, text string) (code, detail string) {
	code, words, ok := strings.Cut(strings.TrimSpace(text), ": ")
	if !ok { // a HEAD, or the router's own
		words = http.StatusText(status)
		code = strings.ReplaceAll(strings.ToLower(words), " ", "_")
		return code, words + "."
	}
	code = strings.ToLower(strings.TrimPrefix(code, "ERR_"))
	return code, strings.ToUpper(words[:1]) + words[1:] + "."
}

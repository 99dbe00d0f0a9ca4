package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"streamgate/app/rpc"
)

// observe wraps a server's handler: it turns panics into 500 and writes the
// access log.
func (k *Kernel) observe(server string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.media != nil && server != clusterServer && isMedia(r.URL.Path) && !k.Log.Enabled(r.Context(), slog.LevelDebug) {
			k.serveMedia(w, r)
			return
		}
		rec := &recorder{ResponseWriter: w}
		begun := time.Now()
		defer func() {
			p := recover()
			k.logAccess(server, r, rec, begun)
			if p != nil {
				k.failRequest(rec, r, p)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// under takes root off the paths of requests, so that it does not matter
// whether the proxy before the node has done so. The root itself is redirected
// to where its relative links are right.
func under(root string, next http.Handler) http.Handler {
	if root == "" {
		return next
	}
	stripped := http.StripPrefix(root, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == root:
			http.Redirect(w, r, root+"/", http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, root+"/"):
			stripped.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isMedia tells whether a path is for the streaming service. One that ends
// with a slash is a session's watch page.
func isMedia(path string) bool {
	return len(path) > 3 && (path[:3] == "/s/" || path[:3] == "/v/") && path[len(path)-1] != '/'
}

// serveMedia takes the short way for what comes most often: past the mux and
// the access log, whose lines for media nobody wants unless at debug level.
func (k *Kernel) serveMedia(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			k.Log.Error("panic while serving media", "path", redact(r.URL.Path), "err", p, "stack", string(debug.Stack()))
			panic(http.ErrAbortHandler) // an answer cut off must not look whole
		}
	}()
	k.media.ServeHTTP(w, r)
}

// failRequest answers a panic that the handler did not catch.
func (k *Kernel) failRequest(rec *recorder, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // net/http's own way to drop a connection
	}
	err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	if rec.status != 0 {
		k.Log.Error("panic in a handler", "path", redact(r.URL.Path), "err", err)
		panic(http.ErrAbortHandler) // too late for an answer; a cut one must not look whole
	}
	ctx := rpc.WithTrace(r.Context(), rpc.NewTraceID(), k.Log.With("path", redact(r.URL.Path)))
	rpc.WriteProblem(rec, r.WithContext(ctx), err)
}

// logAccess writes one line per request: at debug level media, for there are
// many, and what the operator's own commands ask. Neither query nor token is ever in it.
func (k *Kernel) logAccess(server string, r *http.Request, rec *recorder, begun time.Time) {
	level := slog.LevelInfo
	switch {
	case rec.status >= http.StatusInternalServerError && rec.status != http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case quiet(r) || server == adminServer && rec.status < http.StatusBadRequest:
		level = slog.LevelDebug
	}
	if !k.Log.Enabled(r.Context(), level) {
		return
	}
	k.Log.LogAttrs(r.Context(), level, "request",
		slog.String("server", server), slog.String("method", r.Method), slog.String("path", redact(r.URL.Path)),
		slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes),
		slog.Duration("took", time.Since(begun).Round(time.Microsecond)), slog.String("remote", r.RemoteAddr))
}

// quiet requests come in great number: media, assets, and reading in general.
func quiet(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
}

// redact takes the ticket out of a playback path: /s/{token}/….
func redact(path string) string {
	rest, ok := strings.CutPrefix(path, "/s/")
	if !ok {
		return path
	}
	_, file, _ := strings.Cut(rest, "/")
	return "/s/-/" + file
}

// recorder is a ResponseWriter that notes status and size. It passes on
// ReadFrom, without which net/http cannot use sendfile, and Flush, which
// event streams and gRPC need; the rest is reached through Unwrap.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the header is written
	bytes  int64
}

var (
	_ http.Flusher  = (*recorder)(nil)
	_ io.ReaderFrom = (*recorder)(nil)
	_ http.Hijacker = (*recorder)(nil)
)

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.commit()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.commit()
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}

// Flush implements http.Flusher.
func (r *recorder) Flush() {
	r.commit()
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// commit notes the implied 200 of a first write.
func (r *recorder) commit() {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
}

package cluster

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// Proxy hands requests on to nodes of a role, with who calls; key, if it is not
// nil, keeps those of one thing together.
func (p *Pool) Proxy(role string, key func(*http.Request) string, log *slog.Logger) http.Handler {
	seldom := &seldom{every: tellEvery}
	proxy := &httputil.ReverseProxy{
		Transport:  p.Streaming(role),
		BufferPool: buffers{},
		ErrorLog:   slog.NewLogLogger(log.With("proxy", role).Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "https", role+domain
			r.Out.Host = r.In.Host
			// The ends of the connection are the gateway's; its word is in CallerHeader.
			for _, name := range []string{CallerHeader, "Authorization", "Cookie"} {
				r.Out.Header.Del(name)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if r.ContentLength >= bulkPiece {
				r.Body = whole{r.Body}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the client has gone
			}
			seldom.Do(func() { log.Warn("requests cannot be handed on", "role", role, "err", err) })
			rpc.WriteProblem(w, r, unreachable(role, err))
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key != nil {
			r = r.WithContext(WithKey(r.Context(), key(r)))
		}
		proxy.ServeHTTP(w, r)
	})
}

// tellEvery is how often the log says that a role does not answer.
const tellEvery = 10 * time.Second

// seldom does something now and then at most.
type seldom struct {
	every time.Duration
	next  atomic.Int64 // Unix nanoseconds
}

// Do calls fn unless it has done so lately.
func (s *seldom) Do(fn func()) {
	now, next := time.Now().UnixNano(), s.next.Load()
	if now >= next && s.next.CompareAndSwap(next, now+int64(s.every)) {
		fn()
	}
}

func unreachable(role string, err error) error {
	if errors.Is(err, ErrNoNode) {
		return rpc.RetryErrorf(noNodeRetry, connect.CodeUnavailable, "role_unavailable", "No node with the role %s is there now; try again in a moment.", role)
	}
	return rpc.RetryErrorf(noNodeRetry, connect.CodeUnavailable, "role_unavailable", "The node with the role %s does not answer now; try again in a moment.", role)
}

var bufferPool = sync.Pool{New: func() any { b := make([]byte, bulkPiece); return &b }}

// buffers is httputil.BufferPool over a sync.Pool.
type buffers struct{}

// Get implements httputil.BufferPool.
func (buffers) Get() []byte { return *bufferPool.Get().(*[]byte) }

// Put implements httputil.BufferPool.
func (buffers) Put(b []byte) { bufferPool.Put(&b) }

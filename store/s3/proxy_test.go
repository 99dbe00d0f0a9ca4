package s3_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"streamgate/store/s3"
)

// fault is what the proxy does to a request.
type fault int

const (
	none  fault = iota
	busy        // it answers 503
	cut         // it sends half of the server's answer
	lost        // the server does it, and the answer is lost
	stuck       // nothing comes until the client gives up
)

// proxy stands between a store and the server.
type proxy struct {
	address string

	mu     sync.Mutex
	choose func(r *http.Request) fault
	asked  []string // method, path and query of each request
	sent   int64    // bytes of the bodies of GETs
}

// through makes the options lead through a new proxy.
func through(t *testing.T, o *s3.Options) *proxy {
	t.Helper()
	p := &proxy{choose: func(*http.Request) fault { return none }}
	target := &url.URL{Scheme: "http", Host: o.Endpoint}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: p.answer,
		ErrorLog:       log.New(io.Discard, "", 0), // it tells of every cut
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, forward) }))
	t.Cleanup(srv.Close)
	p.address = strings.TrimPrefix(srv.URL, "http://")
	o.Endpoint = p.address
	return p
}

type faultKey struct{}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	p.mu.Lock()
	f := p.choose(r)
	p.asked = append(p.asked, r.Method+" "+r.URL.RequestURI())
	p.mu.Unlock()
	switch f {
	case busy:
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
	case stuck:
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	default:
		forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), faultKey{}, f)))
	}
}

// answer does to the server's answer what the fault says.
func (p *proxy) answer(res *http.Response) error {
	body := res.Body
	switch res.Request.Context().Value(faultKey{}) {
	case lost:
		return io.ErrUnexpectedEOF
	case cut:
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(body, res.ContentLength/2), broken{}), body}
	default:
		if res.Request.Method == http.MethodGet {
			res.Body = struct {
				io.Reader
				io.Closer
			}{io.TeeReader(body, counter{p}), body}
		}
	}
	return nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type counter struct{ p *proxy }

func (c counter) Write(b []byte) (int, error) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.sent += int64(len(b))
	return len(b), nil
}

// breaks makes fn choose the fault of each request from now on; nil mends the
// proxy. What was counted is forgotten.
func (p *proxy) breaks(fn func(r *http.Request) fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fn == nil {
		fn = func(*http.Request) fault { return none }
	}
	p.choose, p.asked, p.sent = fn, nil, 0
}

// count tells how many requests had that method and a part of the URL.
func (p *proxy) count(method, part string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.asked {
		if strings.HasPrefix(a, method+" ") && strings.Contains(a, part) {
			n++
		}
	}
	return n
}

func (p *proxy) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// firstOfEach breaks the first request of each kind.
func firstOfEach(f fault) func(r *http.Request) fault {
	met := map[string]bool{}
	return func(r *http.Request) fault {
		kind := r.Method + " " + r.URL.RequestURI()
		if met[kind] {
			return none
		}
		met[kind] = true
		return f
	}
}

// always breaks all requests of a method ("" for all) with a part in their URL.
func always(f fault, method, part string) func(r *http.Request) fault {
	return func(r *http.Request) fault {
		if (method == "" || r.Method == method) && strings.Contains(r.URL.RequestURI(), part) {
			return f
		}
		return none
	}
}

package upload_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/dns/dnsmessage"

	"streamgate/app/egress"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// origin is a server to fetch from. Each path misbehaves in its own way.
type origin struct {
	*httptest.Server
	film []byte

	mu    sync.Mutex
	calls map[string]int
	asked []http.Header
	hold  chan struct{} // what stalls ends with it
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{film: append([]byte("\x00\x00\x00\x18ftypisom"), random(900_000)...), calls: map[string]int{}, hold: make(chan struct{})}
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(func() {
		close(o.hold)
		o.CloseClientConnections()
		o.Close()
	})
	return o
}

// call counts the requests of a path.
func (o *origin) call(r *http.Request) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[r.URL.Path]++
	o.asked = append(o.asked, r.Header)
	return o.calls[r.URL.Path]
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	n := o.call(r)
	whole := func() { http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.film)) }
	cut := func(at int) {
		w.Header().Set("Content-Length", strconv.Itoa(len(o.film)))
		w.Write(o.film[:at])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	switch r.URL.Path {
	case "/My.Film.mp4":
		whole()
	case "/named":
		w.Header().Set("Content-Disposition", `attachment; filename*=UTF-8''..%2FF%C3%BCnf%20Filme.mkv`)
		whole()
	case "/chunked.mp4":
		w.Write(o.film[:1000])
		w.(http.Flusher).Flush()
		w.Write(o.film[1000:])
	case "/500-then-ok.mp4":
		if n < 3 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		whole()
	case "/in-an-hour.mp4":
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	case "/404.mp4":
		http.NotFound(w, r)
	case "/403.mp4":
		w.WriteHeader(http.StatusForbidden)
	case "/500.mp4":
		w.WriteHeader(http.StatusInternalServerError)
	case "/stall.mp4":
		w.Header().Set("Content-Length", strconv.Itoa(len(o.film)))
		w.Write(o.film[:1000])
		w.(http.Flusher).Flush()
		select {
		case <-o.hold:
		case <-r.Context().Done():
		}
	case "/stall-once.mp4":
		if n > 1 {
			whole()
			return
		}
		select {
		case <-o.hold:
		case <-r.Context().Done():
		}
	case "/endless.mp4":
		for {
			if _, err := w.Write(o.film); err != nil {
				return
			}
		}
	case "/drip.mp4":
		for {
			if _, err := w.Write(o.film[:1]); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	case "/cut-with-range.mp4":
		w.Header().Set("ETag", `"one"`)
		if n < 4 && r.Header.Get("Range") == "" {
			cut(300_000)
		}
		if n < 4 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 300_000*(n-1), len(o.film)-1, len(o.film)))
			w.Header().Set("Content-Length", strconv.Itoa(len(o.film)-300_000*(n-1)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(o.film[300_000*(n-1) : 300_000*n])
			panic(http.ErrAbortHandler)
		}
		whole()
	case "/cut-without-range.mp4":
		if n < 3 {
			cut(300_000)
		}
		w.Write(o.film)
	case "/changed.mp4": // another file each time
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, n))
		if n == 1 {
			w.Header().Set("Content-Length", "5000")
			w.Write(random(3000))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		whole()
	case "/shrunk.mp4":
		w.Header().Set("ETag", `"same"`)
		switch {
		case n == 1:
			cut(800_000)
		case r.Header.Get("Range") != "":
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		default:
			w.Write(o.film[:5000])
		}
	case "/other-part.mp4":
		w.Header().Set("ETag", `"same"`)
		switch {
		case n == 1:
			cut(5000)
		case r.Header.Get("Range") != "":
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 4000-%d/%d", len(o.film)-1, len(o.film)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(o.film[4000:])
		default:
			w.Write(o.film)
		}
	case "/too-long.mp4":
		w.Header().Set("Content-Length", strconv.Itoa(1<<40))
		w.Write(o.film)
	case "/always-short.mp4":
		cut(1000)
	case "/gzip.mp4":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(o.film)
		z.Close()
	case "/page":
		io.WriteString(w, "\n<!DOCTYPE html><html><title>Watch</title></html>")
	case "/page-that-lies.mp4":
		w.Header().Set("Content-Type", "video/mp4")
		io.WriteString(w, "<!-- hello --><html><body>Not found</body></html>")
	case "/film-called-html.mp4":
		w.Header().Set("Content-Type", "text/html")
		whole()
	case "/master.m3u8":
		w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
		io.WriteString(w, "#EXTM3U\n#EXT-X-VERSION:7\n")
	case "/manifest.mpd":
		io.WriteString(w, `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>`)
	case "/empty.mp4":
	case "/teapot.mp4":
		w.WriteHeader(http.StatusTeapot)
	case "/unasked-part.mp4":
		w.WriteHeader(http.StatusPartialContent)
		w.Write(o.film)
	case "/loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
	case "/hops":
		left, _ := strconv.Atoi(r.URL.Query().Get("n"))
		if left > 0 {
			http.Redirect(w, r, "/hops?n="+strconv.Itoa(left-1)+"&secret=hidden", http.StatusFound)
			return
		}
		whole()
	case "/to-private":
		http.Redirect(w, r, strings.Replace(o.URL, "127.0.0.1", "127.0.0.2", 1)+"/My.Film.mp4", http.StatusFound)
	case "/to-metadata":
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	case "/to-file":
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	case "/to-user":
		http.Redirect(w, r, strings.Replace(o.URL, "://", "://joe:hidden@", 1)+"/My.Film.mp4", http.StatusFound)
	}
}

// startFetching is a bench that may fetch from 127.0.0.1, and an origin there.
func startFetching(t *testing.T, opts ...func(*bench)) (*bench, *origin) {
	t.Helper()
	b, o := newBench(t), newOrigin(t)
	b.cfg.Now = time.Now
	b.cfg.FetchFrom = egress.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	b.cfg.FetchStall, b.cfg.FetchPause, b.cfg.FetchRetries = 30*time.Second, time.Millisecond, 3
	for _, opt := range opts {
		opt(b)
	}
	b.start()
	b.fetching()
	return b, o
}

// fetching runs the fetcher until the test ends, or what it returns is called.
func (b *bench) fetching() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	service := b.service
	go func() {
		defer close(done)
		service.RunFetches(ctx)
	}()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) ctx() context.Context {
	return rpc.WithIdentity(b.t.Context(), rpc.Identity{KeyID: "k", Scope: b.scope})
}

func (b *bench) fetch(req *rpc.FetchUploadRequest) *rpc.Upload {
	b.t.Helper()
	up, err := b.service.FetchUpload(b.ctx(), req)
	must(b.t, err)
	return up
}

// until waits for something of an upload.
func (b *bench) until(id, what string, ok func(store.Upload) bool) store.Upload {
	b.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		u := b.getUpload(id)
		if ok(u) {
			return u
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: %+v %+v\n%s", what, u, u.Fetch, b.logs)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *bench) over(id string) store.Upload {
	b.t.Helper()
	return b.until(id, "it is over and its bytes have gone", func(u store.Upload) bool {
		return u.State != store.UploadReceiving && !slices.Contains(b.spool(), id)
	})
}

func TestFetch(t *testing.T) {
	film := func(o *origin) []byte { return o.film }
	for _, c := range []struct {
		path, title string
		calls       int
		data        func(*origin) []byte
	}{
		{"/My.Film.mp4?token=hidden#t=5", "My.Film", 1, film},
		{"/named", "Fünf Filme", 1, film},
		{"/chunked.mp4", "chunked", 1, film},
		{"/500-then-ok.mp4", "500-then-ok", 3, film},
		{"/stall-once.mp4", "stall-once", 2, film},
		{"/cut-with-range.mp4", "cut-with-range", 4, film},
		{"/cut-without-range.mp4", "cut-without-range", 3, film},
		{"/changed.mp4", "changed", 2, film},
		{"/shrunk.mp4", "shrunk", 3, func(o *origin) []byte { return o.film[:5000] }},
		{"/other-part.mp4", "other-part", 3, film},
		{"/film-called-html.mp4", "film-called-html", 1, film},
		{"/hops?n=5", "hops", 6, film},
	} {
		t.Run(strings.Trim(c.title, "/"), func(t *testing.T) {
			b, o := startFetching(t, func(b *bench) {
				if c.path == "/stall-once.mp4" {
					b.cfg.FetchStall = 300 * time.Millisecond
				}
			})
			up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + c.path, Sha256: hexSum(c.data(o)), Public: true})
			got := b.over(up.Id)
			if got.State != store.UploadComplete || got.SizeBytes != int64(len(c.data(o))) {
				t.Fatalf("%+v: %+v", got, got.Fetch)
			}
			b.wantSource(up.VideoId, c.data(o))
			v := b.getVideo(up.VideoId)
			o.mu.Lock()
			defer o.mu.Unlock()
			if n := o.calls[strings.SplitN(c.path, "?", 2)[0]]; v.Title != c.title || !v.Public || n != c.calls {
				t.Errorf("title %q, public %v, %d calls, want %q and %d", v.Title, v.Public, n, c.title, c.calls)
			}
			for _, h := range o.asked {
				if h.Get("Accept-Encoding") != "identity" || h.Get("Referer") != "" || h.Get("Cookie") != "" || h.Get("Authorization") != "" {
					t.Errorf("asked with %v", h)
				}
			}
			if strings.Contains(got.Fetch.Shown+got.Fetch.URL+b.logs.String(), "hidden") {
				t.Errorf("the query is kept: %+v\n%s", got.Fetch, b.logs)
			}
		})
	}
}

func TestFetchFails(t *testing.T) {
	for _, c := range []struct {
		path, code, says string
		calls            int // 0: does not matter
	}{
		{"/404.mp4", "source_status", "404 Not Found", 1},
		{"/403.mp4", "source_status", "wants a login", 1},
		{"/teapot.mp4", "source_status", "418", 1},
		{"/unasked-part.mp4", "source_status", "206", 1},
		{"/500.mp4", "source_status", "500", 4},
		{"/stall.mp4", "source_stalled", "sent nothing for 300ms", 0},
		{"/endless.mp4", "too_large", "at most", 1},
		{"/drip.mp4", "fetch_timeout", "upload.fetch.timeout", 1},
		{"/too-long.mp4", "too_large", "at most", 1},
		{"/always-short.mp4", "source_interrupted", "", 4},
		{"/gzip.mp4", "source_encoded", "gzip", 1},
		{"/page", "source_web_page", "That address answers a web page", 1},
		{"/page-that-lies.mp4", "source_web_page", "That address answers a web page", 1},
		{"/master.m3u8", "source_playlist", "not followed", 1},
		{"/manifest.mpd", "source_playlist", "not followed", 1},
		{"/empty.mp4", "source_empty", "empty", 1},
		{"/loop", "source_redirects", "more than 5 times", 6},
		{"/hops?n=6", "source_redirects", "more than 5 times", 6},
		{"/to-private", "source_address_refused", "127.0.0.2 is not public", 1},
		{"/to-metadata", "source_address_refused", "169.254.169.254 is not public", 1},
		{"/to-file", "source_redirects", "file:", 1},
		{"/to-user", "source_redirects", "user or password", 1},
	} {
		t.Run(strings.Trim(c.path, "/"), func(t *testing.T) {
			b, o := startFetching(t, func(b *bench) {
				b.cfg.MaxSize = 4 << 20
				switch c.path {
				case "/stall.mp4":
					b.cfg.FetchStall = 300 * time.Millisecond
				case "/drip.mp4":
					b.cfg.FetchTimeout = time.Second
				}
			})
			failed := make(chan events.Upload, 10)
			_, err := events.UploadFailed.Listen(b.cfg.Bus, func(u events.Upload) { failed <- u })
			must(t, err)
			up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + c.path})
			got := b.over(up.Id)
			f := got.Fetch.Failure
			if got.State != store.UploadFailed || f == nil || f.Code != c.code || !strings.Contains(f.Message, c.says) {
				t.Fatalf("%s: %+v, want %s", got.State, f, c.code)
			}
			if v := b.getVideo(up.VideoId); v.State != store.VideoFailed || v.Failure == nil || v.Failure.Code != c.code {
				t.Errorf("the video is %+v", v)
			}
			if left := b.spool(); len(left) != 0 {
				t.Errorf("bytes are left: %v", left)
			}
			if u := <-failed; u.UploadID != up.Id {
				t.Errorf("told of %+v", u)
			}
			seen, err := b.service.GetUpload(b.ctx(), &rpc.GetUploadRequest{Id: up.Id})
			must(t, err)
			if seen.State != "failed" || seen.Error.GetCode() != c.code || !strings.HasPrefix(seen.SourceUrl, o.URL) || strings.Contains(seen.SourceUrl, "?") {
				t.Errorf("shown as %v", seen)
			}
			want(t, b.do("PATCH", "/api/v1/uploads/"+up.Id, nil), http.StatusConflict, "upload_fetched")
			o.mu.Lock()
			defer o.mu.Unlock()
			if n := o.calls[strings.SplitN(c.path, "?", 2)[0]]; c.calls != 0 && n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
			if strings.Contains(b.logs.String()+f.Message, "hidden") {
				t.Errorf("a secret is told: %s %s", f.Message, b.logs)
			}
		})
	}
}

// A video that was there before waits for another source.
func TestFetchForVideo(t *testing.T) {
	b, o := startFetching(t)
	id := b.video()
	up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/404.mp4", VideoId: id})
	b.over(up.Id)
	if v := b.getVideo(id); v.State != store.VideoUploading || v.UploadID != "" || v.Title != "t" {
		t.Errorf("after a failed fetch: %+v", v)
	}
	up = b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/named", VideoId: id})
	b.over(up.Id)
	b.wantSource(id, o.film)
	if v := b.getVideo(id); v.Title != "t" {
		t.Errorf("its title is now %q", v.Title)
	}
	wrong := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/named", Sha256: strings.Repeat("0", 64)})
	if got := b.over(wrong.Id); got.State != store.UploadFailed || got.Fetch.Failure.Code != "checksum_mismatch" {
		t.Errorf("wrong sum: %+v", got)
	}
}

func TestFetchRefused(t *testing.T) {
	b, o := startFetching(t)
	taken := b.video(func(v *store.Video) { v.State = store.VideoReady })
	for name, c := range map[string]struct {
		req  *rpc.FetchUploadRequest
		code string
	}{
		"nothing":    {&rpc.FetchUploadRequest{}, "invalid_source_url"},
		"ftp":        {&rpc.FetchUploadRequest{SourceUrl: "ftp://example.org/a.mp4"}, "invalid_source_url"},
		"file":       {&rpc.FetchUploadRequest{SourceUrl: "file:///etc/passwd"}, "invalid_source_url"},
		"no host":    {&rpc.FetchUploadRequest{SourceUrl: "http:///a.mp4"}, "invalid_source_url"},
		"opaque":     {&rpc.FetchUploadRequest{SourceUrl: "http:example.org"}, "invalid_source_url"},
		"no url":     {&rpc.FetchUploadRequest{SourceUrl: "http://[::1/%"}, "invalid_source_url"},
		"user":       {&rpc.FetchUploadRequest{SourceUrl: "https://joe:hidden@example.org/a.mp4"}, "invalid_source_url"},
		"long":       {&rpc.FetchUploadRequest{SourceUrl: "https://example.org/" + strings.Repeat("a", 8192)}, "invalid_source_url"},
		"no video":   {&rpc.FetchUploadRequest{SourceUrl: o.URL, VideoId: "nope"}, "video_not_found"},
		"has one":    {&rpc.FetchUploadRequest{SourceUrl: o.URL, VideoId: taken}, "source_exists"},
		"two titles": {&rpc.FetchUploadRequest{SourceUrl: o.URL, VideoId: b.video(), Title: "x"}, "video_exists"},
		"profile":    {&rpc.FetchUploadRequest{SourceUrl: o.URL, Profile: "nope"}, "unknown_profile"},
		"sum":        {&rpc.FetchUploadRequest{SourceUrl: o.URL, Sha256: "nope"}, "invalid_sha256"},
		"title":      {&rpc.FetchUploadRequest{SourceUrl: o.URL, Title: "a\nb"}, "invalid_title"},
		"priority":   {&rpc.FetchUploadRequest{SourceUrl: o.URL, Priority: ptr[int32](101)}, "invalid_priority"},
	} {
		_, err := b.service.FetchUpload(b.ctx(), c.req)
		if reason, _ := rpc.Reason(err); reason != c.code || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	b.scope = rpc.ScopeRead
	if _, err := b.service.FetchUpload(b.ctx(), &rpc.FetchUploadRequest{SourceUrl: o.URL}); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("scope read: %v", err)
	}
	if open, _, err := b.db.Catalog().Uploads.List(t.Context(), store.Query{}); err != nil || len(open) != 0 {
		t.Errorf("left: %v, %v", open, err)
	}
}

// Nothing but the public internet is fetched from unless the node says so.
func TestFetchPrivate(t *testing.T) {
	b, o := startFetching(t, func(b *bench) { b.cfg.FetchFrom = egress.Policy{} })
	for _, address := range []string{o.URL, strings.Replace(o.URL, "127.0.0.1", "localhost", 1), strings.Replace(o.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: address + "/My.Film.mp4"})
		if got := b.over(up.Id); got.Fetch.Failure == nil || got.Fetch.Failure.Code != "source_address_refused" {
			t.Errorf("%s: %+v", address, got.Fetch.Failure)
		}
	}
	if len(o.asked) != 0 {
		t.Errorf("it was reached %d times", len(o.asked))
	}
}

// A name that leads to an allowed address and a moment later to another is
// refused then: each connection is checked as it is made.
func TestFetchRebinding(t *testing.T) {
	answers := []string{"127.0.0.1", "127.0.0.2"}
	dns := nameServer(t, func(n int) string { return answers[min(n, len(answers)-1)] })
	b, o := startFetching(t, func(b *bench) { b.cfg.FetchResolver = dns })
	port := o.URL[strings.LastIndexByte(o.URL, ':'):]
	up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: "http://rebind.example" + port + "/cut-without-range.mp4"})
	if got := b.over(up.Id); got.Fetch.Failure == nil || got.Fetch.Failure.Code != "source_address_refused" || !strings.Contains(got.Fetch.Failure.Message, "127.0.0.2") {
		t.Errorf("%+v", got.Fetch.Failure)
	}
	if o.calls["/cut-without-range.mp4"] != 1 {
		t.Errorf("%d calls", o.calls["/cut-without-range.mp4"])
	}
	gone := b.fetch(&rpc.FetchUploadRequest{SourceUrl: "http://none.example/a.mp4"})
	if got := b.over(gone.Id); got.Fetch.Failure == nil || got.Fetch.Failure.Code != "source_unreachable" || !strings.Contains(got.Fetch.Failure.Message, `no server "none.example"`) {
		t.Errorf("%+v", got.Fetch.Failure)
	}
}

// nameServer resolves rebind.example to what address says of the nth question,
// and nothing else.
func nameServer(t *testing.T, address func(n int) string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for n := 0; ; {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			q := m.Questions[0]
			switch {
			case q.Name.String() != "rebind.example.":
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address(n)).As4()},
				}}
				n++
			}
			if out, err := m.Pack(); err == nil {
				conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// Room for a file is reserved before its first byte.
func TestFetchNoSpace(t *testing.T) {
	b, o := startFetching(t, func(b *bench) { b.cfg.MinFree = 1 << 60 })
	up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/My.Film.mp4"})
	if got := b.over(up.Id); got.Fetch.Failure == nil || got.Fetch.Failure.Code != "no_space" {
		t.Errorf("%+v", got.Fetch.Failure)
	}
}

// A running fetch is listed with its progress, and DELETE ends it and takes its
// video along, over tus as over RPC.
func TestFetchCancelled(t *testing.T) {
	for name, cancel := range map[string]func(*bench, string){
		"tus": func(b *bench, id string) {
			want(b.t, b.do("DELETE", "/api/v1/uploads/"+id, nil), http.StatusNoContent, "")
		},
		"rpc": func(b *bench, id string) {
			_, err := b.service.DeleteUpload(b.ctx(), &rpc.DeleteUploadRequest{Id: id})
			must(b.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, o := startFetching(t)
			up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/stall.mp4"})
			b.arrived(up.Id)
			b.scope = rpc.ScopeOperator
			list, err := b.service.ListUploads(b.ctx(), &rpc.ListUploadsRequest{})
			must(t, err)
			if len(list.Uploads) != 1 || list.Uploads[0].SizeBytes != float64(len(o.film)) || list.Uploads[0].SourceUrl != o.URL+"/stall.mp4" {
				t.Errorf("listed as %v", list)
			}
			if r := b.head("/api/v1/uploads/" + up.Id); r.status != http.StatusConflict {
				t.Errorf("HEAD: %d", r.status)
			}
			cancel(b, up.Id)
			if _, err := b.db.Catalog().Uploads.Get(t.Context(), up.Id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the upload: %v", err)
			}
			if _, err := b.db.Catalog().Videos.Get(t.Context(), up.VideoId); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the video: %v", err)
			}
			if left := b.spool(); len(left) != 0 {
				t.Errorf("bytes are left: %v", left)
			}
		})
	}
}

// On a node that is drained the fetches that run go on, and others begin when it is
// back in service.
func TestFetchesOfADrainedNode(t *testing.T) {
	b, o := startFetching(t)
	runs := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/stall.mp4"})
	b.arrived(runs.Id)
	b.service.DrainNode(true)
	waits := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/My.Film.mp4"})
	if n := b.service.Running(); n != 1 {
		t.Errorf("%d fetches run", n)
	}
	_, err := b.service.DeleteUpload(b.ctx(), &rpc.DeleteUploadRequest{Id: runs.Id})
	must(t, err)
	for b.service.Running() > 0 {
		time.Sleep(time.Millisecond)
	}
	back := time.Now()
	b.service.DrainNode(false)
	if got := b.over(waits.Id); got.State != store.UploadComplete || got.Fetch.Begun.Before(back) {
		t.Errorf("it began at %v, the node was back at %v: %+v", got.Fetch.Begun, back, got)
	}
}

// A deleted video ends its fetch at the next round of the janitor.
func TestFetchOfDeletedVideo(t *testing.T) {
	b, o := startFetching(t)
	up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/stall.mp4"})
	b.arrived(up.Id)
	must(t, b.db.Catalog().Videos.Delete(t.Context(), up.VideoId))
	must(t, b.service.Sweep(t.Context()))
	if got := b.over(up.Id); got.State != store.UploadFailed || got.Fetch.Failure.Code != "upload_gone" || len(b.spool()) != 0 {
		t.Errorf("%+v %v", got, b.spool())
	}
}

// The node stops in the middle; the next process goes on with the bytes that are
// here, and only asks for the rest.
func TestFetchAfterRestart(t *testing.T) {
	b, o := newBench(t), newOrigin(t)
	first := make(chan struct{})
	var ranges []string
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		n := len(ranges)
		mu.Unlock()
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		if n > 1 {
			http.ServeContent(w, r, "", time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC), bytes.NewReader(o.film))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(o.film)))
		w.Write(o.film[:400_000])
		w.(http.Flusher).Flush()
		close(first)
		<-r.Context().Done()
	}))
	defer srv.Close()
	b.cfg.Now = time.Now
	b.cfg.FetchFrom = egress.Any()
	b.start()
	stop := b.fetching()
	up := b.fetch(&rpc.FetchUploadRequest{SourceUrl: srv.URL + "/a.mp4"})
	<-first
	b.arrived(up.Id)
	b.service.Close()
	stop()
	had := b.getUpload(up.Id)
	if had.State != store.UploadReceiving || had.Offset == 0 || had.SizeBytes != int64(len(o.film)) {
		t.Fatalf("after the stop: %+v", had)
	}
	b.restart()
	b.fetching()
	if got := b.over(up.Id); got.State != store.UploadComplete {
		t.Fatalf("%+v %+v", got, got.Fetch)
	}
	b.wantSource(up.VideoId, o.film)
	if mu.Lock(); len(ranges) != 2 || ranges[1] != fmt.Sprintf("bytes=%d-", had.Offset) {
		t.Errorf("asked for %q, having %d", ranges, had.Offset)
	}
	mu.Unlock()
}

// As many run at once as may; the others wait their turn.
func TestFetchesAtOnce(t *testing.T) {
	b, o := startFetching(t, func(b *bench) { b.cfg.FetchesAtOnce = 1 })
	slow := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/stall.mp4"})
	b.arrived(slow.Id)
	next := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/My.Film.mp4"})
	must(t, b.service.Sweep(t.Context()))
	if u := b.getUpload(next.Id); u.State != store.UploadReceiving || !u.Fetch.Begun.IsZero() {
		t.Errorf("the second has begun: %+v", u.Fetch)
	}
	want(t, b.do("DELETE", "/api/v1/uploads/"+slow.Id, nil), http.StatusNoContent, "")
	if got := b.over(next.Id); got.State != store.UploadComplete {
		t.Errorf("%+v %+v", got, got.Fetch)
	}
}

// One that its server asks to come back later lets others run meanwhile, and is
// deleted at once.
func TestFetchPauses(t *testing.T) {
	b, o := startFetching(t, func(b *bench) { b.cfg.FetchesAtOnce = 1 })
	late := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/in-an-hour.mp4"})
	b.until(late.Id, "it has begun", func(u store.Upload) bool { return !u.Fetch.Begun.IsZero() })
	next := b.fetch(&rpc.FetchUploadRequest{SourceUrl: o.URL + "/My.Film.mp4"})
	if got := b.over(next.Id); got.State != store.UploadComplete {
		t.Errorf("%+v %+v", got, got.Fetch)
	}
	want(t, b.do("DELETE", "/api/v1/uploads/"+late.Id, nil), http.StatusNoContent, "")
}

func ptr[T any](v T) *T { return &v }

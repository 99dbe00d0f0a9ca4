package node

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"streamgate/app/apptest"
)

// serveTest runs handler behind the node's wrapper.
func serveTest(t *testing.T, handler http.HandlerFunc) (url string, log *apptest.Log) {
	t.Helper()
	log = &apptest.Log{}
	cfg := Default()
	k := newKernel(cfg, Options{Log: NewLog(Log{Level: "debug", Format: "json"}, log, false)})
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = k.httpServer(Server{Name: "test", Handler: handler})
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, log
}

func TestAccessLogHidesTokens(t *testing.T) {
	url, log := serveTest(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") })
	for _, path := range []string{"/s/SECRET/master.m3u8", "/s/SECRET/", "/s/SECRET", "/watch/v?token=SECRET"} {
		get(t, http.DefaultClient, url+path)
	}
	get(t, http.DefaultClient, url+"/api/v1/videos")
	text := log.String()
	if strings.Contains(text, "SECRET") {
		t.Errorf("the log has the token:\n%s", text)
	}
	for _, want := range []string{`"path":"/s/-/master.m3u8"`, `"path":"/watch/v"`, `"path":"/api/v1/videos","status":200,"bytes":1`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}

func TestPanicBecomesProblem(t *testing.T) {
	url, log := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			io.WriteString(w, "begun")
		}
		panic("private detail")
	})
	status, body := get(t, http.DefaultClient, url+"/early")
	if status != http.StatusInternalServerError || strings.Contains(body, "private") || !strings.Contains(body, `"code":"internal"`) {
		t.Errorf("%d %s", status, body)
	}
	if !strings.Contains(log.String(), "private detail") || !strings.Contains(log.String(), "http_test.go") {
		t.Errorf("the log lacks the panic or its place:\n%s", log)
	}
	req := mustRequest(t, url+"/late")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("an answer cut off by a panic looked whole")
		}
	}
}

// sendfileWriter is a ResponseWriter that can send files, as net/http's.
type sendfileWriter struct {
	http.ResponseWriter
	sent bool
}

func (s *sendfileWriter) ReadFrom(r io.Reader) (int64, error) {
	s.sent = true
	return io.Copy(s.ResponseWriter, r)
}

func TestRecorderKeepsSendfile(t *testing.T) {
	k := newKernel(Default(), Options{Log: slog.New(slog.DiscardHandler)})
	w := &sendfileWriter{ResponseWriter: httptest.NewRecorder()}
	k.observe("test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "http_test.go")
	})).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
	if !w.sent {
		t.Error("the file did not pass through ReadFrom")
	}
}

func TestSocketOption(t *testing.T) {
	got := make(chan int, 1)
	var conn net.Conn
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		ctx = sendSoon(ctx, c)
		conn = c
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Error(err)
			return ctx
		}
		_ = raw.Control(func(fd uintptr) {
			n, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
			got <- n
		})
		return ctx
	}
	srv.Start()
	defer srv.Close()
	get(t, http.DefaultClient, srv.URL)
	if n := <-got; n != notSentLowat || conn == nil {
		t.Errorf("TCP_NOTSENT_LOWAT is %d", n)
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	url, _ := serveTest(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	if _, body := get(t, &http.Client{Transport: &http.Transport{Protocols: protocols}}, url); body != "HTTP/2.0" {
		t.Errorf("spoke %s", body)
	}
}

func TestPublicURL(t *testing.T) {
	for _, c := range []struct{ configured, addr, want string }{
		{"https://video.example.org/", "127.0.0.1:8080", "https://video.example.org"},
		{"", "127.0.0.1:8081", "http://127.0.0.1:8081"},
		{"", "[::]:80", "http://localhost:80"},
		{"", "[::1]:80", "http://[::1]:80"},
		{"", "", "http://127.0.0.1:8080"},
	} {
		k := newKernel(Default(), Options{})
		k.Config.APIGateway.PublicURL = c.configured
		k.state.setAddr(publicServer, c.addr)
		if got := k.PublicURL(); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

// TestUnder: with a path in public_url it does not matter whether the proxy
// takes it off.
func TestUnder(t *testing.T) {
	for _, c := range []struct{ publicURL, ask, want string }{
		{"https://example.org/tv/", "/tv/watch/x?t=1", "/watch/x?t=1"},
		{"https://example.org/tv/", "/watch/x?t=1", "/watch/x?t=1"},
		{"https://example.org/a/b", "/a/b/", "/"},
		{"https://example.org/a/b", "/a/c", "/a/c"},
		{"https://example.org/tv", "/tvs/x", "/tvs/x"},
		{"https://example.org", "/tv/x", "/tv/x"},
		{"", "/tv/x", "/tv/x"},
	} {
		gateway := APIGateway{PublicURL: c.publicURL}
		var got string
		h := under(gateway.root(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.String() }))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, c.ask, nil))
		if got != c.want {
			t.Errorf("%s: %s is served as %q, want %q", c.publicURL, c.ask, got, c.want)
		}
	}
	w := httptest.NewRecorder()
	under("/tv", http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/tv", nil))
	if w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != "/tv/" {
		t.Errorf("the path alone answers %d, %v", w.Code, w.Header())
	}
}

func TestListenErrors(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.7:0": "no address of this machine", // TEST-NET-3, RFC 5737
		"127.0.0.1:x":   "listen on",
	} {
		ln, err := listen(t.Context(), "api_gateway.host", addr)
		if err == nil {
			ln.Close()
		}
		if err == nil || !containsAll(err.Error(), []string{"api_gateway.host", addr, want}) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestLogFormats(t *testing.T) {
	for _, c := range []struct {
		format   string
		terminal bool
		json     bool
	}{{"auto", true, false}, {"auto", false, true}, {"text", false, false}, {"json", true, true}} {
		var out bytes.Buffer
		log := NewLog(Log{Level: "warn", Format: c.format}, &out, c.terminal)
		log.Info("quiet")
		log.Warn("loud", "took", time.Second)
		if strings.Contains(out.String(), "quiet") || strings.HasPrefix(out.String(), "{") != c.json {
			t.Errorf("%+v: %s", c, out.String())
		}
	}
}

// An address that is in use for a moment, by what a killed node leaves, is
// waited for.
func TestListenWaits(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(3*listenEvery, func() { taken.Close() })
	ln, err := listen(t.Context(), "api_gateway.host", taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

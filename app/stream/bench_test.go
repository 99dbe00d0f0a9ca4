package stream_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"streamgate/app/stream"
	"streamgate/store"
)

// sink is a ResponseWriter that costs nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header               { return s.header }
func (*sink) Write(p []byte) (int, error)         { return len(p), nil }
func (*sink) WriteHeader(int)                     {}
func (*sink) ReadFrom(r io.Reader) (int64, error) { return r.(*io.LimitedReader).N, nil }

// BenchmarkHandler measures the way from ServeHTTP to the bytes, without the
// HTTP server and without sending them.
func BenchmarkHandler(b *testing.B) {
	s := newBench(b)
	s.addFilm("pub", true)
	s.put(store.CellKey("pub", "720p", 0), strings.Repeat("x", 1<<20))
	for _, path := range []string{"/s/ok-pub/720p/0.m4s", "/s/ok-pub/720p/index.m3u8", "/s/ok-pub/720p/init.mp4"} {
		b.Run(path, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			w := &sink{header: http.Header{}}
			for b.Loop() {
				clear(w.header)
				s.handler.ServeHTTP(w, r)
			}
			b.ReportAllocs()
		})
	}
}

// BenchmarkServer measures whole requests over a loopback connection.
func BenchmarkServer(b *testing.B) {
	s := newBench(b)
	s.addFilm("pub", true)
	s.put(store.CellKey("pub", "720p", 0), strings.Repeat("x", 1<<20))
	for _, path := range []string{"/s/ok-pub/720p/0.m4s", "/s/ok-pub/720p/index.m3u8"} {
		b.Run(path, func(b *testing.B) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			must(b, err)
			defer conn.Close()
			request := []byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
			n := int64(len(s.get(path).body))
			b.SetBytes(n)
			buf := make([]byte, 256<<10)
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				must(b, readResponse(conn, buf, n))
			}
			b.ReportAllocs()
		})
	}
}

// readResponse reads a header and n body bytes.
func readResponse(conn net.Conn, buf []byte, n int64) error {
	var read int64
	header := -1
	for {
		k, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if header < 0 {
			header = strings.Index(string(buf[:min(k, 4096)]), "\r\n\r\n") + 4
		}
		if read += int64(k); read >= n+int64(header) {
			return nil
		}
	}
}

var _ stream.Verifier = tickets{}

package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
)

// countedListener counts the writes to its connections.
type countedListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countedConn{c, l.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// failing is a source that breaks at its end.
type failing struct{ io.Reader }

var errSource = errors.New("the disk is gone")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errSource
	}
	return n, err
}

// TestBulk: bodies of any size arrive as they are, in few writes; one whose source
// breaks does not look whole.
func TestBulk(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef\n"), 64<<10)
	var writes atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		var src io.Reader = bytes.NewReader(body[:n])
		if r.FormValue("breaks") != "" {
			src = failing{src}
		}
		if _, err := io.Copy(Sending(w, r), struct{ io.Reader }{src}); err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	srv.Listener = Bulk(countedListener{srv.Listener, &writes})
	srv.Config.ConnContext = BulkContext
	srv.StartTLS()
	t.Cleanup(srv.Close)
	cfg := srv.Client().Transport.(*http.Transport).TLSClientConfig
	client := &http.Client{Transport: &http.Transport{DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		own := cfg.Clone()
		own.ServerName, own.NextProtos = "example.com", []string{"http/1.1"}
		return dialTLS(ctx, network, addr, own, true)
	}}}
	for _, n := range []int{0, 1, 16 << 10, bulkPiece - 1, bulkPiece, bulkPiece + 1, len(body)} {
		for _, breaks := range []string{"", "yes"} {
			before := writes.Load()
			resp, err := client.Get(fmt.Sprintf("%s/?n=%d&breaks=%s", srv.URL, n, breaks))
			if err != nil {
				if breaks == "" {
					t.Errorf("%d: %v", n, err)
				}
				continue
			}
			got, err := io.ReadAll(whole{resp.Body})
			resp.Body.Close()
			if (err != nil) != (breaks != "") || breaks == "" && !bytes.Equal(got, body[:n]) {
				t.Errorf("%d bytes, breaks %q: got %d, %v", n, breaks, len(got), err)
			}
			if most := int64(n/bulkPiece + 5); breaks == "" && writes.Load()-before > most {
				t.Errorf("%d bytes took %d writes, want %d at most", n, writes.Load()-before, most)
			}
		}
	}
	if _, ok := Sending(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)).(*bulkWriter); ok {
		t.Error("an answer by another connection is sent by one of Bulk")
	}
	if ctx := BulkContext(t.Context(), &tls.Conn{}); ctx != t.Context() {
		t.Error("a connection that is none of Bulk counts as one")
	}
}

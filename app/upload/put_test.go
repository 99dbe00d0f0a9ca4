package upload_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"streamgate/store"
)

func sourceURL(id string) string { return "/api/v1/videos/" + id + "/source" }

func digestOf(p []byte) string {
	sum := sha256.Sum256(p)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func TestPut(t *testing.T) {
	data := random(700000)
	for name, body := range map[string]io.Reader{
		"known length": bytes.NewReader(data), "chunked": io.MultiReader(bytes.NewReader(data)),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			id := b.video()
			r := b.do("PUT", sourceURL(id), body, "Content-Digest", digestOf(data))
			want(t, r, http.StatusAccepted, "")
			var out struct {
				VideoID   string  `json:"video_id"`
				TaskID    string  `json:"task_id"`
				SHA256    string  `json:"sha256"`
				SizeBytes float64 `json:"size_bytes"`
			}
			must(t, json.Unmarshal([]byte(r.body), &out))
			if out.VideoID != id || out.TaskID == "" || out.SHA256 != hexSum(data) || out.SizeBytes != 700000 ||
				r.header.Get("Location") != b.server.URL+"/api/v1/tasks/"+out.TaskID {
				t.Errorf("got %+v at %q", out, r.header.Get("Location"))
			}
			b.wantSource(id, data)
			want(t, b.do("PUT", sourceURL(id), strings.NewReader("x")), http.StatusConflict, "source_exists")
		})
	}
}

// A refusal that needs no byte comes before the client sends one.
func TestPutRefusedBeforeBody(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxSize = 10
	b.start()
	for _, c := range []struct {
		name, id string
		size     int
		status   int
		code     string
		headers  []string
	}{
		{"no such video", "nope", 5, 404, "video_not_found", nil},
		{"too large", b.video(), 11, 413, "too_large", nil},
		{"has a source", b.video(func(v *store.Video) { v.State = store.VideoFailed }), 5, 409, "source_exists", nil},
		{"piece", b.video(), 5, 400, "range_unsupported", []string{"Content-Range", "bytes 0-4/9"}},
		{"coding", b.video(), 5, 415, "coding_unsupported", []string{"Content-Encoding", "gzip"}},
		{"digest", b.video(), 5, 400, "invalid_digest", []string{"Content-Digest", "sha-256=abc"}},
		{"other digest", b.video(), 5, 400, "digest_unsupported", []string{"Repr-Digest", "sha-512=:YQ==:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := &counter{r: bytes.NewReader(make([]byte, c.size))}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, b.server.URL+sourceURL(c.id), body)
			must(t, err)
			req.ContentLength = int64(c.size)
			req.Header.Set("Expect", "100-continue")
			for i := 0; i < len(c.headers); i += 2 {
				req.Header.Set(c.headers[i], c.headers[i+1])
			}
			tr := &http.Transport{ExpectContinueTimeout: 10 * time.Second}
			defer tr.CloseIdleConnections()
			resp, err := tr.RoundTrip(req)
			must(t, err)
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || !strings.Contains(string(text), `"`+c.code+`"`) || body.n != 0 {
				t.Errorf("got %d %s after %d bytes", resp.StatusCode, text, body.n)
			}
		})
	}
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestPutRefusedAfterBody(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxSize = 1000
	b.start()
	id := b.video(func(v *store.Video) { v.WantSHA256 = hexSum([]byte("right")) })
	long := io.MultiReader(bytes.NewReader(make([]byte, 1001)))
	want(t, b.do("PUT", sourceURL(id), long), http.StatusRequestEntityTooLarge, "too_large")
	want(t, b.do("PUT", sourceURL(id), strings.NewReader("wrong")), http.StatusUnprocessableEntity, "checksum_mismatch")
	want(t, b.do("PUT", sourceURL(id), strings.NewReader("right"), "Content-Digest", digestOf([]byte("wrong"))),
		http.StatusUnprocessableEntity, "checksum_mismatch")
	if left := b.spool(); len(left) != 0 {
		t.Errorf("refusals left %v", left)
	}
	want(t, b.do("PUT", sourceURL(id), strings.NewReader("right")), http.StatusAccepted, "")
	b.wantSource(id, []byte("right"))
}

func TestBrokenPutLeavesNothing(t *testing.T) {
	b := newBench(t).start()
	id := b.video()
	body := newStall("some bytes")
	ended := make(chan error, 1)
	go func() {
		_, err := b.try(t.Context(), "PUT", sourceURL(id), body)
		ended <- err
	}()
	b.arrived("")
	if len(b.spool()) != 1 && !b.cfg.Shared {
		t.Errorf("files while receiving: %v", b.spool())
	}
	body.end() // the transport cuts the connection
	if err := <-ended; err == nil {
		t.Error("a broken body was answered well")
	}
	b.server.Close() // returns once the request has ended
	b.server = nil
	if left := b.spool(); len(left) != 0 {
		t.Errorf("bytes are left: %v", left)
	}
	if v := b.getVideo(id); v.State != store.VideoUploading {
		t.Errorf("video is %+v", v)
	}
}

// A body that is no HTTP is the client's mistake, not the node's.
func TestGarbledPut(t *testing.T) {
	b := newBench(t).start()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.server.URL, "http://"))
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", sourceURL(b.video()))
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte(`"body_incomplete"`)) {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	if left := b.spool(); len(left) != 0 {
		t.Errorf("bytes are left: %v", left)
	}
}

func TestSilentPutTimesOut(t *testing.T) {
	b := newBench(t)
	b.cfg.IdleTimeout = 50 * time.Millisecond
	b.start()
	body := newStall("some bytes")
	defer body.end()
	want(t, b.do("PUT", sourceURL(b.video()), body), http.StatusRequestTimeout, "timeout")
	if left := b.spool(); len(left) != 0 {
		t.Errorf("bytes are left: %v", left)
	}
}

func TestCloseEndsPut(t *testing.T) {
	b := newBench(t).start()
	body := newStall("some bytes")
	defer body.end()
	ended := make(chan reply, 1)
	id := b.video()
	go func() {
		r, _ := b.try(t.Context(), "PUT", sourceURL(id), body)
		ended <- r
	}()
	b.arrived("")
	b.service.Close()
	want(t, <-ended, http.StatusServiceUnavailable, "stopping")
}

package upload_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"testing"
	"time"

	"streamgate/store"
)

// While a node is busy with an upload whose bytes are all there, nothing that is
// asked of it, and no time that a body may take, ends the connection that they came
// by: its next request is served.
func TestConnectionOutlivesItsUpload(t *testing.T) {
	data := random(3000)
	chunk := []string{"Content-Type", "application/offset+octet-stream"}
	put := func(b *bench) reply { return b.do("PUT", sourceURL(b.video()), bytes.NewReader(data)) }
	ways := map[string]func(*bench) reply{
		"PUT": put,
		"chunked PUT": func(b *bench) reply {
			return b.do("PUT", sourceURL(b.video()), struct{ *bytes.Reader }{bytes.NewReader(data)})
		},
		"PATCH": func(b *bench) reply { return b.patch(b.create(len(data), meta("title", "t")), 0, data) },
		"POST with all bytes": func(b *bench) reply {
			return b.do("POST", "/api/v1/uploads", bytes.NewReader(data), append(chunk,
				"Upload-Metadata", meta("title", "t"), "Upload-Length", strconv.Itoa(len(data)))...)
		},
		"POST of a final upload": func(b *bench) reply {
			part := b.create(len(data), "", "Upload-Concat", "partial")
			want(b.t, b.patch(part, 0, data), http.StatusNoContent, "")
			return b.do("POST", "/api/v1/uploads", nil, "Upload-Metadata", meta("title", "t"), "Upload-Concat", "final;"+part)
		},
	}
	const idle = 100 * time.Millisecond
	happens := map[string]func(*bench){
		"another request wants the upload": func(b *bench) {
			gone, cancel := context.WithCancel(b.t.Context())
			cancel() // it does not wait
			for open, err := range store.All(b.t.Context(), b.cfg.Catalog.Uploads, store.Query{State: string(store.UploadReceiving)}) {
				must(b.t, err)
				if _, err := b.service.Hold(gone, open.ID); err == nil && !open.Partial {
					b.t.Error("nobody had the upload's lock")
				}
			}
		},
		"it takes longer than a read may": func(*bench) { <-time.After(2 * idle) },
	}
	for what, happen := range happens {
		for way, send := range ways {
			t.Run(what+", "+way, func(t *testing.T) {
				b := newBench(t)
				b.cfg.IdleTimeout = idle
				b.start()
				b.tasks.before = sync.OnceFunc(func() { happen(b) })
				if r := send(b); r.status/100 != 2 {
					t.Fatalf("got %d %s", r.status, r.body)
				}
				old := false
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { old = c.Reused }})
				r, err := b.try(ctx, "PUT", sourceURL(b.video()), bytes.NewReader(data))
				must(t, err)
				want(t, r, http.StatusAccepted, "")
				if !old {
					t.Error("the connection was not kept")
				}
			})
		}
	}
}

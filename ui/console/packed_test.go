package console

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"streamgate/app/console"
)

// TestPacked: a page comes compressed to who takes that, and is the same.
func TestPacked(t *testing.T) {
	s := newSite(t)
	ask := func(encoding string) (page, as string) {
		w := s.send(http.MethodGet, "/console/queue", nil, s.cookies[console.Operator], http.Header{"Accept-Encoding": {encoding}})
		if w.Code != http.StatusOK || w.Header().Get("Vary") != "Accept-Encoding" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Fatalf("status %d, %v", w.Code, w.Header())
		}
		body := io.Reader(w.Body)
		if as = w.Header().Get("Content-Encoding"); as == "gzip" {
			zip, err := gzip.NewReader(body)
			if err != nil {
				t.Fatal(err)
			}
			body = zip
		}
		data, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(data), as
	}
	plain, as := ask("")
	if as != "" || !strings.Contains(plain, "</html>") {
		t.Errorf("plain: encoding %q, %d bytes", as, len(plain))
	}
	for range 2 { // the second with the writer of the first
		if packed, as := ask("br, gzip"); as != "gzip" || packed != plain {
			t.Errorf("packed: encoding %q, %d of %d bytes", as, len(packed), len(plain))
		}
	}
	if _, as := ask("gzip;q=0"); as != "" {
		t.Errorf("who refuses gzip gets %q", as)
	}
}

package stream

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"streamgate/app/media"
)

// document is a small file made once and kept ready to send.
type document struct {
	contentType []string
	whole       form
	gzipped     form // no body if it is not worth it
}

// form is one encoding of a document, with its header values.
type form struct {
	body         []byte
	etag, length []string
}

func newForm(body []byte, etag string) form {
	return form{body, []string{etag}, []string{strconv.Itoa(len(body))}}
}

// newDocument keeps body, which nobody may change any more.
func newDocument(body []byte, contentType []string, compress bool) *document {
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:12])
	d := &document{contentType: contentType, whole: newForm(body, `"`+tag+`"`)}
	if !compress {
		return d
	}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	zw.Write(body) //nolint:errcheck // a bytes.Buffer takes everything
	zw.Close()     //nolint:errcheck // likewise
	if buf.Len() < len(body) {
		d.gzipped = newForm(buf.Bytes(), `"`+tag+`-gz"`)
	}
	return d
}

// documents are made when first asked for, each once.
type documents struct {
	mu       sync.RWMutex
	made     map[string]*document
	measured media.Rates // nil until a document needs them
}

func newDocuments() *documents { return &documents{made: map[string]*document{}} }

// get returns the document of a name, making it if need be. Who asks for any
// of the same documents meanwhile waits: it takes milliseconds.
func (ds *documents) get(name string, make func() (*document, error)) (*document, error) {
	ds.mu.RLock()
	d := ds.made[name]
	ds.mu.RUnlock()
	if d != nil {
		return d, nil
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d := ds.made[name]; d != nil {
		return d, nil
	}
	d, err := make()
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	ds.made[name] = d
	return d, nil
}

// sendDocument answers with a document. A range is of the uncompressed form.
func (s *Service) sendDocument(a *answer, r *http.Request, d *document, cacheControl []string) {
	h := a.Header()
	h["Content-Type"] = d.contentType
	h["Cache-Control"] = cacheControl
	h["Accept-Ranges"] = s.headers.ranges
	f := &d.whole
	if d.gzipped.body != nil {
		h["Vary"] = s.headers.varyEncoding
		if acceptsGzip(r.Header) && len(r.Header["Range"]) == 0 {
			f = &d.gzipped
			h["Content-Encoding"] = s.headers.gzip
		}
	}
	h["Etag"] = f.etag
	if !plain(r.Header) {
		if f == &d.gzipped {
			h["Content-Length"] = f.length // ServeContent leaves it out of encoded answers
		}
		http.ServeContent(a, r, "", time.Time{}, bytes.NewReader(f.body))
		return
	}
	h["Content-Length"] = f.length
	a.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		a.Write(f.body) //nolint:errcheck // the client may have gone
	}
}

package console

import (
	"compress/gzip"
	"net/http"

	"streamgate/assets"
)

// packedWriter is an answer that is compressed on its way.
type packedWriter struct {
	http.ResponseWriter
	zip  *gzip.Writer
	used bool
}

// Write implements http.ResponseWriter.
func (p *packedWriter) Write(data []byte) (int, error) {
	p.used = true
	return p.zip.Write(data)
}

// packed returns where a page is written to, compressed if the browser takes
// that: tables repeat themselves. done must be called after the last byte.
func (v *visit) packed() (w http.ResponseWriter, done func()) {
	v.w.Header().Set("Vary", "Accept-Encoding")
	if !assets.AcceptsGzip(v.r.Header) || v.r.Method == http.MethodHead {
		return v.w, func() {}
	}
	v.w.Header().Set("Content-Encoding", "gzip")
	zip, ok := v.zips.Get().(*gzip.Writer)
	if !ok {
		zip, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one that there is
	}
	zip.Reset(v.w)
	p := &packedWriter{ResponseWriter: v.w, zip: zip}
	return p, func() {
		if p.used { // else it would still write a head and an end
			_ = zip.Close() // the browser has gone
		}
		v.zips.Put(zip)
	}
}

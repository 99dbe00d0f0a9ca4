// Package assets holds what a page loads besides itself: our own scripts and
// styles (src) and third-party ones (dist, packed from npm at build time by
// "make assets", pinned by package-lock.json).
//
// # Usage
//
//	set, err := assets.Load()
//	mux.Handle("GET "+assets.Prefix, set)
//	set.Path("watch.js") // for a page: /assets/watch.1f0c….js
//
// A site that lies under a path (https://example.org/videos) sets Root.
//
// # Guarantees
//
// Every file is served under a name that carries a hash of its bytes, so that
// browsers may keep it for ever.
//
// # Testing
//
// Every file is asked for by its name, whole and packed; the sources are
// searched for what the pages' policy forbids; what needs no page runs in
// Node.js (testdata/*.test.js). In a real browser, by the end-to-end tests of
// cmd/streamgate/e2e.
package assets

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed src/* dist/*.gz
var files embed.FS

// Prefix is the path under which a Set is mounted.
const Prefix = "/assets/"

// Set is the embedded files by logical name ("watch.js") and by the path they
// are served at.
type Set struct {
	// Root is the path under which browsers see the site, without a trailing
	// slash: "/videos", or "" if it has its host to itself. Every link of a page
	// begins with it; the server's own patterns do not.
	Root string

	paths map[string]string // logical name → URL path
	files map[string]file   // URL path → file
}

type file struct {
	mime   string
	plain  func() []byte
	packed func() []byte // gzip
}

// Load hashes the embedded files.
func Load() (*Set, error) {
	s := &Set{paths: map[string]string{}, files: map[string]file{}}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		base := strings.TrimSuffix(path.Base(name), packedExt)
		ext := path.Ext(base)
		kind, ok := mimeType(ext)
		if !ok {
			return fmt.Errorf("asset %s is of no known type", name)
		}
		sum := sha256.Sum256(body)
		url := Prefix + strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		if _, taken := s.paths[base]; taken {
			return fmt.Errorf("two assets are named %s", base)
		}
		s.paths[base] = url
		s.files[url] = newFile(kind, body, base != path.Base(name))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load assets: %w", err)
	}
	return s, nil
}

// packedExt marks the files that are embedded packed.
const packedExt = ".gz"

// newFile takes a file as it is embedded. What is embedded packed is unpacked
// for the few who ask for it so; our own files are small and are packed at the
// first request.
func newFile(mime string, body []byte, packed bool) file {
	asIs := func() []byte { return body }
	if packed {
		return file{mime, func() []byte { return unpack(body) }, asIs}
	}
	return file{mime, asIs, sync.OnceValue(func() []byte { return pack(body) })}
}

// mimeType does not ask the machine's table: browsers run no script of a type
// that some mime.types made up.
func mimeType(ext string) (kind string, ok bool) {
	switch ext {
	case ".js":
		return "text/javascript; charset=utf-8", true
	case ".css":
		return "text/css; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	}
	return "", false
}

// Path returns the path by which a page refers to a logical name. An unknown name is a mistake in
// a page, shown by its test: the path then leads nowhere.
func (s *Set) Path(name string) string {
	if p, ok := s.paths[name]; ok {
		return s.Root + p
	}
	return s.Root + Prefix + "missing/" + name
}

// ServeHTTP serves the files under their hashed names, to be kept for ever.
func (s *Set) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := s.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	read := f.plain
	if AcceptsGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
		read = f.packed
	}
	body := read()
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// AcceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3): gzip is taken if it is
// named with a weight other than zero.
func AcceptsGzip(h http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, weighted := strings.CutPrefix(strings.TrimSpace(params), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !weighted || err != nil || weight > 0
	}
	return false
}

// unpack returns nothing of a file that is not whole, which its test shows.
func unpack(packed []byte) []byte {
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(zip)
	if err != nil {
		return nil
	}
	return body
}

func pack(body []byte) []byte {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	zip.Write(body) //nolint:errcheck // a bytes.Buffer takes everything
	zip.Close()     //nolint:errcheck // likewise
	return buf.Bytes()
}

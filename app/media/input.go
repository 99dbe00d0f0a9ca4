package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"streamgate/store"
)

// isURL tells whether a source is not a file but a URL on loopback.
func isURL(source string) bool { return strings.HasPrefix(source, "http://127.0.0.1:") }

// whitelists bound what a run that reads a source may open: of a URL that and
// nothing else, and in either case with no demuxer that opens what a file names.
func whitelists(source string) []string {
	protocols := "file,pipe"
	if isURL(source) {
		protocols = "http,tcp"
	}
	return []string{"-protocol_whitelist", protocols, "-format_whitelist", Formats}
}

// inputName is the source as ffmpeg is told it.
func inputName(source string) string {
	if isURL(source) {
		return source
	}
	return "file:" + source
}

// inputArgs are the first options of every run that reads a source before there is a
// plan of it; "-i" and its inputName follow.
func inputArgs(source string) []string { return append([]string{"-v", "error"}, whitelists(source)...) }

// inputOf are the options of a run that opens the source of a plan; a URL with the
// demuxer that the plan was made with.
func inputOf(source string, p *store.Plan) []string {
	args := whitelists(source)
	if isURL(source) {
		args = append(args, "-f", p.Source.Format)
	}
	return append(args, "-i", inputName(source))
}

// portOf is the port of a URL on loopback, 0 if it has none.
func portOf(source string) uint16 {
	u, err := url.Parse(source)
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// sourceFile is a source that is open: a file, or what a URL answers by range.
type sourceFile interface {
	io.ReaderAt
	io.Closer
}

// openSource opens a source, of size bytes, to be read for as long as ctx lasts.
func openSource(ctx context.Context, source string) (f sourceFile, size int64, err error) {
	if !isURL(source) {
		f, err := os.Open(source)
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		if err != nil {
			return nil, 0, errors.Join(err, f.Close())
		}
		return f, info.Size(), nil
	}
	r := &remoteFile{ctx: ctx, url: source, transport: &http.Transport{MaxIdleConnsPerHost: keyScanners, DisableCompression: true}}
	res, err := r.ask(http.MethodHead, "")
	if err != nil {
		return nil, 0, errors.Join(err, r.Close())
	}
	r.size = res.ContentLength
	return r, r.size, errors.Join(res.Body.Close(), ctx.Err())
}

// remoteFile is a source at a URL. Each reading is a request: the other end, on this
// machine, keeps what it reads.
type remoteFile struct {
	ctx       context.Context //nolint:containedctx // a reader has no other
	url       string
	size      int64 // bytes
	transport *http.Transport
}

// ask makes a request, for a range of bytes unless that is "".
func (r *remoteFile) ask(method, span string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(r.ctx, method, r.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	want := http.StatusOK
	if span != "" {
		req.Header.Set("Range", "bytes="+span)
		want = http.StatusPartialContent
	}
	res, err := r.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != want {
		return nil, errors.Join(fmt.Errorf("the address of the source answers %s", res.Status), res.Body.Close())
	}
	return res, nil
}

// ReadAt implements io.ReaderAt.
func (r *remoteFile) ReadAt(p []byte, at int64) (int, error) {
	n := min(int64(len(p)), r.size-at)
	if n <= 0 {
		return 0, io.EOF
	}
	res, err := r.ask(http.MethodGet, fmt.Sprintf("%d-%d", at, at+n-1))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	got, err := io.ReadFull(res.Body, p[:n])
	if err == nil && n < int64(len(p)) {
		err = io.EOF
	}
	return got, err
}

// Close implements io.Closer.
func (r *remoteFile) Close() error {
	r.transport.CloseIdleConnections()
	return nil
}

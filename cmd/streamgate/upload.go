package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// errUploadGone: the node no longer has the upload (it expired).
var errUploadGone = errors.New("the upload has expired")

const (
	// pieceBytes is the size of one PATCH. The node answers when its bytes are
	// on disk: larger costs more when the connection breaks.
	pieceBytes = 16 << 20
	// uploadsPath is where uploads are, whatever address a proxy gives them.
	uploadsPath = "/api/v1/uploads/"
)

// upload sends a file to a tus 1.0.0 upload.
type upload struct {
	http  *http.Client
	url   string
	file  io.ReaderAt
	size  int64
	moved func(sent int64) // told as bytes leave
	// declare says to the node that size is the whole, if it does not know yet.
	declare  bool
	deferred bool // it does not know yet
}

// newUpload makes the sender for an upload URL as the API gave it. The URL
// may name the node's public address; the bytes go through the socket.
func newUpload(h *http.Client, given string, file io.ReaderAt, size int64) (*upload, error) {
	u, err := url.Parse(given)
	if err != nil {
		return nil, fmt.Errorf("upload URL %q: %w", given, err)
	}
	i := strings.LastIndex(u.Path, uploadsPath)
	if i < 0 {
		return nil, fmt.Errorf("the video has no upload of its own (%q); delete it and push again", given)
	}
	return &upload{http: h, url: socketURL + u.Path[i:], file: file, size: size, moved: func(int64) {}}, nil
}

// run sends what is missing. A broken connection, a restarting node and a
// lock that is still held are waited for; the node's offset counts, not ours.
func (u *upload) run(ctx context.Context) error {
	retry := newBackoff()
	last := int64(-1)
	for {
		offset, err := u.offset(ctx)
		for err == nil && offset < u.size {
			if offset > last {
				last, retry = offset, newBackoff()
			}
			u.moved(offset)
			offset, err = u.patch(ctx, offset)
		}
		if err == nil {
			u.moved(u.size)
			return nil
		}
		if !worthRetrying(err) {
			return err
		}
		if err := retry.wait(ctx, err); err != nil {
			return err
		}
	}
}

// offset asks how much the node has.
func (u *upload) offset(ctx context.Context) (int64, error) {
	answer, err := u.do(ctx, http.MethodHead, nil, 0, nil)
	if err != nil {
		return 0, err
	}
	u.deferred = answer.Get("Upload-Defer-Length") == "1"
	return offsetOf(answer, u.size)
}

// patch sends one piece and returns the new offset.
func (u *upload) patch(ctx context.Context, offset int64) (int64, error) {
	n := min(pieceBytes, u.size-offset)
	body := &counted{Reader: io.NewSectionReader(u.file, offset, n), from: offset, moved: u.moved}
	header := http.Header{
		"Content-Type":  {"application/offset+octet-stream"},
		"Upload-Offset": {strconv.FormatInt(offset, 10)},
	}
	if u.declare && u.deferred {
		header.Set("Upload-Length", strconv.FormatInt(u.size, 10))
	}
	answer, err := u.do(ctx, http.MethodPatch, body, n, header)
	if err != nil {
		return offset, err
	}
	u.deferred = u.deferred && !u.declare
	next, err := offsetOf(answer, u.size)
	if err == nil && next <= offset {
		err = fmt.Errorf("the node did not move on from offset %d", offset)
	}
	return next, err
}

// do makes one request and returns the headers of its success.
func (u *upload) do(ctx context.Context, method string, body io.Reader, n int64, header http.Header) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.url, body)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	req.ContentLength = n
	req.Header.Set("Tus-Resumable", "1.0.0")
	resp, err := u.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, newStatusError(resp)
	}
	return resp.Header, nil
}

func offsetOf(answer http.Header, size int64) (int64, error) {
	offset, err := strconv.ParseInt(answer.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || offset > size {
		return 0, fmt.Errorf("the node answered with offset %q of %d bytes", answer.Get("Upload-Offset"), size)
	}
	return offset, nil
}

// counted tells as its bytes are read.
type counted struct {
	io.Reader
	from  int64
	moved func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.from += int64(n)
	c.moved(c.from)
	return n, err
}

// statusError is an HTTP answer that is not a success.
type statusError struct {
	status int
	detail string
	code   string // stable word
}

func newStatusError(resp *http.Response) *statusError {
	var problem struct {
		Detail string `json:"detail"`
		Code   string `json:"code"`
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		problem.Detail = fmt.Sprintf("the node answered %s", resp.Status)
	}
	return &statusError{resp.StatusCode, problem.Detail, cmp.Or(problem.Code, "failed")}
}

func (e *statusError) Error() string { return e.detail }

func (e *statusError) Is(target error) bool {
	return target == errUploadGone && (e.status == http.StatusNotFound || e.status == http.StatusGone)
}

// worthRetrying tells what may pass by itself: no answer at all, a wrong
// offset, a lock, too many requests, and the node's own trouble, except a
// full disk.
func worthRetrying(err error) bool {
	var status *statusError
	if !errors.As(err, &status) {
		return !errors.Is(err, context.Canceled)
	}
	switch status.status {
	case http.StatusConflict, http.StatusLocked, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	case http.StatusInsufficientStorage:
		return false
	}
	return status.status >= http.StatusInternalServerError
}

const (
	firstDelay = 100 * time.Millisecond
	longDelay  = 5 * time.Second
	// patience is how long nothing may move before push gives up.
	patience = 2 * time.Minute
)

// backoff waits longer each time, until patience is at its end.
type backoff struct {
	delay time.Duration
	spent time.Duration
}

func newBackoff() *backoff { return &backoff{delay: firstDelay} }

// wait returns nil after the next delay, or cause when it is time to give up.
func (b *backoff) wait(ctx context.Context, cause error) error {
	if b.spent += b.delay; b.spent > patience {
		return cause
	}
	delay := b.delay
	b.delay = min(2*b.delay, longDelay)
	return pause(ctx, delay)
}

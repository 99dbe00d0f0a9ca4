package fetch

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Answer is a source on its way. Read it from the byte From on.
type Answer struct {
	From      int64
	Size      int64  // of the whole file; -1 if the server does not say
	Validator string // for a later Want; "" if these bytes cannot be known again
	Name      string // the file's; "" if neither answer nor address tell
	body      io.ReadCloser
	in        *bufio.Reader
	watch     *watch
}

// sniffBytes is what tells of an answer what it is.
const sniffBytes = 512

// read makes sure that an answer is a file, and the part of it that was asked for.
func read(resp *http.Response, want Want, w *watch) (*Answer, error) {
	a := &Answer{Size: resp.ContentLength, Validator: validator(resp.Header), Name: name(resp), body: resp.Body, watch: w}
	if err := a.place(resp, want); err != nil {
		return nil, err
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fault(CodeCoding, "The server sends the file with the Content-Encoding %q, which is not undone; give an address without.", coding)
	}
	a.in = bufio.NewReaderSize(a.body, sniffBytes)
	if a.From > 0 {
		return a, nil
	}
	head, err := a.in.Peek(sniffBytes)
	switch {
	case len(head) == 0 && errors.Is(err, io.EOF):
		return nil, fault(CodeEmpty, "The file at that address is empty.")
	case len(head) == 0:
		return nil, interrupted(err)
	}
	return a, sniff(resp.Header.Get("Content-Type"), head)
}

// place finds out where in the file the answer begins, and how long that is.
func (a *Answer) place(resp *http.Response, want Want) error {
	asked := resp.Request.Header.Get("Range") != ""
	switch {
	case resp.StatusCode == http.StatusOK:
		return nil
	case resp.StatusCode == http.StatusPartialContent && asked:
		from, size, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || from != want.From {
			return startOver("The server answered another part of the file than was asked for.")
		}
		a.From, a.Size = from, size
		return nil
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && asked:
		return startOver("The file became shorter while it was fetched.")
	}
	return statusError(resp)
}

// startOver is the error after which the next try begins at 0.
func startOver(sentence string) error {
	return &Error{Code: CodeInterrupted, Message: sentence, Passing: true, Over: true}
}

// statusError refuses any other answer; some may be better in a while.
func statusError(resp *http.Response) error {
	e := fault(CodeStatus, "The server answered %d %s.", resp.StatusCode, http.StatusText(resp.StatusCode))
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		e.Message = strings.TrimSuffix(e.Message, ".") + ": it wants a login; give an address that needs none, such as a signed URL."
	case code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests || code >= 500:
		e.Passing = true
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.After = time.Duration(min(seconds, 3600)) * time.Second
		}
	}
	return e
}

// contentRange reads "bytes 5-9/10" (RFC 9110 §14.4); size is -1 for "*".
func contentRange(text string) (from, size int64, ok bool) {
	text, bytes := strings.CutPrefix(text, "bytes ")
	span, total, cut := strings.Cut(text, "/")
	first, _, dash := strings.Cut(span, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if !bytes || !cut || !dash || err != nil || from < 0 {
		return 0, 0, false
	}
	if total == "*" {
		return from, -1, true
	}
	size, err = strconv.ParseInt(total, 10, 64)
	return from, size, err == nil && size > from
}

// validator is what If-Range takes (RFC 9110 §13.1.5): a strong entity tag, or,
// where there is no tag at all, a date that is strong since the answer is of a
// later second (§8.8.2.2).
func validator(h http.Header) string {
	tag, modified := h.Get("ETag"), h.Get("Last-Modified")
	if tag != "" {
		if strings.HasPrefix(tag, `"`) {
			return tag
		}
		return ""
	}
	changed, err := http.ParseTime(modified)
	answered, derr := http.ParseTime(h.Get("Date"))
	if err != nil || derr != nil || answered.Sub(changed) < time.Second {
		return ""
	}
	return modified
}

// name is the file's name in Content-Disposition, else in the address that was
// given, else in the one that it led to.
func name(resp *http.Response) string {
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
	if file := params["filename"]; err == nil && file != "" {
		return file[strings.LastIndexAny(file, `/\`)+1:]
	}
	given := resp.Request
	for given.Response != nil {
		given = given.Response.Request
	}
	return cmp.Or(Name(given.URL), Name(resp.Request.URL))
}

// sniff refuses what a browser would show or play from elsewhere.
func sniff(contentType string, head []byte) error {
	said, _, _ := mime.ParseMediaType(contentType)
	found := http.DetectContentType(head)
	text := strings.TrimLeft(strings.TrimPrefix(string(head), "\xef\xbb\xbf"), " \t\r\n")
	switch {
	case strings.HasPrefix(text, "#EXTM3U"), strings.HasPrefix(found, "text/") && strings.Contains(text, "<MPD"):
		return fault(CodePlaylist, "That address answers a playlist (HLS or DASH), which is not followed; give the address of a video file.")
	case strings.HasPrefix(found, "text/html"),
		(said == "text/html" || said == "application/xhtml+xml") && strings.HasPrefix(found, "text/"):
		return fault(CodePage, "That address answers a web page, not a video file; give the file's own address.")
	}
	return nil
}

// Read implements io.Reader. What is wrong is an *Error, or what the caller's
// context ended with.
func (a *Answer) Read(p []byte) (int, error) {
	a.watch.again()
	n, err := a.in.Read(p)
	a.watch.rest()
	if err != nil && !errors.Is(err, io.EOF) {
		err = a.watch.explain(interrupted(err))
	}
	return n, err
}

// Close gives the connection up.
func (a *Answer) Close() {
	a.watch.stop()
	a.body.Close()
}

func interrupted(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return passing(fault(CodeInterrupted, "The server ended the connection before the whole file had come."))
	}
	return passing(fault(CodeInterrupted, "The connection to the server broke: %s.", plain(err)))
}

package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// The stable codes of what can go wrong.
const (
	CodeURL         = "invalid_source_url"
	CodeAddress     = "source_address_refused" // not public
	CodeUnreachable = "source_unreachable"
	CodeStatus      = "source_status" // 404, 403, 500 …
	CodeRedirects   = "source_redirects"
	CodePage        = "source_web_page"
	CodePlaylist    = "source_playlist"
	CodeCoding      = "source_encoded" // Content-Encoding
	CodeEmpty       = "source_empty"
	CodeStalled     = "source_stalled"
	CodeInterrupted = "source_interrupted" // it broke off, more often than is put up with
)

// Error says why a source cannot be fetched.
type Error struct {
	Code    string
	Message string // one sentence
	// Passing tells what may be gone by itself at the next try, After after how
	// long if the server says so.
	Passing bool
	After   time.Duration
	// Over tells that what is here is of no use for that.
	Over bool
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

func fault(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CutShort is the error of an answer with another length than it said.
func CutShort() error {
	return &Error{Code: CodeInterrupted, Message: "The server sent another number of bytes than it had said.", Passing: true}
}

func passing(e *Error) *Error {
	e.Passing = true
	return e
}

// plain is an error without the address that net/http puts before it.
func plain(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

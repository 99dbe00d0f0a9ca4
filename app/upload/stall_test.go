package upload_test

import (
	"io"
	"strings"
	"sync"
)

// stall is a request body that sends some bytes and then no more, until it is
// ended.
type stall struct {
	first *strings.Reader
	over  chan struct{}
	once  sync.Once
}

func newStall(first string) *stall {
	return &stall{first: strings.NewReader(first), over: make(chan struct{})}
}

func (s *stall) Read(p []byte) (int, error) {
	if s.first.Len() > 0 {
		return s.first.Read(p)
	}
	<-s.over
	return 0, io.ErrUnexpectedEOF
}

func (s *stall) end() { s.once.Do(func() { close(s.over) }) }

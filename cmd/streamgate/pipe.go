package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// pipe reads what can be read only once, in pieces, each of which is kept until
// the node has it.
type pipe struct {
	in   *bufio.Reader
	name string
	at   int64 // offset of the next piece
	buf  []byte
}

// piece is a stretch of a pipe.
type piece struct {
	from int64
	data []byte // of the pipe until the next is read
	last bool
}

func newPipe(in io.Reader, name string) *pipe { return &pipe{in: bufio.NewReader(in), name: name} }

// next reads a piece. An interruption does not wait for who writes: the read is
// left behind.
func (p *pipe) next(ctx context.Context) (piece, error) {
	type result struct {
		piece piece
		err   error
	}
	done := make(chan result, 1)
	go func() {
		one, err := p.read()
		done <- result{one, err}
	}()
	select {
	case r := <-done:
		return r.piece, r.err
	case <-ctx.Done():
		return piece{}, ctx.Err()
	}
}

func (p *pipe) read() (piece, error) {
	if p.buf == nil {
		p.buf = make([]byte, pieceBytes)
	}
	n, err := io.ReadFull(p.in, p.buf)
	if err == nil { // the end may be just here
		_, err = p.in.Peek(1)
	}
	one := piece{from: p.at, data: p.buf[:n], last: err != nil}
	p.at += int64(n)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return piece{}, fmt.Errorf("read %s: %w", p.name, err)
	case p.at == 0:
		return piece{}, fmt.Errorf("%s is empty", p.name)
	}
	return one, nil
}

// ReadAt implements io.ReaderAt within the piece.
func (p piece) ReadAt(b []byte, at int64) (int, error) {
	if at < p.from || at > p.end() {
		return 0, fmt.Errorf("the node asks for offset %d of a pipe, of which %d to %d is in memory", at, p.from, p.end())
	}
	n := copy(b, p.data[at-p.from:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (p piece) end() int64 { return p.from + int64(len(p.data)) }

// sendPipe uploads a pipe to a video by tus with Upload-Defer-Length: its
// length is said with the last piece. It returns the length.
func sendPipe(ctx context.Context, h *http.Client, videoID string, p *pipe, one piece, moved func(int64)) (int64, error) {
	up := &upload{http: h, url: socketURL + strings.TrimSuffix(uploadsPath, "/"), moved: func(int64) {}}
	made, err := up.do(ctx, http.MethodPost, nil, 0, http.Header{
		"Upload-Defer-Length": {"1"},
		"Upload-Metadata":     {"video_id " + base64.StdEncoding.EncodeToString([]byte(videoID))},
	})
	if err != nil {
		return 0, err
	}
	place, err := url.Parse(made.Get("Location"))
	if err != nil || !strings.Contains(place.Path, uploadsPath) {
		return 0, fmt.Errorf("the node answered with the upload URL %q", made.Get("Location"))
	}
	up.url = socketURL + place.Path[strings.LastIndex(place.Path, uploadsPath):]
	for {
		up.file, up.size, up.declare, up.moved = one, one.end(), one.last, func(at int64) { moved(min(at, one.end())) }
		if err := up.run(ctx); err != nil || one.last {
			return one.end(), err
		}
		if one, err = p.next(ctx); err != nil {
			return 0, err
		}
	}
}

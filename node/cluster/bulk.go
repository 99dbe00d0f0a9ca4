package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// Bytes between nodes go in pieces of this size: TLS cuts them into records of 16 KiB,
// and each of them would be a write at the one end and a read at the other.
const bulkPiece = 256 << 10

// readAhead is what a connection reads before it is asked for it; each keeps that much
// memory while it is open.
const readAhead = 128 << 10

// bulkConn is a connection below TLS that reads ahead, and whose writes can be held
// together.
type bulkConn struct {
	net.Conn
	read *bufio.Reader // nil if it does not read ahead

	mu   sync.Mutex
	held *bytes.Buffer // what is held, or nil
}

// heldPool keeps buffers for those that send, since most connections are idle.
var heldPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Read implements net.Conn.
func (c *bulkConn) Read(p []byte) (int, error) {
	if c.read == nil {
		return c.Conn.Read(p)
	}
	return c.read.Read(p)
}

// Write implements net.Conn.
func (c *bulkConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

// hold keeps what is written from now on.
func (c *bulkConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = heldPool.Get().(*bytes.Buffer)
}

// release writes what was kept.
func (c *bulkConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.held
	c.held = nil
	_, err := held.WriteTo(c.Conn)
	held.Reset()
	heldPool.Put(held)
	return err
}

// Bulk is a listener, below TLS, whose connections can send large bodies: see Sending.
func Bulk(ln net.Listener) net.Listener { return bulkListener{ln} }

type bulkListener struct{ net.Listener }

// Accept implements net.Listener.
func (l bulkListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &bulkConn{Conn: c}, nil
}

type bulkKey struct{}

// BulkContext is http.Server's ConnContext for connections of Bulk.
func BulkContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		if b, ok := t.NetConn().(*bulkConn); ok {
			return context.WithValue(ctx, bulkKey{}, b)
		}
	}
	return ctx
}

// Sending has what is copied to w, the answer to r, sent in large pieces, if the
// connection is one of Bulk and the request has it for itself.
func Sending(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if c, ok := r.Context().Value(bulkKey{}).(*bulkConn); ok && r.ProtoMajor == 1 {
		return &bulkWriter{w, c}
	}
	return w
}

type bulkWriter struct {
	http.ResponseWriter
	conn *bulkConn
}

// Unwrap lets http.ResponseController find the writer below.
func (w *bulkWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ReadFrom implements io.ReaderFrom.
func (w *bulkWriter) ReadFrom(src io.Reader) (sent int64, err error) {
	piece := buffers{}.Get()
	defer buffers{}.Put(piece)
	for {
		n, readErr := fill(src, piece)
		if n > 0 {
			w.conn.hold()
			wrote, err := w.Write(piece[:n])
			sent += int64(wrote)
			if err := errors.Join(err, w.conn.release()); err != nil {
				return sent, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return sent, nil
		}
		if readErr != nil {
			return sent, readErr
		}
	}
}

// fill reads until p is full, or src has no more.
func fill(src io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = src.Read(p[n:])
		n += more
	}
	return n, err
}

// whole fills what it reads into, as far as the body goes.
type whole struct{ io.ReadCloser }

// Read implements io.Reader.
func (w whole) Read(p []byte) (int, error) { return fill(w.ReadCloser, p) }

package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"
)

// counted tells when a body is done with.
type counted struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (c *counted) Close() error {
	c.done()
	return c.ReadCloser.Close()
}

// untaken is a failure before a node began with a request: it was not reached, or
// refused whatever the sender asks.
type untaken struct{ error }

func (e *untaken) Unwrap() error { return e.error }

// Idle connections to a node: viewers come in crowds.
const (
	idlePerNode = 64
	idleFor     = 90 * time.Second
	// firstByte bounds the wait for a node's answer to all that was sent: longer
	// than any request is held, or than the last part of a source takes to be safe.
	firstByte = 5 * time.Minute
)

// transport is the connections to nodes of a role.
func (p *Pool) transport(role string, multi bool) *http.Transport {
	name := role
	if !multi {
		name += " streaming"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.transports[name]; t != nil {
		return t
	}
	t := &http.Transport{
		MaxIdleConnsPerHost: idlePerNode, IdleConnTimeout: idleFor, DisableCompression: true,
		ExpectContinueTimeout: firstByte, ResponseHeaderTimeout: firstByte,
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!multi)
	protocols.SetHTTP2(multi)
	t.Protocols = protocols
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialLimit)
		defer cancel()
		cfg := p.identity.ClientTLS(role)
		cfg.NextProtos = []string{"http/1.1"}
		if multi {
			cfg.NextProtos = []string{"h2"}
		}
		conn, err := dialTLS(ctx, network, addr, cfg, !multi)
		if err != nil {
			return nil, &untaken{err}
		}
		return conn, nil
	}
	p.transports[name] = t
	return t
}

// dialTLS connects to a node; what carries bodies reads ahead.
func dialTLS(ctx context.Context, network, addr string, cfg *tls.Config, bodies bool) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if bodies {
		raw = &bulkConn{Conn: raw, read: bufio.NewReaderSize(raw, readAhead)}
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // it was good for nothing
		return nil, err
	}
	return conn, nil
}

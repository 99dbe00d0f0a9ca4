package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
)

const (
	sourceTimes       = 1.3 // at most, of the source's bytes
	sourceTranscoders = 4
)

// benchClusterSource measures how much four transcoders read from S3 for a whole video,
// as a share of the size of its source: all that the server sends them is counted on
// the way, headers and what is not of the source too.
func benchClusterSource(ctx context.Context, b *bench) ([]result, error) {
	file, length, err := b.foreignFilm(ctx)
	if err != nil {
		return nil, err
	}
	c, err := b.startCluster(ctx, "", roleMetadata, roleUpload, roleStreaming)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	read, err := c.readOfSource(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.said())
	}
	what := fmt.Sprintf("read from S3 by %d transcoders for a whole 1080p video of %s", sourceTranscoders, length)
	return []result{atMost(what, sourceTimes, "× its source", read)}, nil
}

func (c *cluster) readOfSource(ctx context.Context, file string) (read series, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	counter, err := startCounter(c.minio.Address())
	if err != nil {
		return nil, err
	}
	defer counter.close()
	c.media = strings.Replace(c.media, c.minio.Address(), counter.address(), 1) // of the transcoders alone
	for range sourceTranscoders {
		if _, err := c.start(ctx, roleTranscoder); err != nil {
			return nil, err
		}
	}
	for range c.runs(3, 1) {
		before := counter.sent.Load()
		seconds, err := c.transcode(ctx, file)
		if err != nil {
			return nil, err
		}
		bytes := counter.sent.Load() - before
		read = append(read, float64(bytes)/float64(info.Size()))
		c.logf("   %.1f MB for a source of %.1f MB, in %.1f s", float64(bytes)/1e6, float64(info.Size())/1e6, seconds)
	}
	return read, nil
}

// counter hands connections on to a server, and counts what that sends.
type counter struct {
	net.Listener
	server string
	sent   atomic.Int64 // bytes
}

func startCounter(server string) (*counter, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{Listener: ln, server: server}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // it was closed
			}
			go c.handOn(conn)
		}
	}()
	return c, nil
}

func (c *counter) address() string { return c.Addr().String() }

func (c *counter) close() { _ = c.Close() } // its connections end with their clients

// handOn ends both connections as soon as one of them has ended.
func (c *counter) handOn(client net.Conn) {
	defer client.Close() //nolint:errcheck // it is only read of and passed on
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return // the client sees that it is closed
	}
	defer server.Close() //nolint:errcheck // as above
	go func() {
		defer server.Close() //nolint:errcheck // as above
		_, _ = io.Copy(server, client)
	}()
	_, _ = io.Copy(counting{client, &c.sent}, server)
}

// counting counts what is written.
type counting struct {
	io.Writer
	sum *atomic.Int64
}

// Write implements io.Writer.
func (c counting) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.sum.Add(int64(n))
	return n, err
}

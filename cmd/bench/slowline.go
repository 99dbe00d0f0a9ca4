package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// A slow line: what a telephone has at the edge of a cell.
const (
	lineRate  = 1_500_000             // bit/s, both directions of all connections each
	lineTrip  = 80 * time.Millisecond // there and back
	lineBurst = 4 << 10               // bytes that may go at once
)

// benchSlowLine measures how long a viewer on a slow line waits from the click
// to the first picture and sound of a video that is ready: one whose source is
// copied, and one whose key frames are too far apart for that.
func benchSlowLine(ctx context.Context, b *bench) ([]result, error) {
	n, err := b.startNode(ctx)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	var results []result
	for _, c := range []struct {
		source source
		copied bool
		what   string
	}{
		{groups2s, true, "key frames 2 s apart, copied"},
		{groups10s, false, "key frames 10 s apart, encoded"},
	} {
		took, err := b.slowPictures(ctx, n, c.source, c.copied)
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, n.said())
		}
		results = append(results, atMost("first picture and sound at 1.5 Mbit/s and 80 ms, "+c.what, 3, "s", took))
	}
	return results, nil
}

func (b *bench) slowPictures(ctx context.Context, n *node, src source, copied bool) (took series, err error) {
	file, err := b.sources.file(ctx, src)
	if err != nil {
		return nil, err
	}
	v, _, err := n.upload(ctx, file, "", true)
	if err != nil {
		return nil, err
	}
	if err := n.awaitTask(ctx, v.ID); err != nil {
		return nil, err
	}
	if v, err = n.video(ctx, v.ID); err != nil {
		return nil, err
	}
	if v.copied() != copied {
		return nil, fmt.Errorf("%s: copied is %t: the row would measure something else", file, v.copied())
	}
	for range b.runs(5, 1) {
		t, err := slowPicture(ctx, n.url, "/v/"+v.ID+"/")
		if err != nil {
			return nil, err
		}
		took = append(took, t.Seconds())
		b.logf("   %s after %s", src, t.Round(time.Millisecond))
	}
	return took, nil
}

// slowPicture fetches over a line of its own what a player fetches before its
// first picture, in the order that players do, picture and sound side by side.
func slowPicture(ctx context.Context, url, path string) (time.Duration, error) {
	line, err := openLine(ctx, strings.TrimPrefix(url, "http://"))
	if err != nil {
		return 0, err
	}
	defer line.close()
	client := newClient()
	defer client.CloseIdleConnections()
	base := "http://" + line.address() + path
	fetch := func(ctx context.Context, name string) ([]byte, error) {
		status, body, err := getBy(ctx, client, base+name)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("GET %s: %d: %s", name, status, body)
		}
		return body, err
	}
	began := time.Now()
	master, err := fetch(ctx, "master.m3u8")
	if err != nil {
		return 0, err
	}
	variants := uris(master)
	sound, ok := attribute(master, "#EXT-X-MEDIA:TYPE=AUDIO", "URI")
	if !ok || len(variants) == 0 {
		return 0, fmt.Errorf("the master playlist names no sound or no rendition:\n%s", master)
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, list := range []string{variants[len(variants)-1], sound} { // the best comes first
		g.Go(func() error {
			media, err := fetch(gctx, list)
			if err != nil {
				return err
			}
			rendition, _, _ := strings.Cut(list, "/")
			init, okInit := attribute(media, "#EXT-X-MAP:", "URI")
			cell, okCell := firstURI(media)
			if !okInit || !okCell {
				return fmt.Errorf("the playlist of %s names no init or no cell:\n%s", rendition, media)
			}
			for _, name := range []string{init, cell} {
				if _, err := fetch(gctx, rendition+"/"+name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// slowLine is a proxy on loopback that is as slow as a telephone's line.
type slowLine struct {
	listener net.Listener
	to       string
	down, up *rate.Limiter // bytes per second of all connections
	running  sync.WaitGroup
	ctx      context.Context //nolint:containedctx // its connections live as long as it
	end      context.CancelFunc
}

func openLine(ctx context.Context, to string) (*slowLine, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	limit := func() *rate.Limiter { return rate.NewLimiter(lineRate/8, lineBurst) }
	l := &slowLine{listener: ln, to: to, down: limit(), up: limit()}
	l.ctx, l.end = context.WithCancel(ctx)
	l.running.Go(l.accept)
	return l, nil
}

func (l *slowLine) address() string { return l.listener.Addr().String() }

func (l *slowLine) close() {
	l.end()
	_ = l.listener.Close() // there is nothing to save
	l.running.Wait()
}

func (l *slowLine) accept() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.running.Go(func() { l.carry(from) })
	}
}

// carry passes on what one connection sends and is answered.
func (l *slowLine) carry(from net.Conn) {
	defer shut(from)
	if sleep(l.ctx, lineTrip) != nil { // the handshake
		return
	}
	to, err := (&net.Dialer{}).DialContext(l.ctx, "tcp", l.to)
	if err != nil {
		return
	}
	defer shut(to)
	stop := context.AfterFunc(l.ctx, func() { shut(from); shut(to) })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { l.pass(to, from, l.up) })
	both.Go(func() { l.pass(from, to, l.down) })
	both.Wait()
}

// shut closes a connection of which nothing more is wanted.
func shut(c net.Conn) { _ = c.Close() }

// packet is what arrives at a time.
type packet struct {
	data []byte
	at   time.Time
}

// pass carries bytes in one direction at the line's rate, half a trip late.
func (l *slowLine) pass(to, from net.Conn, limit *rate.Limiter) {
	under := make(chan packet, 256) // what is on its way
	var sender sync.WaitGroup
	sender.Go(func() {
		defer shut(to) // a half-closed connection is of no use to HTTP
		for p := range under {
			if sleep(l.ctx, time.Until(p.at)) != nil {
				continue
			}
			if _, err := to.Write(p.data); err != nil {
				shut(from) // the reader ends
			}
		}
	})
	buf := make([]byte, lineBurst)
	for {
		n, err := from.Read(buf)
		if n > 0 && limit.WaitN(l.ctx, n) == nil {
			under <- packet{append([]byte(nil), buf[:n]...), time.Now().Add(lineTrip / 2)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				shut(to)
			}
			break
		}
	}
	close(under)
	sender.Wait()
}

package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// inputs lends objects to ffmpeg at addresses on loopback that nobody can guess.
type inputs struct {
	store    *Store
	listener net.Listener
	server   *http.Server
	ended    chan struct{}

	mu   sync.Mutex
	lent map[string]store.Object // by path
}

func serveInputs(s *Store) (*inputs, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for ffmpeg: %w", err)
	}
	in := &inputs{store: s, listener: listener, ended: make(chan struct{}), lent: map[string]store.Object{}}
	in.server = &http.Server{Handler: in, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() {
		defer close(in.ended)
		in.server.Serve(smallBuffers{listener}) //nolint:errcheck // until it is closed
	}()
	return in, nil
}

// sendBuffer is how far the kernel may run ahead of what ffmpeg takes, bytes: what
// it does not take was fetched for nothing.
const sendBuffer = 128 << 10

// smallBuffers accepts connections with that buffer.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(sendBuffer) //nolint:errcheck // then it runs ahead
	}
	return c, err
}

func (in *inputs) close() error {
	err := in.server.Close()
	<-in.ended
	return err
}

// Input implements store.Objects.
func (s *Store) Input(ctx context.Context, key string) (store.Input, func(), error) {
	if err := errors.Join(ctx.Err(), backend.CheckKey(key)); err != nil {
		return store.Input{}, nil, err
	}
	o, err := s.stat(ctx, key)
	if err != nil {
		return store.Input{}, nil, fmt.Errorf("lend %s: %w", key, err)
	}
	url, release := s.inputs.lend(o)
	return store.Input{URL: url}, release, nil
}

func (in *inputs) lend(o store.Object) (url string, release func()) {
	path := "/" + rand.Text()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.lent[path] = o
	return "http://" + in.listener.Addr().String() + path, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		delete(in.lent, path)
	}
}

// ServeHTTP sends the bytes of the version that was lent.
func (in *inputs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in.mu.Lock()
	o, ok := in.lent[r.URL.Path]
	in.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream") // or it would be guessed
	w.Header().Set("Etag", `"`+o.ETag+`"`)
	http.ServeContent(w, r, "", time.Time{}, &blockReader{s: in.store, ctx: r.Context(), object: o, most: fewBlocks})
}

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

// inputs lends objects to ffmpeg at addresses on loopback that nobody can guess. It
// listens from the first one on.
type inputs struct {
	store  *Store
	server *http.Server
	ended  sync.WaitGroup

	mu   sync.Mutex
	addr string                  // "" before the first
	lent map[string]store.Object // by path
}

func newInputs(s *Store) *inputs {
	in := &inputs{store: s, lent: map[string]store.Object{}}
	in.server = &http.Server{Handler: in, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	return in
}

// listen begins to serve; in.mu is held.
func (in *inputs) listen() error {
	if in.addr != "" {
		return nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for ffmpeg: %w", err)
	}
	in.addr = listener.Addr().String()
	in.ended.Go(func() {
		in.server.Serve(smallBuffers{listener}) //nolint:errcheck // until it is closed
	})
	if in.store.Listens != nil {
		in.store.Listens(in.addr)
	}
	return nil
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
	in.ended.Wait()
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
	url, release, err := s.inputs.lend(o)
	if err != nil {
		return store.Input{}, nil, err
	}
	return store.Input{URL: url}, release, nil
}

func (in *inputs) lend(o store.Object) (url string, release func(), err error) {
	path := "/" + rand.Text()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.listen(); err != nil {
		return "", nil, err
	}
	in.lent[path] = o
	return "http://" + in.addr + path, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		delete(in.lent, path)
	}, nil
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

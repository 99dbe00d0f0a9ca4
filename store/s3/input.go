package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
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
	addr string           // "" before the first
	lent map[string]*loan // by path
}

// loan is an object that is lent.
type loan struct {
	object store.Object

	mu    sync.Mutex
	fault error // the first that reading it has met
}

func (l *loan) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// loanReader reads for one request, and notes what keeps it from reading.
type loanReader struct {
	blockReader
	loan *loan

	short int64  // bytes of the request, if it is a short one
	from  int64  // where they begin
	head  []byte // them, once they were read
}

// shortRead is up to what size a request is not worth a block, bytes: such are those
// for the heads of key frames, whose blocks may be half of a film.
const shortRead = 8 << 10

// shortRange is the size of a range like bytes=0-99, if it is short; else 0.
func shortRange(header string) int64 {
	first, last, _ := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if n := to - from + 1; err1 == nil && err2 == nil && n > 0 && n <= shortRead {
		return n
	}
	return 0
}

// read reads the bytes of a short request alone, unless their block is at hand.
func (r *loanReader) read(p []byte) (int, error) {
	if r.short > 0 && r.head == nil && r.at < r.object.Size && !r.s.cache.has(blockID(r.object, r.at/blockSize)) {
		size := min(r.short, r.object.Size-r.at)
		head, err := retried(func() ([]byte, error) { return r.s.fetchRange(r.ctx, r.object, r.at, size) })
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", r.object.Key, mapped(r.ctx, err))
		}
		r.head, r.from = head, r.at
	}
	if at := r.at - r.from; r.head != nil && at >= 0 && at < int64(len(r.head)) {
		n := copy(p, r.head[at:])
		r.at += int64(n)
		return n, nil
	}
	return r.blockReader.Read(p)
}

// Read implements io.Reader.
func (r *loanReader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.ctx.Err() == nil { // else ffmpeg has gone elsewhere
		r.loan.mu.Lock()
		defer r.loan.mu.Unlock()
		r.loan.fault = cmp.Or(r.loan.fault, err)
	}
	return n, err
}

func newInputs(s *Store) *inputs {
	in := &inputs{store: s, lent: map[string]*loan{}}
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
	return s.inputs.lend(o)
}

func (in *inputs) lend(o store.Object) (_ store.Input, release func(), err error) {
	path := "/" + rand.Text()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.listen(); err != nil {
		return store.Input{}, nil, err
	}
	l := &loan{object: o}
	in.lent[path] = l
	return store.Input{URL: "http://" + in.addr + path, Fault: l.failed}, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		delete(in.lent, path)
	}, nil
}

// ServeHTTP sends the bytes of the version that was lent.
func (in *inputs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in.mu.Lock()
	l, ok := in.lent[r.URL.Path]
	in.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream") // or it would be guessed
	w.Header().Set("Etag", `"`+l.object.ETag+`"`)
	http.ServeContent(w, r, "", time.Time{}, &loanReader{
		blockReader: blockReader{s: in.store, ctx: r.Context(), object: l.object, most: fewBlocks},
		loan:        l, short: shortRange(r.Header.Get("Range")),
	})
}

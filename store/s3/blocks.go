package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

const (
	// blockSize is the size of what is read of a large object, bytes.
	blockSize = 256 << 10
	// mostBlocks is how many blocks one request reads of an object that is read
	// from front to back, fewBlocks when it is ffmpeg that reads: it goes elsewhere
	// without a word.
	mostBlocks = 16
	fewBlocks  = 4
)

// errSeek: a place before the object's first byte.
var errSeek = errors.New("seek to a negative place")

// PieceBytes is the size of a piece: the blocks of one are asked of one peer, and no
// request reads of two.
const PieceBytes = mostBlocks * blockSize

// blockReader reads a large object. Who reads on where the last request ended
// gets twice as much with the next, so that a seek costs one block and a whole
// object few requests.
type blockReader struct {
	s      *Store
	ctx    context.Context //nolint:containedctx // a reader has no other
	object store.Object
	most   int64 // blocks of a request, until what was read is eight times that
	at     int64 // the next byte

	n     int64 // the block in memory
	block []byte
	ahead int64 // the block after the last request's
	span  int64 // blocks that the last request might have
	run   int64 // blocks of the requests that went on where the last one ended
}

func (r *blockReader) Read(p []byte) (int, error) {
	if r.at >= r.object.Size {
		return 0, io.EOF
	}
	n := r.at / blockSize
	if r.block == nil || n != r.n {
		block, err := r.load(n)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", r.object.Key, err)
		}
		r.n, r.block = n, block
	}
	copied := copy(p, r.block[r.at-n*blockSize:])
	r.at += int64(copied)
	return copied, nil
}

// load gets a block from the cache, a peer or the server.
func (r *blockReader) load(n int64) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	if block, ok := r.s.cache.block(blockID(r.object, n)); ok {
		return block, nil
	}
	if n != r.ahead {
		r.span, r.run = 0, 0
	}
	span := min(max(1, 2*r.span), max(r.most, min(r.run/8, mostBlocks)))
	block, q, err := r.s.block(r.ctx, r.object, n, span, false)
	if q != nil {
		r.span, r.ahead, r.run = span, q.first+q.count, r.run+q.count
	}
	return block, err
}

// blockID names a block: no key has a space.
func blockID(o store.Object, n int64) string {
	return o.Key + " " + o.ETag + " " + strconv.FormatInt(n, 36)
}

// request is one for some blocks, for all who want any of them.
type request struct {
	object       store.Object
	first, count int64 // blocks

	done chan struct{} // closed when the rest is set
	data []byte
	err  error
}

// of is a block of what came.
func (q *request) of(n int64) ([]byte, error) {
	if q.err != nil {
		return nil, q.err
	}
	from := (n - q.first) * blockSize
	return q.data[from:min(from+blockSize, int64(len(q.data)))], nil
}

// block gets a block from the cache, else from the request for it, which is q: one
// that is under way, or a new one that reads up to most blocks from there on.
func (s *Store) block(ctx context.Context, o store.Object, n, most int64, direct bool) (block []byte, q *request, err error) {
	for q == nil {
		if block, ok := s.cache.block(blockID(o, n)); ok {
			return block, nil, nil
		}
		var begun bool
		if q, begun = s.cache.ask(o, n, most); begun {
			go s.answer(context.WithoutCancel(ctx), q, direct)
		}
	}
	select {
	case <-q.done:
		block, err = q.of(n)
		return block, q, mapped(ctx, err)
	case <-ctx.Done():
		return nil, q, ctx.Err()
	}
}

// ask joins the request for a block that is under way, or begins one, of blocks that
// are neither there nor asked for; nil if the block has come.
func (c *cache) ask(o store.Object, n, most int64) (q *request, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := blockID(o, n)
	if c.entries[id] != nil {
		return nil, false
	}
	if q := c.asked[id]; q != nil {
		return q, false
	}
	q = &request{object: o, first: n, done: make(chan struct{})}
	end := min((o.Size-1)/blockSize+1, n+most, (n/mostBlocks+1)*mostBlocks)
	for ; n < end && c.entries[id] == nil && c.asked[id] == nil; id = blockID(o, n) {
		c.asked[id] = q
		q.count++
		n++
	}
	return q, true
}

// answer reads the blocks of a request into the cache.
func (s *Store) answer(ctx context.Context, q *request, direct bool) {
	epoch, o := s.cache.now(), q.object
	q.data, q.err = s.fetchPart(ctx, o, q.first*blockSize, min(q.count*blockSize, o.Size-q.first*blockSize), direct)
	for n := q.first; n < q.first+q.count; n++ {
		if data, err := q.of(n); err == nil {
			s.cache.add(epoch, blockID(o, n), o, data)
		}
	}
	s.cache.answered(q)
	close(q.done)
}

// answered ends a request.
func (c *cache) answered(q *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := q.first; n < q.first+q.count; n++ {
		delete(c.asked, blockID(q.object, n))
	}
}

// fetchPart reads a part of an object from a peer, else from the server.
func (s *Store) fetchPart(ctx context.Context, o store.Object, from, size int64, direct bool) ([]byte, error) {
	if s.Peer != nil && !direct {
		if data, ok := s.Peer(ctx, o, from, size); ok && int64(len(data)) == size {
			s.read.fromPeers.Add(size)
			return data, nil
		}
	}
	return retried(func() ([]byte, error) { return s.fetchRange(ctx, o, from, size) })
}

// Part reads a part of a large object for a peer, from the cache or the server.
func (s *Store) Part(ctx context.Context, o store.Object, from, size int64) ([]byte, error) {
	if err := backend.CheckKey(o.Key); err != nil {
		return nil, err
	}
	if from < 0 || from%blockSize != 0 || size < 1 || size > PieceBytes || size > o.Size-from {
		return nil, fmt.Errorf("no part of %s: %d bytes at byte %d of %d", o.Key, size, from, o.Size)
	}
	data := make([]byte, 0, size+blockSize)
	for end := from + size; from < end; from += blockSize {
		block, _, err := s.block(ctx, o, from/blockSize, (end-from+blockSize-1)/blockSize, true)
		if err != nil {
			return nil, fmt.Errorf("read a part of %s: %w", o.Key, err)
		}
		data = append(data, block...)
	}
	return data[:size], nil
}

// fetchRange reads a part of the object that has that ETag.
func (s *Store) fetchRange(ctx context.Context, o store.Object, from, size int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*s.Timeout)
	defer cancel()
	opts := minio.GetObjectOptions{}
	if err := errors.Join(opts.SetRange(from, from+size-1), opts.SetMatchETag(o.ETag)); err != nil {
		return nil, err
	}
	body, _, _, err := s.core.GetObject(ctx, s.Bucket, o.Key, opts)
	if isRefusedCondition(err) {
		return nil, errChanged
	}
	if err != nil {
		return nil, mapped(ctx, err)
	}
	defer body.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
	s.read.fromServer.Add(size)
	return data, nil
}

// Seek implements io.Seeker.
func (r *blockReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.object.Size
	}
	if offset < 0 {
		return r.at, errSeek
	}
	r.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *blockReader) Close() error { return nil }

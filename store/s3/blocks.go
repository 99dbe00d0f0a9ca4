package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
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

// blockReader reads a large object. Who reads on where the last request ended
// gets twice as much with the next, so that a seek costs one block and a whole
// object few requests.
type blockReader struct {
	s      *Store
	ctx    context.Context //nolint:containedctx // a reader has no other
	object store.Object
	most   int64 // blocks of a request
	at     int64 // the next byte

	n     int64 // the block in memory
	block []byte
	ahead int64 // the block after the last request's
	span  int64 // blocks of the last request
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

// load gets a block from the cache or the server.
func (r *blockReader) load(n int64) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	if block, ok := r.s.cache.block(blockID(r.object, n)); ok {
		return block, nil
	}
	if n != r.ahead || r.span == 0 {
		r.span = 0
	}
	r.span = min(max(1, 2*r.span), r.most)
	count := r.missing(n, r.span)
	r.ahead = n + count
	return r.s.fetchBlocks(r.ctx, r.object, n, count)
}

// missing is how many blocks from n on, at most most, the cache does not have.
func (r *blockReader) missing(n, most int64) int64 {
	last := (r.object.Size - 1) / blockSize
	count := int64(1)
	for count < most && n+count <= last && !r.s.cache.has(blockID(r.object, n+count)) {
		count++
	}
	return count
}

// blockID names a block: no key has a space.
func blockID(o store.Object, n int64) string {
	return o.Key + " " + o.ETag + " " + strconv.FormatInt(n, 36)
}

// fetchBlocks reads some blocks into the cache and returns the first.
func (s *Store) fetchBlocks(ctx context.Context, o store.Object, n, count int64) ([]byte, error) {
	epoch := s.cache.now()
	ch := s.cache.flights.DoChan(blockID(o, n)+" "+strconv.FormatInt(count, 36), func() (any, error) {
		ctx := context.WithoutCancel(ctx)
		data, err := retried(func() ([]byte, error) { return s.fetchRange(ctx, o, n*blockSize, count*blockSize) })
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < count && i*blockSize < int64(len(data)); i++ {
			s.cache.add(epoch, blockID(o, n+i), o, data[i*blockSize:min((i+1)*blockSize, int64(len(data)))])
		}
		return data[:min(blockSize, len(data))], nil
	})
	select {
	case res := <-ch:
		block, _ := res.Val.([]byte)
		return block, mapped(ctx, res.Err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fetchRange reads a part of the object that has that ETag.
func (s *Store) fetchRange(ctx context.Context, o store.Object, from, size int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*s.Timeout)
	defer cancel()
	size = min(size, o.Size-from)
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

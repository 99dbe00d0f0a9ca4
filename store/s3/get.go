package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// keepUnchecked is how long cached bytes are served while the server cannot be
// asked about them.
const keepUnchecked = time.Hour

// Stat implements store.Objects. It asks the server.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	if err := errors.Join(ctx.Err(), backend.CheckKey(key)); err != nil {
		return store.Object{}, err
	}
	o, err := s.stat(ctx, key)
	if err != nil {
		return store.Object{}, fmt.Errorf("stat %s: %w", key, err)
	}
	return o, nil
}

func (s *Store) stat(ctx context.Context, key string) (store.Object, error) {
	limited, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	info, err := s.core.StatObject(limited, s.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return store.Object{}, mapped(ctx, err)
	}
	return store.Object{Key: key, Size: info.Size, ETag: info.ETag}, nil
}

// Get implements store.Objects. The reader of an object up to 16 MiB is a file of
// the cache; that of a larger one reads blocks, as long as ctx lasts.
func (s *Store) Get(ctx context.Context, key string) (io.ReadSeekCloser, store.Object, error) {
	if err := errors.Join(ctx.Err(), backend.CheckKey(key)); err != nil {
		return nil, store.Object{}, err
	}
	r, o, err := s.get(ctx, key)
	if err != nil {
		return nil, store.Object{}, fmt.Errorf("get %s: %w", key, mapped(ctx, err))
	}
	return r, o, nil
}

func (s *Store) get(ctx context.Context, key string) (io.ReadSeekCloser, store.Object, error) {
	e, f, ok := s.cache.find(key)
	if ok && !s.good(ctx, e, f) {
		closeFile(f)
		ok = false
	}
	if ok {
		return s.reader(ctx, e.object, f, nil), e.object, nil
	}
	got, err := s.fetchOnce(ctx, key)
	if err != nil {
		return nil, store.Object{}, err
	}
	// The file, if it is still there: the kernel can send it.
	if e, f, ok := s.cache.find(key); ok && e.object == got.object {
		return s.reader(ctx, e.object, f, nil), e.object, nil
	} else if ok {
		closeFile(f)
	}
	return s.reader(ctx, got.object, nil, got.data), got.object, nil
}

// reader reads an object: from its file, from memory, or block by block.
func (s *Store) reader(ctx context.Context, o store.Object, f *os.File, data []byte) io.ReadSeekCloser {
	switch {
	case f != nil:
		return f
	case o.Size > wholeMax:
		return &blockReader{s: s, ctx: ctx, object: o, most: mostBlocks}
	}
	return memoryFile{bytes.NewReader(data)}
}

// good tells whether a cached object may be served. When it was not checked for a
// while, the server is asked for its ETag and the file compared with its checksum.
func (s *Store) good(ctx context.Context, e entry, f *os.File) bool {
	age := time.Since(e.checked)
	if age < s.Fresh {
		return true
	}
	if f != nil && !s.intact(e, f) {
		return false
	}
	o, err := s.stat(ctx, e.object.Key)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return age < keepUnchecked
	case errors.Is(err, store.ErrNotFound):
		s.cache.dropFile(e)
		return false
	case err != nil:
		return false // the request that follows says why
	case o != e.object:
		s.cache.dropFile(e)
		return false
	}
	s.cache.confirm(e)
	return true
}

// intact tells whether a file has the bytes that were written to it.
func (s *Store) intact(e entry, f *os.File) bool {
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.NewSectionReader(f, 0, e.size+1))
	if err == nil && n == e.size && sum.Sum32() == e.crc {
		return true
	}
	s.cache.dropFile(e)
	return false
}

// fetched is a whole object, or what a large one is.
type fetched struct {
	object store.Object
	data   []byte // nil if the object is large
}

// fetchOnce fetches an object into the cache; whoever wants it meanwhile waits for
// the same request, which goes on when the caller does not wait any more.
func (s *Store) fetchOnce(ctx context.Context, key string) (got fetched, err error) {
	epoch := s.cache.now()
	ch := s.cache.flights.DoChan(strconv.FormatUint(epoch, 36)+" "+key, func() (any, error) {
		ctx := context.WithoutCancel(ctx)
		got, err := retried(func() (fetched, error) { return s.fetch(ctx, key) })
		if err == nil {
			s.cache.add(epoch, key, got.object, got.data)
		}
		return got, err
	})
	select {
	case res := <-ch:
		got, _ = res.Val.(fetched)
		return got, res.Err
	case <-ctx.Done():
		return got, ctx.Err()
	}
}

// retried tries again what was cut. (What was refused, the client has tried again
// itself.)
func retried[T any](fn func() (T, error)) (v T, err error) {
	for range tries {
		if v, err = fn(); !errors.Is(err, errCut) {
			return v, err
		}
	}
	return v, err
}

// fetch reads an object, or only what it is if it is large.
func (s *Store) fetch(ctx context.Context, key string) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*s.Timeout) // of a body that drips
	defer cancel()
	body, info, _, err := s.core.GetObject(ctx, s.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return fetched{}, mapped(ctx, err)
	}
	defer body.Close()
	got := fetched{object: store.Object{Key: key, Size: info.Size, ETag: info.ETag}}
	if info.Size > wholeMax {
		return got, nil
	}
	got.data = make([]byte, info.Size)
	if _, err := io.ReadFull(body, got.data); err != nil {
		return fetched{}, fmt.Errorf("%w: %w", errCut, err)
	}
	s.read.fromServer.Add(info.Size)
	if want := info.UserMetadata[crcMeta]; want != "" {
		if have := strconv.FormatUint(uint64(crc32.Checksum(got.data, castagnoli)), 16); have != want {
			return fetched{}, fmt.Errorf("%w: CRC-32C %s, stored as %s", errCut, have, want)
		}
	}
	return got, nil
}

// memoryFile is an object that the cache could not keep.
type memoryFile struct{ *bytes.Reader }

func (memoryFile) Close() error { return nil }

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

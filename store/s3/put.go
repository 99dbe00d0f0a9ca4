package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// crcMeta is the name of the metadata that has the CRC-32C of a whole object,
// in hexadecimal.
const crcMeta = "Crc32c"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxParts is the protocol's limit.
const maxParts = 10_000

// Put implements store.Objects.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64, mode store.PutMode) (store.Object, error) {
	if err := errors.Join(ctx.Err(), backend.CheckKey(key)); err != nil {
		return store.Object{}, err
	}
	o, err := s.put(ctx, key, contextReader{ctx, r}, size, mode)
	if mode == store.Replace { // after an error, too: it may have taken effect
		s.cache.forget(key)
	}
	if err != nil {
		return store.Object{}, fmt.Errorf("put %s: %w", key, mapped(ctx, err))
	}
	return o, nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, size int64, mode store.PutMode) (store.Object, error) {
	var head bytes.Buffer
	if size != store.UnknownSize {
		head.Grow(int(min(size, wholeMax)) + bytes.MinRead)
	}
	if _, err := io.CopyN(&head, r, wholeMax+1); err != nil && !errors.Is(err, io.EOF) {
		return store.Object{}, err
	}
	n := int64(head.Len())
	if n > wholeMax {
		return s.putParts(ctx, key, io.MultiReader(&head, r), size, mode)
	}
	if size != store.UnknownSize && size != n {
		return store.Object{}, fmt.Errorf("%w: %d bytes came, not %d", errSize, n, size)
	}
	return s.orThere(ctx, key, func() (store.Object, error) { return s.putOnce(ctx, key, head.Bytes(), mode) })
}

// orThere is what put made, or what is there if the key is taken. Should that be
// deleted meanwhile, it is tried again.
func (s *Store) orThere(ctx context.Context, key string, put func() (store.Object, error)) (o store.Object, err error) {
	for range tries {
		if o, err = put(); !errors.Is(err, errTaken) {
			return o, err
		}
		if o, err = s.stat(ctx, key); !errors.Is(err, store.ErrNotFound) {
			return o, err
		}
	}
	return o, fmt.Errorf("%w: the object comes and goes", store.ErrUnavailable)
}

// putOnce sends an object in one request; errTaken.
func (s *Store) putOnce(ctx context.Context, key string, data []byte, mode store.PutMode) (store.Object, error) {
	opts := condition(mode)
	opts.UserMetadata = map[string]string{crcMeta: strconv.FormatUint(uint64(crc32.Checksum(data, castagnoli)), 16)}
	info, err := s.core.PutObject(ctx, s.Bucket, key, bytes.NewReader(data), int64(len(data)), sumOf(data), "", opts)
	if isRefusedCondition(err) {
		return store.Object{}, errTaken
	}
	if err != nil {
		return store.Object{}, mapped(ctx, err)
	}
	return store.Object{Key: key, Size: int64(len(data)), ETag: info.ETag}, nil
}

func condition(mode store.PutMode) (opts minio.PutObjectOptions) {
	if mode == store.IfAbsent {
		opts.SetMatchETagExcept("*")
	}
	return opts
}

// sumOf is a Content-MD5: the server refuses other bytes.
func sumOf(data []byte) string {
	sum := md5.Sum(data)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// putParts sends an object in parts; one of them is in memory.
func (s *Store) putParts(ctx context.Context, key string, r io.Reader, size int64, mode store.PutMode) (o store.Object, err error) {
	up := &upload{s: s, Key: key, PartSize: partSize(size)}
	if err := up.begin(ctx); err != nil {
		return o, err
	}
	defer func() {
		if err != nil {
			up.abort(ctx)
		}
	}()
	part := make([]byte, up.PartSize)
	for {
		n, err := readPart(r, part)
		if err != nil {
			return o, err
		}
		if n == 0 {
			break
		}
		if err := up.send(ctx, part[:n]); err != nil {
			return o, err
		}
	}
	if size != store.UnknownSize && up.size != size {
		return o, fmt.Errorf("%w: %d bytes came, not %d", errSize, up.size, size)
	}
	o, err = up.complete(ctx, mode)
	if errors.Is(err, errTaken) {
		up.abort(ctx)
		return s.stat(ctx, key)
	}
	return o, err
}

// readPart reads until the part is full or r ends.
func readPart(r io.Reader, part []byte) (n int, err error) {
	n, err = io.ReadFull(r, part)
	if errors.As(err, new(readError)) { // which may itself be io.ErrUnexpectedEOF
		return 0, err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// partSize is the size of the parts of an object, bytes: whole MiB, and so many
// that the object fits into as many parts as may be.
func partSize(size int64) int64 {
	const mib = 1 << 20
	return max(wholeMax, (size/maxParts/mib+1)*mib)
}

// readError is a failure of what is put, not of the store.
type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

// contextReader ends a copy between two reads once the context is over.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError{err}
	}
	return n, err
}

package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// Delete implements store.Objects. A prefix is deleted in pages of a thousand
// objects; what is put meanwhile may stay.
func (s *Store) Delete(ctx context.Context, prefix string) error {
	if err := errors.Join(ctx.Err(), backend.CheckPrefix(prefix)); err != nil {
		return err
	}
	remove := s.remove
	if strings.HasSuffix(prefix, "/") {
		remove = s.removeAll
	}
	err := remove(ctx, prefix)
	s.cache.forget(prefix)
	if err != nil {
		return fmt.Errorf("delete %s: %w", prefix, mapped(ctx, err))
	}
	return nil
}

func (s *Store) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return s.core.RemoveObject(ctx, s.Bucket, key, minio.RemoveObjectOptions{})
}

func (s *Store) removeAll(ctx context.Context, prefix string) error {
	var listed error
	found := func(yield func(minio.ObjectInfo) bool) {
		for o, err := range s.listed(ctx, prefix) {
			if listed = err; err != nil || !yield(minio.ObjectInfo{Key: o.Key}) {
				return
			}
		}
	}
	results, err := s.core.RemoveObjectsWithIter(ctx, s.Bucket, found, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	for r := range results {
		if r.Err != nil {
			err = r.Err
		}
	}
	return errors.Join(listed, err)
}

// List implements store.Objects.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		err := ctx.Err()
		if err == nil && prefix != "" {
			err = backend.CheckPrefix(prefix)
		}
		if err != nil {
			yield(store.Object{}, err)
			return
		}
		if prefix != "" && !strings.HasSuffix(prefix, "/") {
			if o, err := s.Stat(ctx, prefix); !errors.Is(err, store.ErrNotFound) {
				yield(o, err)
			}
			return
		}
		for o, err := range s.listed(ctx, prefix) {
			if err != nil {
				err = fmt.Errorf("list %q: %w", prefix, mapped(ctx, err))
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// listed yields the objects under a prefix, page by page. A page whose body is cut
// is asked for again.
func (s *Store) listed(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		after := ""
		for left := tries; ; left-- {
			err := s.listedAfter(ctx, prefix, &after, yield)
			switch {
			case err == nil:
				return
			case left == 1 || ctx.Err() != nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
				yield(store.Object{}, err)
				return
			}
		}
	}
}

// listedAfter yields the objects behind one, and moves that on. When the caller
// wants no more, there is no error.
func (s *Store) listedAfter(ctx context.Context, prefix string, after *string, yield func(store.Object, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: *after}
	for info := range s.core.ListObjectsIter(ctx, s.Bucket, opts) {
		if info.Err != nil {
			return info.Err
		}
		*after = info.Key
		if backend.CheckKey(info.Key) != nil {
			continue // not ours
		}
		if !yield(object(&info), nil) {
			return nil
		}
	}
	return ctx.Err()
}

func object(info *minio.ObjectInfo) store.Object {
	return store.Object{Key: info.Key, Size: info.Size, ETag: strings.Trim(info.ETag, `"`)}
}

package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// copiesAtOnce is how many parts the server is asked to copy at the same time.
const copiesAtOnce = 8

// errParts: Compose is given none, or too many.
var errParts = fmt.Errorf("an object is composed of 1 to %d others", store.ComposeMax)

// Compose implements store.Objects. The server copies.
func (s *Store) Compose(ctx context.Context, key string, parts []string, mode store.PutMode) (store.Object, error) {
	err := errors.Join(ctx.Err(), backend.CheckKey(key))
	for _, part := range parts {
		err = errors.Join(err, backend.CheckKey(part))
	}
	if err == nil && (len(parts) == 0 || len(parts) > store.ComposeMax) {
		err = errParts
	}
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.orThere(ctx, key, func() (store.Object, error) { return s.compose(ctx, key, parts, mode) })
	if mode == store.Replace { // after an error, too: it may have taken effect
		s.cache.forget(key)
	}
	if err != nil {
		return store.Object{}, fmt.Errorf("compose %s: %w", key, mapped(ctx, err))
	}
	return o, nil
}

// compose makes an object of copies; errTaken.
func (s *Store) compose(ctx context.Context, key string, parts []string, mode store.PutMode) (o store.Object, err error) {
	up := &upload{s: s, Key: key, size: unknown}
	if err := up.begin(ctx); err != nil {
		return o, err
	}
	defer func() {
		if err != nil {
			up.abort(ctx)
		}
	}()
	if err := up.copy(ctx, parts); err != nil {
		return o, err
	}
	if _, err := up.complete(ctx, mode); err != nil {
		return o, err
	}
	return s.stat(ctx, key) // which tells the size, too
}

// copy has the server copy objects into the upload.
func (u *upload) copy(ctx context.Context, keys []string) error {
	u.parts = make([]minio.CompletePart, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for i, key := range keys {
		group.Go(func() error {
			p, err := u.copyPart(ctx, i+1, key)
			u.parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: p.ETag}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, p := range u.parts {
		if sum, err := hex.DecodeString(strings.Trim(p.ETag, `"`)); err == nil {
			u.sums = append(u.sums, sum...)
		}
	}
	return nil
}

func (u *upload) copyPart(ctx context.Context, n int, key string) (minio.CompletePart, error) {
	limited, cancel := context.WithTimeout(ctx, 2*u.s.Timeout)
	defer cancel()
	p, err := u.s.core.CopyObjectPart(limited, u.s.Bucket, key, u.s.Bucket, u.Key, u.ID, n, 0, -1, nil)
	if err == nil && p.ETag == "" { // an error that came after the status
		err = fmt.Errorf("%w: the server did not copy", store.ErrUnavailable)
	}
	if err != nil {
		return p, fmt.Errorf("copy %s: %w", key, mapped(ctx, err))
	}
	return p, nil
}

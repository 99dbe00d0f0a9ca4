package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"streamgate/store"
)

// Put implements store.Objects.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (store.Object, error) {
	path, err := s.path(key)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.put(ctx, path, r)
	if err != nil {
		return store.Object{}, fmt.Errorf("put %s: %w", key, store.Full(err))
	}
	o.Key = key
	return o, nil
}

func (s *Store) put(ctx context.Context, path string, r io.Reader) (store.Object, error) {
	temp, err := s.writeTemp(ctx, r)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.place(ctx, temp, path)
	if err != nil {
		return o, errors.Join(err, os.Remove(temp))
	}
	return o, nil
}

// writeTemp copies r into a synced file in the temp folder; none is left when
// that fails.
func (s *Store) writeTemp(ctx context.Context, r io.Reader) (path string, err error) {
	if err := errors.Join(ctx.Err(), s.room(ctx)); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(s.temp, "put-") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := io.Copy(f, contextReader{ctx, r}); err != nil {
		return "", err
	}
	// The kernel's clock ticks every few milliseconds. A time of our own tells
	// two quick versions of one object apart, on which ETags rely.
	if err := os.Chtimes(f.Name(), time.Time{}, time.Now()); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// room tells whether the reserve is still there.
func (s *Store) room(ctx context.Context) error {
	if s.Reserve == 0 {
		return nil
	}
	free, _, err := s.Space(ctx)
	if err == nil && free < s.Reserve {
		return fmt.Errorf("%d bytes are free, %d are kept in reserve: %w", free, s.Reserve, store.ErrFull)
	}
	return err
}

// Adopt implements store.Objects.
func (s *Store) Adopt(ctx context.Context, key, local string) (store.Object, error) {
	path, err := s.path(key)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.adopt(ctx, local, path)
	if err != nil {
		return store.Object{}, fmt.Errorf("adopt %s as %s: %w", filepath.Base(local), key, store.Full(err))
	}
	o.Key = key
	return o, nil
}

func (s *Store) adopt(ctx context.Context, local, path string) (store.Object, error) {
	info, err := os.Lstat(local)
	if err != nil {
		return store.Object{}, err
	}
	if !info.Mode().IsRegular() {
		return store.Object{}, errors.New("not a regular file")
	}
	o, err := s.place(ctx, local, path)
	if errors.Is(err, syscall.EXDEV) {
		return s.adoptCopy(ctx, local, path)
	}
	if err != nil {
		return o, err
	}
	return o, syncFolder(filepath.Dir(local))
}

// adoptCopy is adopt from another disk.
func (s *Store) adoptCopy(ctx context.Context, local, path string) (store.Object, error) {
	f, err := os.Open(local)
	if err != nil {
		return store.Object{}, err
	}
	defer f.Close()
	o, err := s.put(ctx, path, f)
	if err != nil {
		return o, err
	}
	return o, os.Remove(local)
}

// place moves a synced file to its place and makes that durable.
func (s *Store) place(ctx context.Context, from, to string) (store.Object, error) {
	if err := ctx.Err(); err != nil {
		return store.Object{}, err
	}
	info, err := os.Stat(from)
	if err != nil {
		return store.Object{}, err
	}
	return describe(info), s.move(from, to)
}

// move renames the file; usually its folder is there.
func (s *Store) move(from, to string) error {
	s.tree.RLock()
	err := renameSynced(from, to)
	s.tree.RUnlock()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.tree.Lock()
	defer s.tree.Unlock()
	if err := s.makeFolders(filepath.Dir(to)); err != nil {
		return err
	}
	return renameSynced(from, to)
}

func renameSynced(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// contextReader ends a copy between two reads once the context is over. (It
// cannot end a read that blocks.)
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

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

// errTaken: IfAbsent found an object.
var errTaken = errors.New("an object has that key")

// errSize: the reader has another size than its caller said.
var errSize = errors.New("wrong size")

// Put implements store.Objects.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64, mode store.PutMode) (store.Object, error) {
	path, err := s.path(key)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.put(ctx, path, r, size, mode)
	if errors.Is(err, errTaken) {
		return s.there(ctx, key, path)
	}
	if err != nil {
		return store.Object{}, fmt.Errorf("put %s: %w", key, store.Full(err))
	}
	o.Key = key
	return o, nil
}

// there describes an object that another Put may be about to make durable.
func (s *Store) there(ctx context.Context, key, path string) (store.Object, error) {
	s.tree.RLock()
	err := missing(syncFolder(filepath.Dir(path)))
	s.tree.RUnlock()
	if err != nil {
		return store.Object{}, fmt.Errorf("put %s: %w", key, err)
	}
	return s.Stat(ctx, key)
}

func (s *Store) put(ctx context.Context, path string, r io.Reader, size int64, mode store.PutMode) (store.Object, error) {
	if mode == store.IfAbsent {
		if err := ctx.Err(); err != nil {
			return store.Object{}, err
		}
		if _, err := os.Lstat(path); err == nil {
			return store.Object{}, errTaken
		}
	}
	temp, err := s.writeTemp(ctx, r, size)
	if err != nil {
		return store.Object{}, err
	}
	o, err := s.place(ctx, temp, path, mode)
	if err != nil {
		return o, errors.Join(err, os.Remove(temp))
	}
	return o, nil
}

// writeTemp copies r into a synced file in the temp folder; none is left when
// that fails.
func (s *Store) writeTemp(ctx context.Context, r io.Reader, size int64) (path string, err error) {
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
	n, err := io.Copy(f, contextReader{ctx, r})
	if err != nil {
		return "", err
	}
	if size != store.UnknownSize && n != size {
		return "", fmt.Errorf("%w: %d bytes came, not %d", errSize, n, size)
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
	o, err := s.place(ctx, local, path, store.Replace)
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
	o, err := s.put(ctx, path, f, store.UnknownSize, store.Replace)
	if err != nil {
		return o, err
	}
	return o, os.Remove(local)
}

// place moves a synced file to its place and makes that durable; errTaken.
func (s *Store) place(ctx context.Context, from, to string, mode store.PutMode) (store.Object, error) {
	if err := ctx.Err(); err != nil {
		return store.Object{}, err
	}
	info, err := os.Stat(from)
	if err != nil {
		return store.Object{}, err
	}
	return describe(info), s.move(from, to, mode)
}

// move renames the file; usually its folder is there.
func (s *Store) move(from, to string, mode store.PutMode) error {
	s.tree.RLock()
	err := s.renameSynced(from, to, mode)
	s.tree.RUnlock()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.tree.Lock()
	defer s.tree.Unlock()
	if err := s.makeFolders(filepath.Dir(to)); err != nil {
		return err
	}
	return s.renameSynced(from, to, mode)
}

func (s *Store) renameSynced(from, to string, mode store.PutMode) error {
	if err := s.rename(from, to, mode); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// rename takes the name, or finds it taken. Not every file system can do that
// in one step; the lock can.
func (s *Store) rename(from, to string, mode store.PutMode) error {
	s.names.Lock()
	defer s.names.Unlock()
	if mode == store.IfAbsent {
		if _, err := os.Lstat(to); err == nil {
			return errTaken
		}
	}
	return os.Rename(from, to)
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

package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"streamgate/store"
)

// Get implements store.Objects. The reader is an *os.File.
func (s *Store) Get(ctx context.Context, key string) (io.ReadSeekCloser, store.Object, error) {
	path, err := s.pathFor(ctx, key)
	if err != nil {
		return nil, store.Object{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, store.Object{}, fmt.Errorf("get %s: %w", key, missing(err))
	}
	o, err := describeKey(key, f.Stat)
	if err != nil {
		return nil, store.Object{}, errors.Join(fmt.Errorf("get %s: %w", key, err), f.Close())
	}
	return f, o, nil
}

// Stat implements store.Objects.
func (s *Store) Stat(ctx context.Context, key string) (store.Object, error) {
	path, err := s.pathFor(ctx, key)
	if err != nil {
		return store.Object{}, err
	}
	o, err := describeKey(key, func() (fs.FileInfo, error) { return os.Stat(path) })
	if err != nil {
		return store.Object{}, fmt.Errorf("stat %s: %w", key, err)
	}
	return o, nil
}

// Local implements store.Objects. The path is the object's own; release has
// nothing to do.
func (s *Store) Local(ctx context.Context, key string) (string, func(), error) {
	if _, err := s.Stat(ctx, key); err != nil {
		return "", nil, err
	}
	path, err := s.path(key)
	return path, func() {}, err
}

// List implements store.Objects. The empty prefix lists everything.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Object, error) {
	top := s.root
	if prefix != "" {
		path, err := s.path(prefix)
		if err != nil {
			return nil, err
		}
		top = path
	}
	var found []store.Object
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(missing(err), store.ErrNotFound):
			return nil // deleted while we walk, or never there
		case err != nil:
			return err
		case path == s.temp:
			return fs.SkipDir
		}
		o, err := s.describeEntry(path, entry)
		if err == nil {
			found = append(found, o)
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	// The walk orders the names within each folder, which is not the order of
	// keys: "a.b" < "a/b".
	slices.SortFunc(found, func(a, b store.Object) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// Space implements store.Objects. Free is what this user may still write.
func (s *Store) Space(ctx context.Context) (free, total int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.root, &st); err != nil {
		return 0, 0, fmt.Errorf("ask for free space: %w", err)
	}
	unit := int64(st.Bsize) //nolint:unconvert // an int32 where addresses are 32 bits
	return int64(st.Bavail) * unit, int64(st.Blocks) * unit, nil
}

// pathFor is path for a call that may be over already.
func (s *Store) pathFor(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return s.path(key)
}

// describeEntry describes a file met in a walk; ErrNotFound for what is none.
func (s *Store) describeEntry(path string, entry fs.DirEntry) (store.Object, error) {
	rel, err := filepath.Rel(s.root, path)
	if err != nil {
		return store.Object{}, err
	}
	return describeKey(filepath.ToSlash(rel), entry.Info)
}

func describeKey(key string, stat func() (fs.FileInfo, error)) (store.Object, error) {
	info, err := stat()
	if err != nil {
		return store.Object{}, missing(err)
	}
	if !info.Mode().IsRegular() { // a folder is no object
		return store.Object{}, store.ErrNotFound
	}
	o := describe(info)
	o.Key = key
	return o, nil
}

// describe tells all but the key. The ETag is made of what changes when a
// file is replaced: its inode, its time in nanoseconds, its size.
func describe(info fs.FileInfo) store.Object {
	var inode uint64
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	return store.Object{
		Size:     info.Size(),
		Modified: info.ModTime().UTC(),
		ETag:     fmt.Sprintf("%x-%x-%x", info.Size(), info.ModTime().UnixNano(), inode),
	}
}

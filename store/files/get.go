package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"streamgate/store"
	"streamgate/store/internal/backend"
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

// Input implements store.Objects. The path is the object's own; release has
// nothing to do.
func (s *Store) Input(ctx context.Context, key string) (store.Input, func(), error) {
	if _, err := s.Stat(ctx, key); err != nil {
		return store.Input{}, nil, err
	}
	return store.Input{Path: s.join(key)}, func() {}, nil
}

// List implements store.Objects. The folders are read before the first object
// is yielded, since their order is not that of keys: "a.b" < "a/b".
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		found, err := s.list(ctx, prefix)
		if err != nil {
			yield(store.Object{}, fmt.Errorf("list %q: %w", prefix, err))
			return
		}
		for _, o := range found {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (s *Store) list(ctx context.Context, prefix string) (found []store.Object, err error) {
	if prefix != "" {
		if err := backend.CheckPrefix(prefix); err != nil {
			return nil, err
		}
		if isFolder(s.join(prefix)) != strings.HasSuffix(prefix, "/") {
			return nil, ctx.Err()
		}
	}
	err = filepath.WalkDir(s.join(prefix), func(path string, entry fs.DirEntry, err error) error {
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
	slices.SortFunc(found, func(a, b store.Object) int { return strings.Compare(a.Key, b.Key) })
	return found, err
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

// Ping implements store.Objects.
func (s *Store) Ping(ctx context.Context) error {
	_, _, err := s.Space(ctx)
	return err
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
		Size: info.Size(),
		ETag: fmt.Sprintf("%x-%x-%x", info.Size(), info.ModTime().UnixNano(), inode),
	}
}

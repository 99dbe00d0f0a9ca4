package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// Delete implements store.Objects. The tree under the prefix is first moved
// out of sight, in one step; then its files are removed. Should the process
// end in between, the next Open does the rest. Parent folders left empty go too.
func (s *Store) Delete(ctx context.Context, prefix string) error {
	if err := errors.Join(ctx.Err(), backend.CheckPrefix(prefix)); err != nil {
		return err
	}
	path := s.join(prefix)
	if isFolder(path) != strings.HasSuffix(prefix, "/") { // a file is no prefix, a folder no object
		return nil
	}
	grave, err := os.MkdirTemp(s.temp, "delete-")
	if err != nil {
		return fmt.Errorf("delete %s: %w", prefix, store.Full(err))
	}
	err = errors.Join(s.unlink(path, filepath.Join(grave, "tree")), os.RemoveAll(grave))
	if err != nil {
		return fmt.Errorf("delete %s: %w", prefix, err)
	}
	return nil
}

// isFolder tells whether a folder is at path.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// unlink moves what is at path to grave and makes its absence durable.
func (s *Store) unlink(path, grave string) error {
	s.tree.Lock()
	defer s.tree.Unlock()
	err := missing(os.Rename(path, grave))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	parent := filepath.Dir(path)
	if err := syncFolder(parent); err != nil {
		return err
	}
	s.pruneFolders(parent)
	return nil
}

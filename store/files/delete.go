package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"streamgate/store"
)

// Delete implements store.Objects. The tree under the prefix is first moved
// out of sight, in one step; then its files are removed. Should the process
// end in between, the next Open does the rest. Parent folders left empty go too.
func (s *Store) Delete(ctx context.Context, prefix string) error {
	path, err := s.pathFor(ctx, prefix)
	if err != nil {
		return err
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

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"streamgate/store"
)

// tempName is the folder of unfinished and of dying files. Keys have no '~'.
const tempName = "~tmp"

// The files are the service's own: ffmpeg runs as the same user.
const (
	folderMode = 0o700
	fileMode   = 0o600
)

// Store is a directory of objects.
type Store struct {
	// Reserve is how much of the disk Put leaves free, bytes: below it Put
	// answers store.ErrFull, so that what shares the disk (the database) can
	// go on. Set it before the first Put.
	Reserve int64

	root string
	temp string

	// tree is held for writing while folders are made or removed, for reading
	// while a file is moved into one. So no folder vanishes under a Put, and
	// none is used before it is durable itself.
	tree sync.RWMutex
	// names is held, within tree, while a file takes its name.
	names sync.Mutex
}

var _ store.Objects = (*Store)(nil)

// Open opens the directory, making it if it is missing, and removes what a
// crash left unfinished.
func Open(dir string) (*Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open objects in %s: %w", dir, err)
	}
	s := &Store{root: root, temp: filepath.Join(root, tempName)}
	if err := os.RemoveAll(s.temp); err != nil {
		return nil, fmt.Errorf("clear unfinished objects: %w", err)
	}
	if err := os.MkdirAll(s.temp, folderMode); err != nil {
		return nil, fmt.Errorf("open objects in %s: %w", dir, store.Full(err))
	}
	return s, nil
}

// makeFolders makes the folders from the root down to dir and syncs each into
// its parent. The tree must be held for writing.
func (s *Store) makeFolders(dir string) error {
	if dir == s.root {
		return nil
	}
	err := os.Mkdir(dir, folderMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.makeFolders(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, folderMode)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

// pruneFolders removes dir and its parents below the root as far as they are
// empty. The tree must be held for writing.
func (s *Store) pruneFolders(dir string) {
	for dir != s.root && os.Remove(dir) == nil { // fails on the first that is not empty
		dir = filepath.Dir(dir)
	}
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// missing turns "no such file" into the contract's error. A file where a
// folder would have to be is just as absent.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return store.ErrNotFound
	}
	return err
}

package files

import (
	"path/filepath"

	"streamgate/store/internal/backend"
)

// path is where the object of a key is.
func (s *Store) path(key string) (string, error) {
	if err := backend.CheckKey(key); err != nil {
		return "", err
	}
	return s.join(key), nil
}

// join is the path of a key, or of a prefix that ends in '/', which is checked.
func (s *Store) join(key string) string { return filepath.Join(s.root, filepath.FromSlash(key)) }

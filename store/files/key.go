package files

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// errKey: a key outside the contract's alphabet. It is a mistake in the
// program, so no caller tests for it.
var errKey = errors.New("invalid object key")

// maxKey is the contract's limit, bytes.
const maxKey = 256

// path is where the object of a key is.
func (s *Store) path(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}

// checkKey allows slash-separated parts of [a-z0-9_.-], none of them empty,
// "." or "..".
func checkKey(key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", errKey, len(key), maxKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, outsideAlphabet) {
			return fmt.Errorf("%w: %q", errKey, key)
		}
	}
	return nil
}

func outsideAlphabet(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

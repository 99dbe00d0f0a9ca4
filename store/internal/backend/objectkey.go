package backend

import (
	"errors"
	"fmt"
	"strings"
)

// errKey: a key outside the contract's alphabet. It is a mistake in the
// program, so no caller tests for it.
var errKey = errors.New("invalid object key")

// MaxKey is the contract's limit of an object's key, bytes.
const MaxKey = 256

// CheckKey allows slash-separated parts of [a-z0-9_.-], none of them empty,
// "." or "..".
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", errKey, len(key), MaxKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, outsideAlphabet) {
			return fmt.Errorf("%w: %q", errKey, key)
		}
	}
	return nil
}

// CheckPrefix allows a key, and a key with a '/' after it.
func CheckPrefix(prefix string) error { return CheckKey(strings.TrimSuffix(prefix, "/")) }

func outsideAlphabet(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

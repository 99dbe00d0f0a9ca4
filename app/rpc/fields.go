package rpc

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"streamgate/store"
)

// What a video has that is not told otherwise, and what it may have.
const (
	DefaultProfile  = "default"
	DefaultPriority = 50
	MaxPriority     = 100
	MaxTitle        = 200 // characters
)

// The checks below are of fields that several requests have, so that such a
// field means the same, and its error reads the same, in all of them.

// Title returns a title without the space around it; invalid_title.
func Title(text string) (string, error) {
	text = strings.TrimSpace(text)
	if n := utf8.RuneCountInString(text); n < 1 || n > MaxTitle {
		return "", Invalid("invalid_title", "The title has %d characters; it must have 1 to %d.", n, MaxTitle)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", Invalid("invalid_title", "The title must be text without control characters.")
	}
	return text, nil
}

// SHA256 returns a SHA-256 in lower-case hex digits, "" if none is given;
// invalid_sha256.
func SHA256(text string) (string, error) {
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != 32 && text != "" {
		return "", Invalid("invalid_sha256", "sha256 must be 64 hexadecimal digits.")
	}
	return strings.ToLower(text), nil
}

// Priority returns the priority that is given, or else the other;
// invalid_priority.
func Priority(given *int32, otherwise int) (int, error) {
	if given == nil {
		return otherwise, nil
	}
	if *given < 0 || *given > MaxPriority {
		return 0, Invalid("invalid_priority", "The priority is %d; it must be 0 to %d.", *given, MaxPriority)
	}
	return int(*given), nil
}

// Profile returns the profile that is given, or else the default one, which is
// always among those there are; unknown_profile.
func Profile(given string, known []string) (string, error) {
	if given == "" || given == DefaultProfile {
		return DefaultProfile, nil
	}
	if !slices.Contains(known, given) {
		if !slices.Contains(known, DefaultProfile) {
			known = append([]string{DefaultProfile}, known...)
		}
		return "", Invalid("unknown_profile", "There is no profile %q; there are: %s.", given, strings.Join(known, ", "))
	}
	return given, nil
}

// Page returns the query of a list's page; invalid_limit.
func Page(limit int32, cursor string) (store.Query, error) {
	if limit < 0 || limit > store.MaxLimit {
		return store.Query{}, Invalid("invalid_limit", "The limit is %d; it must be 1 to %d.", limit, store.MaxLimit)
	}
	return store.Query{Limit: int(limit), Cursor: cursor}, nil
}

// ListError returns the error of a list of nouns ("videos"); invalid_cursor if
// it is the caller's.
func ListError(err error, nouns string) error {
	if errors.Is(err, store.ErrCursor) {
		return Invalid("invalid_cursor", "The cursor is not one that a list has given out.")
	}
	return fmt.Errorf("list %s: %w", nouns, err)
}

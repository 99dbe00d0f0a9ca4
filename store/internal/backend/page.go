package backend

import (
	"encoding/base64"
	"strings"

	"streamgate/store"
)

// PageSize is how many records a query with this limit gets.
func PageSize(limit int) int {
	if limit <= 0 {
		return store.DefaultLimit
	}
	return min(limit, store.MaxLimit)
}

// A cursor is the last id of a page, wrapped so that nobody builds on its form.
const cursorMark = "after:"

// FormatCursor is the cursor after an id.
func FormatCursor(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorMark + id))
}

// ParseCursor is the id that a cursor is after, "" for none; store.ErrCursor.
func ParseCursor(cursor string) (id string, err error) {
	if cursor == "" {
		return "", nil
	}
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	id, ok := strings.CutPrefix(string(data), cursorMark)
	if err != nil || !ok || id == "" {
		return "", store.ErrCursor
	}
	return id, nil
}

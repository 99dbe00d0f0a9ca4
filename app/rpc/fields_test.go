package rpc

import (
	"errors"
	"strings"
	"testing"

	"streamgate/store"
)

func TestFields(t *testing.T) {
	sum := strings.Repeat("aB", 32)
	for _, tc := range []struct {
		name         string
		check        func(string) (string, error)
		text         string
		want, reason string
	}{
		{"title", Title, "  A film ", "A film", ""},
		{"longest title", Title, strings.Repeat("é", MaxTitle), strings.Repeat("é", MaxTitle), ""},
		{"too long a title", Title, strings.Repeat("é", MaxTitle+1), "", "invalid_title"},
		{"empty title", Title, " \t", "", "invalid_title"},
		{"control character", Title, "a\x00b", "", "invalid_title"},
		{"not UTF-8", Title, "a\xff", "", "invalid_title"},
		{"hash", SHA256, sum, strings.ToLower(sum), ""},
		{"no hash", SHA256, "", "", ""},
		{"short hash", SHA256, sum[:62], "", "invalid_sha256"},
		{"no hex digits", SHA256, strings.Repeat("g", 64), "", "invalid_sha256"},
	} {
		got, err := tc.check(tc.text)
		if reason, _ := Reason(err); got != tc.want || reason != tc.reason {
			t.Errorf("%s: %q, %v; want %q, %q", tc.name, got, err, tc.want, tc.reason)
		}
	}
}

func TestPriority(t *testing.T) {
	for given, reason := range map[int32]string{-1: "invalid_priority", 0: "", 100: "", 101: "invalid_priority"} {
		got, err := Priority(&given, 7)
		if r, _ := Reason(err); r != reason || err == nil && got != int(given) {
			t.Errorf("%d became %d, %v", given, got, err)
		}
	}
	if got, err := Priority(nil, 7); got != 7 || err != nil {
		t.Errorf("none became %d, %v", got, err)
	}
}

func TestPage(t *testing.T) {
	for limit, reason := range map[int32]string{-1: "invalid_limit", 0: "", store.MaxLimit: "", store.MaxLimit + 1: "invalid_limit"} {
		q, err := Page(limit, "c")
		if r, _ := Reason(err); r != reason || err == nil && q != (store.Query{Limit: int(limit), Cursor: "c"}) {
			t.Errorf("%d: %+v, %v", limit, q, err)
		}
	}
	if reason, _ := Reason(ListError(store.ErrCursor, "videos")); reason != "invalid_cursor" {
		t.Errorf("a wrong cursor is %q", reason)
	}
	broken := errors.New("broken")
	if err := ListError(broken, "videos"); !errors.Is(err, broken) || err.Error() != "list videos: broken" {
		t.Errorf("got %v", err)
	}
}

package store

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// pages is a table that lists one key a page, and fails after the last one if
// it is told to.
type pages struct {
	Table[Key]
	ids []string
	err error
}

func (p pages) List(_ context.Context, q Query) ([]Key, string, error) {
	i := slices.Index(p.ids, q.Cursor) + 1
	if i == len(p.ids) {
		return nil, "", p.err
	}
	return []Key{{ID: p.ids[i]}}, p.ids[i], nil
}

func TestAll(t *testing.T) {
	broken := errors.New("broken")
	for _, want := range []error{nil, broken} {
		var ids []string
		var got error
		for key, err := range All(t.Context(), pages{ids: []string{"c", "b", "a"}, err: want}, Query{}) {
			if got = err; err == nil {
				ids = append(ids, key.ID)
			}
		}
		if !slices.Equal(ids, []string{"c", "b", "a"}) || !errors.Is(got, want) {
			t.Errorf("got %v, %v; want error %v", ids, got, want)
		}
	}
	for key := range All(t.Context(), pages{ids: []string{"b", "a"}, err: broken}, Query{}) {
		if key.ID != "b" {
			t.Errorf("went on to %q", key.ID)
		}
		break
	}
}

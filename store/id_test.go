package store

import (
	"testing"
	"time"
)

func TestNamedID(t *testing.T) {
	now := time.Now()
	id := NamedID(now, "a")
	if id != NamedID(now, "a") || len(id) != len(NewID()) {
		t.Errorf("%s, then %s", id, NamedID(now, "a"))
	}
	for _, other := range []string{NamedID(now, "b"), NamedID(now.Add(1), "a")} {
		if id == other || id[:9] != other[:9] {
			t.Errorf("%s and %s", id, other)
		}
	}
	if earlier := NamedID(now.Add(-time.Hour), "z"); earlier >= id {
		t.Errorf("%s, an hour earlier, comes after %s", earlier, id)
	}
	if next := NewID(); next[:4] != id[:4] || NamedID(now.Add(-time.Hour), "a") > next {
		t.Errorf("%s does not sort with %s", id, next)
	}
}

package bolt

import (
	"bytes"
	"cmp"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// FuzzKeyOrder: keys compare as bytes as jobs compare by the contract.
func FuzzKeyOrder(f *testing.F) {
	f.Add(0, 50, int64(1), int64(2), 3, "a", 0, 50, int64(1), int64(2), 3, "b")
	f.Add(-1, 100, int64(-62135596800), int64(0), -9, "a", 2, -100, int64(1<<40), int64(999999999), 256, "")
	f.Add(1, 0, int64(0), int64(1), 255, "ab", 1, 0, int64(0), int64(1), 256, "a")
	f.Fuzz(func(t *testing.T, rank1, prio1 int, sec1, nano1 int64, ord1 int, id1 string,
		rank2, prio2 int, sec2, nano2 int64, ord2 int, id2 string) {
		a, b := job(rank1, prio1, sec1, nano1, ord1, id1), job(rank2, prio2, sec2, nano2, ord2, id2)
		want := cmp.Or(
			cmp.Compare(a.Rank, b.Rank),
			cmp.Compare(b.Priority, a.Priority),
			a.Created.Compare(b.Created),
			cmp.Compare(a.Ordinal, b.Ordinal),
			cmp.Compare(a.ID, b.ID))
		if got := bytes.Compare(backend.KeyOrder(&a), backend.KeyOrder(&b)); got != want {
			t.Errorf("got %d, want %d for\n%+v\n%+v", got, want, a, b)
		}
		if got := orderRank(backend.KeyOrder(&a)); got != a.Rank {
			t.Errorf("rank %d read back as %d", a.Rank, got)
		}
	})
}

// job keeps the times in years that a clock may show.
func job(rank, prio int, sec, nano int64, ordinal int, id string) store.Job {
	const years = 200 * 365 * 24 * 3600
	return store.Job{
		Rank: store.Rank(rank), Priority: max(prio, -1<<30), Ordinal: ordinal, ID: id,
		Created: time.Unix(sec%years, nano%1e9),
	}
}

func TestSuccessor(t *testing.T) {
	for _, test := range []struct{ prefix, want []byte }{
		{nil, nil},
		{[]byte("a"), []byte("b")},
		{[]byte("a\xff"), []byte("b")},
		{[]byte("\xff\xff"), nil},
	} {
		if got := successor(test.prefix); !bytes.Equal(got, test.want) {
			t.Errorf("after %q comes %q, want %q", test.prefix, got, test.want)
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add("!")
	f.Add(backend.FormatCursor("0abc"))
	f.Fuzz(func(t *testing.T, cursor string) {
		id, err := backend.ParseCursor(cursor)
		if err != nil || cursor == "" {
			return
		}
		if again, err := backend.ParseCursor(backend.FormatCursor(id)); err != nil || again != id {
			t.Errorf("%q became %q, %v", id, again, err)
		}
	})
}

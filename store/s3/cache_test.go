package s3

import (
	"fmt"
	"os"
	"testing"

	"streamgate/store"
)

// What was read before it was replaced or deleted is not kept.
func TestCacheForgets(t *testing.T) {
	c := open(t, 1<<20)
	add := func(epoch uint64, key string) { c.add(epoch, key, store.Object{Key: key, Size: 1}, []byte("x")) }
	began := c.now()
	for _, key := range []string{"v/1", "v/1/a", "v/10", "v/2"} {
		add(began, key)
	}
	wantIDs(t, c, "v/1", "v/1/a", "v/10", "v/2")
	c.forget("v/1/")
	wantIDs(t, c, "v/1", "v/10", "v/2")
	c.forget("v/1")
	wantIDs(t, c, "v/10", "v/2")
	add(began, "v/1") // was on its way
	wantIDs(t, c, "v/10", "v/2")
	add(c.now(), "v/1")
	wantIDs(t, c, "v/1", "v/10", "v/2")
}

func TestCacheDropsWhatWasUsedLongestAgo(t *testing.T) {
	c := open(t, 10*(1000+512))
	for i := range 10 {
		c.add(0, fmt.Sprint(i), store.Object{}, make([]byte, 1000))
	}
	if _, ok := c.block("0"); !ok {
		t.Error("the first is gone already")
	}
	c.add(0, "10", store.Object{}, make([]byte, 1000))
	c.add(0, "too large", store.Object{}, make([]byte, 5000))
	wantIDs(t, c, "0", "2", "3", "4", "5", "6", "7", "8", "9", "10")
	files, err := os.ReadDir(c.dir)
	if err != nil || len(files) != 10 {
		t.Errorf("%d files, %v", len(files), err)
	}
	// An entry that is added again counts once.
	for range 20 {
		c.add(0, "10", store.Object{}, make([]byte, 1000))
	}
	if c.size != 10*(1000+512) {
		t.Errorf("its size is %d", c.size)
	}
}

func open(t *testing.T, most int64) *cache {
	t.Helper()
	c, err := newCache(t.TempDir()+"/read", most)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantIDs(t *testing.T, c *cache, want ...string) {
	t.Helper()
	for _, id := range want {
		if c.entries[id] == nil {
			t.Errorf("%s is missing", id)
		}
	}
	if len(c.entries) != len(want) {
		t.Errorf("%d entries, want %v", len(c.entries), want)
	}
}

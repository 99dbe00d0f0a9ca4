package memory_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/memory"
	"streamgate/store/storetest"
)

func TestCache(t *testing.T) {
	storetest.TestCache(t, func(_ *testing.T, clock *storetest.Clock) store.Cache {
		return memory.NewCache(memory.Options{Now: clock.Now, Entries: 30})
	})
}

func TestCacheForgetsTheOldest(t *testing.T) {
	clock := storetest.NewClock()
	c := memory.NewCache(memory.Options{Now: clock.Now, Entries: 3})
	for i := range 3 {
		set(t, c, fmt.Sprint(i))
	}
	wantHas(t, c, "0", true) // used: now 1 is the oldest
	for i := range 100 {     // another kind takes no room from values
		if _, err := c.Allow(t.Context(), fmt.Sprint(i), 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	set(t, c, "3")
	wantHas(t, c, "1", false)
	for _, key := range []string{"0", "2", "3"} {
		wantHas(t, c, key, true)
	}
}

func TestAllowRefusesLimitsThatLetNothingPass(t *testing.T) {
	c := memory.NewCache(memory.Options{})
	for _, limit := range []struct {
		rate  float64
		burst int
	}{{0, 1}, {-1, 1}, {1, 0}} {
		if _, err := c.Allow(t.Context(), "a", limit.rate, limit.burst); err == nil {
			t.Errorf("rate %v, burst %d: no error", limit.rate, limit.burst)
		}
	}
}

func set(t *testing.T, c *memory.Cache, key string) {
	t.Helper()
	if err := c.Set(t.Context(), key, nil, time.Minute); err != nil {
		t.Fatal(err)
	}
}

func wantHas(t *testing.T, c *memory.Cache, key string, want bool) {
	t.Helper()
	_, err := c.Get(t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	if has := err == nil; has != want {
		t.Errorf("has %s: %v, want %v", key, has, want)
	}
}

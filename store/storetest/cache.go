package storetest

import (
	"context"
	"testing"
	"time"

	"streamgate/store"
)

// TestCache checks a store.Cache. open returns an empty one that reads the
// time from clock, with room for a few dozen entries.
func TestCache(t *testing.T, open func(t *testing.T, clock *Clock) store.Cache) {
	for _, test := range []struct {
		name string
		run  func(*cacheTest)
	}{
		{"set and get", (*cacheTest).set},
		{"values end", (*cacheTest).expire},
		{"values are copies", (*cacheTest).copies},
		{"a value lives for a time", (*cacheTest).badTTL},
		{"take removes", (*cacheTest).take},
		{"of many takes one gets it", (*cacheTest).manyTake},
		{"allow spends a burst", (*cacheTest).burst},
		{"allow refills at the rate", (*cacheTest).refill},
		{"allow lets through after the wait", (*cacheTest).wait},
		{"allow tells what is left", (*cacheTest).left},
		{"of many allows no more than the burst pass", (*cacheTest).manyAllow},
		{"a set takes so many", (*cacheTest).sets},
		{"members of sets end", (*cacheTest).membersEnd},
		{"of many no more enter a set than it takes", (*cacheTest).manyEnter},
		{"a cancelled context changes nothing", (*cacheTest).cancelledContext},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := NewClock()
			test.run(&cacheTest{t, clock, open(t, clock)})
		})
	}
}

// cacheTest is one subtest with its cache.
type cacheTest struct {
	*testing.T
	clock *Clock
	cache store.Cache
}

// put stores a value for a minute.
func (c *cacheTest) put(key, value string) {
	c.Helper()
	check(c.T, c.cache.Set(c.Context(), key, []byte(value), time.Minute))
}

func (c *cacheTest) wantValue(key, value string) {
	c.Helper()
	got, err := c.cache.Get(c.Context(), key)
	check(c.T, err)
	same(c.T, key, string(got), value)
}

func (c *cacheTest) wantNone(key string) {
	c.Helper()
	_, err := c.cache.Get(c.Context(), key)
	wantErr(c.T, "get "+key, err, store.ErrNotFound)
	_, err = c.cache.Take(c.Context(), key)
	wantErr(c.T, "take "+key, err, store.ErrNotFound)
}

func (c *cacheTest) set() {
	c.wantNone("a")
	c.put("a", "1")
	c.put("b", "")
	c.wantValue("a", "1")
	c.wantValue("b", "")
	c.put("a", "2")
	c.wantValue("a", "2")
}

func (c *cacheTest) expire() {
	c.put("a", "1")
	c.put("b", "1")
	c.clock.Advance(time.Minute - time.Millisecond)
	c.wantValue("a", "1")
	c.put("b", "2") // begins anew
	c.clock.Advance(time.Millisecond)
	c.wantNone("a")
	c.wantValue("b", "2")
	c.put("a", "3")
	c.wantValue("a", "3")
}

func (c *cacheTest) copies() {
	given := []byte("1")
	check(c.T, c.cache.Set(c.Context(), "a", given, time.Minute))
	given[0] = 'x'
	got, err := c.cache.Get(c.Context(), "a")
	check(c.T, err)
	got[0] = 'x'
	c.wantValue("a", "1")
}

func (c *cacheTest) badTTL() {
	for _, ttl := range []time.Duration{0, -time.Second} {
		if c.cache.Set(c.Context(), "a", []byte("1"), ttl) == nil {
			c.Errorf("set for %v: no error", ttl)
		}
	}
	c.wantNone("a")
}

func (c *cacheTest) take() {
	c.put("a", "1")
	c.put("late", "1")
	got, err := c.cache.Take(c.Context(), "a")
	check(c.T, err)
	same(c.T, "taken", string(got), "1")
	c.wantNone("a")
	c.clock.Advance(time.Minute)
	_, err = c.cache.Take(c.Context(), "late")
	wantErr(c.T, "take", err, store.ErrNotFound)
}

func (c *cacheTest) manyTake() {
	c.put("nonce", "1")
	const callers = 16
	errs := make([]error, callers)
	together(callers, func(i int) { _, errs[i] = c.cache.Take(c.Context(), "nonce") })
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantErr(c.T, "a loser", err, store.ErrNotFound)
	}
	same(c.T, "winners", won, 1)
}

// allow spends from a bucket of 2 tokens a second up to 3.
func (c *cacheTest) allow(key string) store.Allowance {
	c.Helper()
	got, err := c.cache.Allow(c.Context(), key, 2, 3)
	check(c.T, err)
	return got
}

// wantAllowed checks that exactly n calls pass now.
func (c *cacheTest) wantAllowed(key string, n int) {
	c.Helper()
	for i := range n {
		if !c.allow(key).OK {
			c.Fatalf("call %d of %d did not pass", i+1, n)
		}
	}
	if c.allow(key).OK {
		c.Fatalf("more than %d calls passed", n)
	}
}

func (c *cacheTest) burst() {
	c.wantAllowed("a", 3)
	c.wantAllowed("b", 3)
}

func (c *cacheTest) refill() {
	c.wantAllowed("a", 3)
	c.clock.Advance(time.Second)
	c.wantAllowed("a", 2)
	c.clock.Advance(250 * time.Millisecond) // half a token
	c.wantAllowed("a", 0)
	c.clock.Advance(250 * time.Millisecond)
	c.wantAllowed("a", 1)
	c.clock.Advance(time.Hour)
	c.wantAllowed("a", 3)
}

func (c *cacheTest) wait() {
	c.wantAllowed("a", 3)
	got := c.allow("a")
	if got.OK || got.Left != 0 || got.Next <= 0 || got.Next > 500*time.Millisecond {
		c.Fatalf("got %+v, want to wait no more than 500ms", got)
	}
	c.clock.Advance(got.Next)
	c.wantAllowed("a", 1)
}

// left: whoever waits as long as is said finds one more than there was.
func (c *cacheTest) left() {
	for want := 2; want >= 0; want-- {
		if got := c.allow("a"); got != (store.Allowance{OK: true, Left: want, Next: 500 * time.Millisecond}) {
			c.Errorf("got %+v, want %d left and one more in 500ms", got, want)
		}
	}
	c.clock.Advance(700 * time.Millisecond) // 1.4 tokens
	got := c.allow("a")
	if !got.OK || got.Left != 0 || got.Next < 250*time.Millisecond || got.Next > 301*time.Millisecond {
		c.Errorf("got %+v, want none left and one in 300ms", got)
	}
	c.clock.Advance(got.Next)
	c.wantAllowed("a", 1)
}

func (c *cacheTest) manyAllow() {
	const callers = 16
	passed := make([]bool, callers)
	together(callers, func(i int) { passed[i] = c.allow("a").OK })
	n := 0
	for _, ok := range passed {
		if ok {
			n++
		}
	}
	same(c.T, "passed", n, 3)
}

// wantEntered checks whether a member gets into a set of two, for a minute.
func (c *cacheTest) wantEntered(set, member string, want bool) {
	c.Helper()
	got, err := c.cache.Enter(c.Context(), set, member, 2, time.Minute)
	check(c.T, err)
	same(c.T, member+" enters "+set, got, want)
}

func (c *cacheTest) sets() {
	check(c.T, c.cache.Leave(c.Context(), "a", "nobody"))
	c.wantEntered("a", "1", true)
	c.wantEntered("a", "2", true)
	c.wantEntered("a", "3", false)
	c.wantEntered("a", "1", true) // is there
	c.wantEntered("b", "3", true)
	check(c.T, c.cache.Leave(c.Context(), "a", "1"))
	c.wantEntered("a", "3", true)
	c.wantEntered("a", "1", false)
	got, err := c.cache.Enter(c.Context(), "a", "1", 0, time.Minute) // whatever the limit
	check(c.T, err)
	same(c.T, "1 enters without a limit", got, true)
	if _, err := c.cache.Enter(c.Context(), "a", "1", 2, 0); err == nil {
		c.Error("a member for no time: no error")
	}
}

func (c *cacheTest) membersEnd() {
	c.wantEntered("a", "1", true)
	c.clock.Advance(30 * time.Second)
	c.wantEntered("a", "2", true)
	c.clock.Advance(30*time.Second - time.Millisecond)
	c.wantEntered("a", "3", false)
	c.clock.Advance(time.Millisecond)
	c.wantEntered("a", "3", true)
	c.wantEntered("a", "1", false) // its time was over
	c.wantEntered("a", "2", true)  // begins anew
	c.clock.Advance(time.Minute - time.Millisecond)
	c.wantEntered("a", "1", false)
}

func (c *cacheTest) manyEnter() {
	const callers = 16
	in := make([]bool, callers)
	together(callers, func(i int) {
		in[i], _ = c.cache.Enter(c.Context(), "a", string(rune('a'+i)), 3, time.Minute)
	})
	n := 0
	for _, ok := range in {
		if ok {
			n++
		}
	}
	same(c.T, "entered", n, 3)
}

func (c *cacheTest) cancelledContext() {
	c.put("a", "1")
	ctx := cancelled(c.T)
	for name, call := range map[string]func() error{
		"get":   func() error { _, err := c.cache.Get(ctx, "a"); return err },
		"set":   func() error { return c.cache.Set(ctx, "a", []byte("2"), time.Minute) },
		"take":  func() error { _, err := c.cache.Take(ctx, "a"); return err },
		"enter": func() error { _, err := c.cache.Enter(ctx, "a", "1", 2, time.Minute); return err },
		"leave": func() error { return c.cache.Leave(ctx, "a", "1") },
		"allow": func() error { _, err := c.cache.Allow(ctx, "a", 2, 3); return err },
	} {
		wantErr(c.T, name, call(), context.Canceled)
	}
	c.wantValue("a", "1")
	c.wantAllowed("a", 3)
}

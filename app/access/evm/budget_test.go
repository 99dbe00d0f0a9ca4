package evm

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// TestBudgetLearns: the budget of an endpoint that takes 20 calls a second
// comes down to about that, and up again when the endpoint takes more.
func TestBudgetLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, refused := newBudget(0), 0
		second, taken, most := time.Now(), 0, 20
		for begin := time.Now(); time.Since(begin) < time.Minute; {
			if time.Since(second) >= time.Second {
				second, taken = time.Now(), 0
			}
			if err := b.wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if taken >= most {
				refused++
				b.refused(time.Now(), 100*time.Millisecond)
				continue
			}
			taken++
			b.answered(time.Now())
			time.Sleep(time.Millisecond)
		}
		if limit := b.learned.Limit(); limit < minRate || limit > 40 || refused > 100 {
			t.Errorf("the limit is %v after %d refusals", limit, refused)
		}
		for range 100 {
			time.Sleep(raiseEvery)
			b.answered(time.Now())
		}
		if limit := b.learned.Limit(); limit != rate.Inf {
			t.Errorf("the limit stays at %v", limit)
		}
	})
}

// TestBudgetIsBounded: what is learnt is never more than what is configured,
// nor less than what a chain needs.
func TestBudgetIsBounded(t *testing.T) {
	b, now := newBudget(3), time.Unix(1e9, 0)
	for range 10 {
		now = now.Add(time.Minute)
		b.refused(now, 0)
	}
	if b.learned.Limit() != 3 {
		t.Errorf("limit %v, 3 are configured", b.learned.Limit())
	}
	b = newBudget(0)
	for range 10 {
		now = now.Add(time.Minute)
		b.refused(now, 0)
	}
	if b.learned.Limit() != minRate {
		t.Errorf("limit %v", b.learned.Limit())
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "x": 0, "-3": 0, "0": 0, "2": 2 * time.Second, "99999999999": maxCooldown, "9999999": maxCooldown,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

// TestBudgetIsOfAllNodes: each has its part, and all of it once it is alone.
func TestBudgetIsOfAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := 4
		b := newBudget(100)
		b.nodes = func() int { return nodes }
		second := func() (calls int) {
			for begin := time.Now(); time.Since(begin) < 10*time.Second; calls++ {
				if err := b.wait(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			return calls / 10
		}
		second() // what may come at once
		for _, tt := range []struct{ nodes, want int }{{4, 25}, {2, 50}, {1, 100}, {0, 100}} {
			nodes = tt.nodes
			if got := second(); got < tt.want-2 || got > tt.want+12 {
				t.Errorf("one of %d nodes sends %d calls a second, want %d", tt.nodes, got, tt.want)
			}
		}
	})
}

package evm

import (
	"testing"
	"time"
)

// step is something that happens to a breaker at a time.
type step struct {
	after time.Duration // since the last step
	do    string        // allow, succeed, fail, abandon, limited (fail for at least 30 s)
	want  bool          // what allow, succeed and fail return
}

func TestBreakerSteps(t *testing.T) {
	failed := []step{{0, "allow", true}, {0, "fail", false}, {0, "allow", true}, {0, "fail", false}, {0, "allow", true}, {0, "fail", true}}
	for name, steps := range map[string][]step{
		"opens after three failures": append(failed, step{0, "allow", false}, step{4 * time.Second, "allow", false}),
		"a success in between":       {{0, "fail", false}, {0, "fail", false}, {0, "succeed", false}, {0, "fail", false}, {0, "allow", true}},
		"half open lets one through": append(failed, step{5 * time.Second, "allow", true}, step{0, "allow", false}),
		"closes":                     append(failed, step{5 * time.Second, "allow", true}, step{0, "succeed", true}, step{0, "allow", true}, step{0, "allow", true}),
		"opens for twice as long": append(failed, step{5 * time.Second, "allow", true}, step{0, "fail", false},
			step{9 * time.Second, "allow", false}, step{time.Second, "allow", true}),
		"the trial is taken back": append(failed, step{5 * time.Second, "allow", true}, step{0, "abandon", false}, step{0, "allow", true}),
		"late failures change nothing": append(failed, step{0, "fail", false}, step{0, "fail", false},
			step{5 * time.Second, "allow", true}),
		"limited opens at once": {{0, "limited", true}, {29 * time.Second, "allow", false}, {time.Second, "allow", true}},
	} {
		t.Run(name, func(t *testing.T) {
			b, now := &breaker{base: 5 * time.Second}, time.Unix(1e9, 0)
			for i, s := range steps {
				now = now.Add(s.after)
				if got := take(b, s.do, now); got != s.want {
					t.Fatalf("step %d, %s: %v", i, s.do, got)
				}
			}
		})
	}
}

func take(b *breaker, do string, now time.Time) bool {
	switch do {
	case "allow":
		return b.allow(now)
	case "succeed":
		return b.succeed()
	case "fail":
		return b.fail(now, 0)
	case "limited":
		return b.fail(now, 30*time.Second)
	default:
		b.abandon()
		return false
	}
}

func TestBreakerCooldownIsBounded(t *testing.T) {
	b, now := &breaker{base: 5 * time.Second}, time.Unix(1e9, 0)
	for range 100 {
		b.fail(now, 0)
		now = now.Add(maxCooldown)
		if b.opened > 0 && !b.allow(now) {
			t.Fatal("the breaker is open for longer than the most")
		}
	}
}

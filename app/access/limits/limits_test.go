package limits_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"streamgate/app/access/limits"
	"streamgate/app/rpc"
	"streamgate/store/memory"
)

// Each limit lets its burst pass, refuses what comes after it with the seconds
// to wait, and tells all along what is left.
func TestLimits(t *testing.T) {
	stranger := rpc.Identity{Client: "192.0.2.1"}
	viewer := rpc.Identity{Client: "192.0.2.2", Wallet: "0xA"}
	for _, tt := range []struct {
		name   string
		who    rpc.Identity
		spend  func(*limits.Limits, context.Context) error
		burst  int
		reason string
		policy []string // of the last answer that passed, and what was left then
		left   []string
	}{
		{"attempts", stranger, func(l *limits.Limits, ctx context.Context) error { return l.Attempt(ctx, "v") }, 10, "too_many_attempts",
			[]string{`"attempts";q=10;w=100`, `"attempts-of-all";q=200;w=100`}, []string{`"attempts";r=0;t=10`, `"attempts-of-all";r=190;t=1`}},
		{"decisions", viewer, (*limits.Limits).Question, 60, "rate_limited",
			[]string{`"decisions";q=60;w=12`, `"decisions-of-wallet";q=60;w=12`}, []string{`"decisions";r=0;t=1`, `"decisions-of-wallet";r=0;t=1`}},
		{"sign-ins", stranger, (*limits.Limits).SignIn, 200, "rate_limited", []string{`"sign-ins";q=200;w=20`}, []string{`"sign-ins";r=0;t=1`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			l := limits.New(memory.NewCache(memory.Options{Now: func() time.Time { return now }}))
			ctx := rpc.WithIdentity(t.Context(), tt.who)
			h := http.Header{}
			for range tt.burst {
				h = http.Header{}
				if err := tt.spend(l, rpc.WithLimits(ctx, h)); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(h["Ratelimit-Policy"], tt.policy) || !slices.Equal(h["Ratelimit"], tt.left) {
				t.Errorf("limits %q, left %q", h["Ratelimit-Policy"], h["Ratelimit"])
			}
			h = http.Header{}
			err := tt.spend(l, rpc.WithLimits(ctx, h))
			if reason, _ := rpc.Reason(err); reason != tt.reason || !slices.Equal(h["Ratelimit"], tt.left[:1]) {
				t.Errorf("one more: %v, left %q", err, h["Ratelimit"])
			}
			if err := tt.spend(l, rpc.WithIdentity(t.Context(), rpc.Identity{Client: "192.0.2.9"})); err != nil {
				t.Errorf("another client: %v", err)
			}
		})
	}
}

// Who has a key is not counted.
func TestKeysAreNotLimited(t *testing.T) {
	l := limits.New(memory.NewCache(memory.Options{}))
	ctx := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead, Client: "192.0.2.1"})
	for range 300 {
		if l.Question(ctx) != nil || l.SignIn(ctx) != nil {
			t.Fatal("refused")
		}
	}
}

package node

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestEndpoints: with endpoints as they are found, who holds a token signs in
// and watches, and who sells it no longer does.
func TestEndpoints(t *testing.T) {
	const poll = time.Second
	const away = 1500 * time.Millisecond
	never := func(http.ResponseWriter, []byte) bool { return false }
	for name, c := range map[string]struct {
		refuse  func() func(http.ResponseWriter, []byte) bool
		timeout time.Duration
		ended   time.Duration // within this after the sale; each must be far less than the recheck interval
	}{
		"no batches": {ended: poll + 4*time.Second, refuse: func() func(http.ResponseWriter, []byte) bool {
			return func(w http.ResponseWriter, body []byte) bool {
				if bytes.HasPrefix(body, []byte("[")) {
					w.WriteHeader(http.StatusForbidden)
					return true
				}
				return false
			}
		}},
		"no logs": {ended: poll + 4*time.Second, refuse: func() func(http.ResponseWriter, []byte) bool {
			return func(w http.ResponseWriter, body []byte) bool {
				if bytes.Contains(body, []byte("eth_getLogs")) {
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"eth_getLogs is not available"}}`)
					return true
				}
				return false
			}
		}},
		"429 to every second request": {ended: poll + 6*time.Second, refuse: func() func(http.ResponseWriter, []byte) bool {
			var requests atomic.Int64
			return func(w http.ResponseWriter, _ []byte) bool {
				if requests.Add(1)%2 == 0 {
					return false
				}
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			}
		}},
		"1.5 s away": {ended: poll + 2*away + 2*time.Second, timeout: 5 * time.Second, refuse: func() func(http.ResponseWriter, []byte) bool {
			return func(http.ResponseWriter, []byte) bool {
				<-time.After(away)
				return false
			}
		}},
		"near and whole": {ended: poll + 2*time.Second, refuse: func() func(http.ResponseWriter, []byte) bool { return never }},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRefusingGateTest(t, c.refuse(), func(cfg *Config) {
				cfg.Chains[0].PollInterval, cfg.Chains[0].Timeout = poll, max(c.timeout, 3*time.Second)
			})
			ctx := t.Context()
			token, err := g.chain.Mint721(ctx, g.chain.Holder.Address)
			g.ok(err)
			_, err = g.chain.Mint721(ctx, g.chain.Buyer.Address)
			g.ok(err)
			g.video("film", anyNFT)
			kept := g.untilAdmitted("film", g.login(g.chain.Buyer))
			login := g.login(g.chain.Holder)
			begun := time.Now()
			ticket := g.watch("film", login)
			t.Logf("a session takes %s", time.Since(begun).Round(time.Millisecond))

			g.ok(g.chain.Transfer721(ctx, g.chain.Holder, g.chain.Stranger.Address, token))
			begun = time.Now()
			g.untilEnded(ticket, "not_a_holder")
			took := time.Since(begun).Round(time.Millisecond)
			t.Logf("the session ends %s after the sale", took)
			if took > c.ended {
				t.Errorf("the session ends %s after the sale, want %s", took, c.ended)
			}
			g.wantAlive(kept)
		})
	}
}

// TestChainGoes: whoever watches on a chain that goes away is shut out soon.
func TestChainGoes(t *testing.T) {
	const poll = time.Second
	g := newGateTest(t, func(cfg *Config) { cfg.Chains[0].PollInterval = poll })
	_, err := g.chain.Mint721(t.Context(), g.chain.Holder.Address)
	g.ok(err)
	g.video("film", anyNFT)
	ticket := g.watch("film", g.login(g.chain.Holder))
	g.down.Store(true)
	begun := time.Now()
	g.untilEnded(ticket, "chain_unreachable")
	took := time.Since(begun).Round(time.Millisecond)
	t.Logf("the session ends after %s", took)
	if took > poll+3*time.Second {
		t.Errorf("the session ends after %s", took)
	}
}

// TestWriteChainCheck: endpoints are tried, and what is wrong is said.
func TestWriteChainCheck(t *testing.T) {
	g := newGateTest(t)
	check := func() (string, bool) {
		found, err := CheckChains(t.Context(), g.cfg)
		g.ok(err)
		var out strings.Builder
		WriteChainCheck(&out, found)
		return out.String(), !slices.ContainsFunc(found, func(f ChainFinding) bool { return !f.Works })
	}
	said, works := check()
	for _, want := range []string{"Devchain, 127.0.0.1:", "ok   chain id         The chain id is 1337.", "ok   logs ", "ok   batches "} {
		if !works || !strings.Contains(said, want) {
			t.Errorf("works %v, lacks %q:\n%s", works, want, said)
		}
	}
	g.down.Store(true)
	said, works = check()
	if works || !strings.Contains(said, "BAD  answer           The endpoint gives no answer that can be used: it refuses by HTTP status 503.") {
		t.Errorf("works %v:\n%s", works, said)
	}
}

package evm_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"streamgate/app/access/eth"
)

// together answers requests only when so many are under way at the same time:
// whoever needs one's answer for the next waits in vain.
type together struct {
	mu      sync.Mutex
	want    int // 0: any number
	waiting int
	all     chan struct{}
}

func (g *together) expect(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.want, g.waiting, g.all = n, 0, make(chan struct{})
}

func (g *together) refuse(http.ResponseWriter, []anyCall, bool) bool {
	g.mu.Lock()
	all := g.all
	if g.want == 0 {
		g.mu.Unlock()
		return false
	}
	if g.waiting++; g.waiting == g.want {
		close(all)
	}
	g.mu.Unlock()
	select {
	case <-all:
	case <-time.After(10 * time.Second): // longer than any time-out
	}
	return false
}

// TestOneRoundTrip: a decision while there is no new block, and a look at a
// chain with a new one, send all their requests before the first is answered.
func TestOneRoundTrip(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	id := made(n.Mint721(ctx, n.Stranger.Address))(t)
	must(t, n.Mine(ctx, 3))
	for name, confirmations := range map[string]uint64{"newest": 0, "two confirmations": 2} {
		t.Run(name, func(t *testing.T) {
			var gate together
			p := newRefusing(t, n, gate.refuse)
			cfg := configOf(n, p.URL)
			cfg.Confirmations = confirmations
			chains := newChains(t, cfg)
			_ = made(chains.Read(ctx, n.ChainID, sold(n)))(t)
			for range 3 {
				gate.expect(2)
				before := p.requests.Load()
				_ = made(chains.Read(ctx, n.ChainID, sold(n)))(t)
				if got := p.requests.Load() - before; got != 2 {
					t.Errorf("%d requests", got)
				}
			}
		})
	}
	t.Run("a look", func(t *testing.T) {
		var gate together
		p := newRefusing(t, n, gate.refuse)
		chains := newChains(t, configOf(n, p.URL))
		head := made(chains.Head(ctx, n.ChainID))(t)
		must(t, n.Transfer721(ctx, n.Stranger, n.Buyer.Address, id))
		gate.expect(2)
		seen := made(chains.Follow(ctx, n.ChainID, head.Number+1, []eth.Address{at(n.NFT)}))(t)
		if !seen.Whole || seen.Head.Number != head.Number+1 || seen.Before != head || seen.Transfers[len(seen.Transfers)-1].To != at(n.Buyer.Address) {
			t.Errorf("seen %+v", seen)
		}
		gate.expect(2) // the session that this ends is asked at that head
		if r := made(chains.Read(ctx, n.ChainID, sold(n)))(t); r.Answers[0].Amount.Sign() != 0 || r.Block != seen.Head {
			t.Errorf("read %v at %d", r.Answers, r.Block.Number)
		}
	})
}

// TestFollow: what Follow says is what Head and Transfers say, or it leaves
// the logs out.
func TestFollow(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	id := made(n.Mint721(ctx, n.Stranger.Address))(t)
	must(t, n.Mine(ctx, 3))
	of := []eth.Address{at(n.NFT)}
	for name, c := range map[string]struct {
		mode   mode
		refuse refusal
		whole  bool
	}{
		"honest":     {honest, nil, true},
		"no batches": {honest, noBatches, true},
		"no logs":    {logless, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newRefusing(t, n, c.refuse)
			p.set(c.mode)
			chains := newChains(t, configOf(n, p.URL))
			first := made(chains.Head(ctx, n.ChainID))(t)
			for range 3 {
				must(t, n.Transfer721(ctx, n.Stranger, n.Buyer.Address, id))
				must(t, n.Transfer721(ctx, n.Buyer, n.Stranger.Address, id))
				seen := made(chains.Follow(ctx, n.ChainID, first.Number+1, of))(t)
				head := made(chains.Head(ctx, n.ChainID))(t)
				if seen.Head != head || seen.Whole != c.whole {
					t.Fatalf("seen %+v, the head is %+v", seen, head)
				}
				if !c.whole {
					continue
				}
				want := made(chains.Transfers(ctx, n.ChainID, first.Number, head, of))(t)
				if fmt.Sprint(seen.Transfers) != fmt.Sprint(want) || seen.Before != first {
					t.Errorf("transfers %v, want %v", seen.Transfers, want)
				}
			}
		})
	}
	t.Run("an endpoint that lags", func(t *testing.T) {
		lags, leads := newProxy(t, n, honest), newProxy(t, n, honest)
		chains := newChains(t, configOf(n, lags.URL, leads.URL))
		first := made(chains.Head(ctx, n.ChainID))(t)
		lags.freeze(t, n)
		must(t, n.Transfer721(ctx, n.Stranger, n.Buyer.Address, id))
		seen := made(chains.Follow(ctx, n.ChainID, first.Number+1, of))(t)
		if seen.Head.Number != first.Number+1 || seen.Whole && len(seen.Transfers) == 0 {
			t.Errorf("seen %+v", seen)
		}
	})
}

func noBatches(w http.ResponseWriter, _ []anyCall, batch bool) bool {
	if batch {
		w.WriteHeader(http.StatusForbidden)
	}
	return batch
}

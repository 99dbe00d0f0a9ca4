package decisions

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/access/rules"
)

func holds(t testing.TB, holder string) eth.Question {
	return eth.Question{Fact: eth.FactERC721, Contract: addr(t, nft), Holder: addr(t, holder)}
}

// ask reads one fact of chain 1.
func ask(ctx context.Context, r *FactReader, q eth.Question, minimum int64) rules.FactValue {
	return r.Facts(ctx, map[uint64][]rules.Need{1: {{Question: q, Min: big.NewInt(minimum)}}})[rules.KeyOf(1, q)]
}

func TestFactsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chains := ethtest.NewChains()
		r := NewFactReader(FactReaderConfig{
			Chains: chains, PositiveTTL: time.Minute, PollInterval: func(uint64) time.Duration { return 2 * time.Second },
		})
		has, hasNot := holds(t, alice), holds(t, bob)
		chains.Set(1, has, 3)
		expect := func(step string, q eth.Question, minimum, amount int64, reads int) {
			t.Helper()
			v := ask(t.Context(), r, q, minimum)
			if v.Err != nil || v.Amount.Int64() != amount || chains.Reads != reads || v.Source != "fake" {
				t.Errorf("%s: %+v after %d reads; want %d after %d", step, v, chains.Reads, amount, reads)
			}
		}
		expect("first", has, 1, 3, 1)
		expect("again", has, 1, 3, 1)
		expect("not enough for another rule, but new", has, 5, 3, 1)
		expect("nothing", hasNot, 1, 0, 2)
		expect("nothing again", hasNot, 1, 0, 2)
		time.Sleep(1999 * time.Millisecond)
		expect("nothing, just before the poll", hasNot, 1, 0, 2)
		time.Sleep(time.Millisecond)
		expect("nothing, after a poll", hasNot, 1, 0, 3)
		expect("still enough", has, 3, 3, 3)
		expect("not enough, after a poll", has, 5, 3, 4)

		chains.Block = 101
		r.Seen(1, 101)
		chains.Set(1, hasNot, 1)
		expect("a new block", hasNot, 1, 1, 5)
		time.Sleep(59 * time.Second)
		expect("just before the end", hasNot, 1, 1, 5)
		time.Sleep(time.Second)
		expect("after the end", hasNot, 1, 1, 6)
	})
}

// An endpoint behind the head that is known is believed for once, and asked
// again the next time.
func TestFactsFromBehind(t *testing.T) {
	chains := ethtest.NewChains()
	r := NewFactReader(FactReaderConfig{Chains: chains})
	q := holds(t, alice)
	chains.Set(1, q, 1)
	r.Seen(1, 101)
	for range 2 {
		if v := ask(t.Context(), r, q, 1); v.Err != nil || v.Block != 100 {
			t.Errorf("%+v", v)
		}
	}
	if chains.Reads != 2 {
		t.Errorf("%d reads", chains.Reads)
	}
}

func TestFactsInvalidated(t *testing.T) {
	chains := ethtest.NewChains()
	r := NewFactReader(FactReaderConfig{Chains: chains})
	mine, other := holds(t, alice), holds(t, bob)
	delegate := eth.Question{Fact: eth.FactDelegate, Contract: addr(t, nft), Holder: addr(t, alice), Vault: addr(t, cold)}
	for _, q := range []eth.Question{mine, other, delegate} {
		chains.Set(1, q, 1)
		ask(t.Context(), r, q, 1)
	}
	chains.Set(1, mine, 0)
	chains.Set(1, delegate, 0)
	r.Invalidate(1, 101, addr(t, coin), addr(t, alice)) // another contract: the delegations only
	r.Invalidate(2, 101, addr(t, nft), addr(t, alice))  // another chain
	if v := ask(t.Context(), r, mine, 1); v.Amount == nil || v.Amount.Int64() != 1 {
		t.Errorf("forgotten for another contract: %+v", v)
	}
	r.Invalidate(1, 101, addr(t, nft), addr(t, alice))
	// The endpoint lags: it still answers from block 100.
	for _, q := range []eth.Question{mine, delegate} {
		if v := ask(t.Context(), r, q, 1); !errors.Is(v.Err, eth.ErrChainUnreachable) {
			t.Errorf("an answer from before the change: %+v", v)
		}
	}
	chains.Block = 101
	for _, q := range []eth.Question{mine, delegate} {
		if v := ask(t.Context(), r, q, 1); v.Err != nil || v.Amount.Sign() != 0 {
			t.Errorf("after the change: %+v", v)
		}
	}
	before := chains.Reads
	if v := ask(t.Context(), r, other, 1); v.Amount.Int64() != 1 || chains.Reads != before {
		t.Errorf("another holder was forgotten: %+v", v)
	}
	r.Invalidate(1, 101, eth.Address{}, addr(t, cold)) // the vault's delegations
	if ask(t.Context(), r, delegate, 1); chains.Reads != before+1 {
		t.Error("the vault's delegation was not forgotten")
	}
}

// An answer that was on its way when a transfer was seen is not kept.
func TestFactsInvalidatedInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chains := ethtest.NewChains()
		chains.Gate = make(chan struct{})
		r := NewFactReader(FactReaderConfig{Chains: chains})
		q := holds(t, alice)
		chains.Set(1, q, 1)
		var early rules.FactValue
		var wg sync.WaitGroup
		wg.Go(func() { early = ask(t.Context(), r, q, 1) })
		synctest.Wait()
		r.Invalidate(1, 101, q.Contract, q.Holder)
		chains.Gate <- struct{}{}
		wg.Wait()
		if !errors.Is(early.Err, eth.ErrChainUnreachable) {
			t.Errorf("an answer from before the change: %+v", early)
		}
		chains.Mu.Lock()
		chains.Block, chains.Gate = 101, nil
		chains.Mu.Unlock()
		chains.Set(1, q, 0)
		if v := ask(t.Context(), r, q, 1); v.Err != nil || v.Amount.Sign() != 0 {
			t.Errorf("afterwards: %+v", v)
		}
	})
}

func TestFactsShareAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chains := ethtest.NewChains()
		chains.Gate = make(chan struct{})
		r := NewFactReader(FactReaderConfig{Chains: chains})
		q := holds(t, alice)
		chains.Set(1, q, 1)
		impatient, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if v := ask(impatient, r, q, 1); !errors.Is(v.Err, eth.ErrChainUnreachable) || !errors.Is(v.Err, context.Canceled) {
				t.Errorf("cancelled: %+v", v)
			}
		})
		synctest.Wait() // it has begun the read
		for range 50 {
			wg.Go(func() {
				if v := ask(t.Context(), r, q, 1); v.Err != nil || v.Amount.Int64() != 1 {
					t.Errorf("%+v", v)
				}
			})
		}
		synctest.Wait()
		cancel() // who began the read leaves; the others still get it
		synctest.Wait()
		chains.Gate <- struct{}{}
		wg.Wait()
		if chains.Reads != 1 {
			t.Errorf("%d reads", chains.Reads)
		}
	})
}

func TestFactsUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chains := ethtest.NewChains()
		r := NewFactReader(FactReaderConfig{Chains: chains, ReadTimeout: time.Second})
		q := holds(t, alice)
		chains.Set(1, q, 1)
		chains.Err = errors.New("some fault")
		if v := ask(t.Context(), r, q, 1); !errors.Is(v.Err, eth.ErrChainUnreachable) {
			t.Errorf("a fault: %+v", v)
		}
		chains.Err, chains.Short = nil, true
		if v := ask(t.Context(), r, q, 1); !errors.Is(v.Err, eth.ErrChainUnreachable) {
			t.Errorf("too few answers: %+v", v)
		}
		chains.Short = false
		if v := ask(t.Context(), r, q, 1); v.Err != nil {
			t.Errorf("a failure was kept: %+v", v)
		}
		other := r.Facts(t.Context(), map[uint64][]rules.Need{5: {{Question: q, Min: big.NewInt(1)}}})[rules.KeyOf(5, q)]
		if !errors.Is(other.Err, eth.ErrChainUnknown) {
			t.Errorf("an unknown chain: %+v", other)
		}
	})
}

func TestFactsBounded(t *testing.T) {
	chains := ethtest.NewChains()
	r := NewFactReader(FactReaderConfig{Chains: chains, Entries: 50})
	for i := range 500 {
		q := holds(t, alice)
		q.Holder[0] = byte(i)
		q.Holder[1] = byte(i >> 8)
		ask(t.Context(), r, q, 1)
		r.Invalidate(1, 1, addr(t, coin), q.Holder)
	}
	if len(r.known) != 50 || len(r.index) != 50 || len(r.pending) != 0 || len(r.floors) != 500 {
		t.Errorf("%d known, %d indexed, %d under way, %d floors", len(r.known), len(r.index), len(r.pending), len(r.floors))
	}
	for i := range 3 * maxFloors {
		r.Invalidate(1, 1, eth.Address{}, eth.Address{1, 2, byte(i), byte(i >> 8), byte(i >> 16)})
	}
	if n := len(r.floors) + len(r.passed); n > 2*maxFloors || n < maxFloors {
		t.Errorf("%d floors", n)
	}
}

func TestKind(t *testing.T) {
	chains := ethtest.NewChains()
	r := NewFactReader(FactReaderConfig{Chains: chains})
	chains.Set(1, eth.Question{Fact: eth.FactIs721, Contract: addr(t, nft)}, 1)
	chains.Set(1, eth.Question{Fact: eth.FactIs1155, Contract: addr(t, coin)}, 1)
	for contract, want := range map[string]rules.Kind{nft: rules.KindERC721, coin: rules.KindERC1155, bob: ""} {
		if kind, err := r.Kind(t.Context(), 1, addr(t, contract)); kind != want || err != nil {
			t.Errorf("%s: %q, %v", contract, kind, err)
		}
	}
	if _, err := r.Kind(t.Context(), 5, addr(t, nft)); !errors.Is(err, eth.ErrChainUnknown) {
		t.Errorf("an unknown chain: %v", err)
	}
}

// BenchmarkDecision is a whole decision with all facts cached: two leaves, a
// vault, 10,000 wallets known.
func BenchmarkDecision(b *testing.B) {
	chains := ethtest.NewChains()
	r := NewFactReader(FactReaderConfig{Chains: chains, PollInterval: func(uint64) time.Duration { return time.Hour }})
	rule := parse(b, `{"any":[{"erc721":{"chain":1,"contract":"NFT"}},{"erc20":{"chain":10,"contract":"COIN","min":"5"}},{"password":{}}]}`)
	viewers := make([]rules.Viewer, 10_000)
	for i := range viewers {
		viewers[i].Wallet = eth.Address{1, byte(i), byte(i >> 8)}
		viewers[i].Vaults = []eth.Address{{2, byte(i), byte(i >> 8)}}
		r.Facts(b.Context(), rules.Questions(rule, viewers[i]))
	}
	var took []time.Duration
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		v := viewers[i%len(viewers)]
		i++
		begin := time.Now()
		rules.Decide(rule, v, r.Facts(b.Context(), rules.Questions(rule, v)), rules.Policy{}, begin)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
}

// Where no chain is configured, nobody is admitted by one, nor by its negation.
func TestNoChains(t *testing.T) {
	r := NewFactReader(FactReaderConfig{Chains: eth.Deny{}})
	rule := parse(t, `{"any":[{"erc721":{"chain":1,"contract":"NFT"}},{"not":{"native":{"chain":7,"min":"1"}}}]}`)
	viewer := rules.Viewer{Wallet: addr(t, alice)}
	d := rules.Decide(rule, viewer, r.Facts(t.Context(), rules.Questions(rule, viewer)), rules.Policy{}, time.Now())
	if d.Admit || d.Reason != rules.ReasonChainUnknown {
		t.Errorf("%+v", d)
	}
}

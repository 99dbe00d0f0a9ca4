package evm_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/cmd/devchain/devnet"
)

// sold is the question whose true answer is 0, and which a liar answers with 1.
func sold(n *devnet.Net) []eth.Question {
	return []eth.Question{{Fact: eth.FactERC721, Contract: at(n.NFT), Holder: at(n.Stranger.Address)}}
}

func TestFailOver(t *testing.T) {
	n := newNet(t)
	_ = made(n.Mint721(t.Context(), n.Stranger.Address))(t)
	for name, m := range map[string]mode{
		"hangs": hangs, "garbage": garbage, "nonsense": nonsense, "short batch": shortBatch, "wrong chain": wrongChain,
		"rate limited": limited, "broken": broken, "endless": endless,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := newProxy(t, n, m), newProxy(t, n, honest)
			cfg := configOf(n, first.URL, second.URL)
			cfg.Timeout = 2 * time.Second
			chains := newChains(t, cfg)
			for range 5 {
				reading := made(chains.Read(t.Context(), n.ChainID, sold(n)))(t)
				if reading.Answers[0].Amount.Int64() != 1 || !strings.HasSuffix(second.URL, reading.Source) {
					t.Fatalf("%v by %s", reading.Answers, reading.Source)
				}
			}
			if h := made(chains.Head(t.Context(), n.ChainID))(t); h.Number == 0 {
				t.Error("no head")
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	n := newNet(t)
	signature := made(n.Holder.Sign([32]byte{1}))(t)
	for name, m := range map[string]mode{
		"hangs": hangs, "garbage": garbage, "nonsense": nonsense, "wrong chain": wrongChain, "rate limited": limited, "broken": broken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, n, m)
			cfg := configOf(n, p.URL)
			cfg.Timeout = 100 * time.Millisecond
			chains := newChains(t, cfg)
			ctx := t.Context()
			_, err1 := chains.Read(ctx, n.ChainID, sold(n))
			_, err2 := chains.Head(ctx, n.ChainID)
			_, err3 := chains.Ancestors(ctx, n.ChainID, eth.Block{Number: 1}, 0)
			_, err4 := chains.Transfers(ctx, n.ChainID, 0, eth.Block{Number: 1}, []eth.Address{at(n.NFT)})
			err5 := chains.VerifySignature(ctx, n.ChainID, at(n.Holder.Address), [32]byte{1}, signature)
			for i, err := range []error{err1, err2, err3, err4, err5} {
				if !errors.Is(err, eth.ErrChainUnreachable) || errors.Is(err, eth.ErrSignature) {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
}

func TestStaleEndpoint(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	id := made(n.Mint721(ctx, n.Stranger.Address))(t)
	first, second := newProxy(t, n, honest), newProxy(t, n, honest)
	first.freeze(t, n)
	must(t, n.Transfer721(ctx, n.Stranger, n.Buyer.Address, id))
	must(t, n.Mine(ctx, 3))
	chains := newChains(t, configOf(n, first.URL, second.URL))
	reading := made(chains.Read(ctx, n.ChainID, sold(n)))(t)
	if reading.Answers[0].Amount.Sign() != 0 || !strings.HasSuffix(second.URL, reading.Source) {
		t.Errorf("%v by %s", reading.Answers, reading.Source)
	}
	head := made(chains.Head(ctx, n.ChainID))(t)
	list := made(chains.Transfers(ctx, n.ChainID, 0, head, []eth.Address{at(n.NFT)}))(t)
	if len(list) != 2 { // the first endpoint does not have the last blocks and would have left one out
		t.Errorf("transfers %v", list)
	}
}

// TestOldHead: an endpoint that no longer follows the chain is not believed.
func TestOldHead(t *testing.T) {
	n := newNet(t)
	must(t, n.Mine(t.Context(), 1))
	stuck := newProxy(t, n, stale) // at the first block, of 1970
	head := func(maxAge time.Duration, urls ...string) (eth.Block, error) {
		cfg := configOf(n, urls...)
		cfg.MaxBlockAge = maxAge
		return newChains(t, cfg).Head(t.Context(), n.ChainID)
	}
	if b, err := head(0, stuck.URL); err != nil || b.Number != 0 {
		t.Errorf("any age: block %d, %v", b.Number, err)
	}
	if _, err := head(time.Hour, stuck.URL); !errors.Is(err, eth.ErrChainUnreachable) || !strings.Contains(err.Error(), "stale: the newest block is of") {
		t.Errorf("an hour: %v", err)
	}
	if b, err := head(time.Hour, stuck.URL, newProxy(t, n, honest).URL); err != nil || b.Number == 0 {
		t.Errorf("with one that follows: block %d, %v", b.Number, err)
	}

	cfg := configOf(n, stuck.URL)
	cfg.MaxBlockAge = time.Hour
	chains := newChains(t, cfg)
	first := func() error {
		_, err := chains.Ancestors(t.Context(), n.ChainID, eth.Block{}, 0)
		return err
	}
	for range 5 { // never left alone, so that it is noticed when it is back
		if _, err := chains.Head(t.Context(), n.ChainID); err == nil {
			t.Fatal("it is believed")
		}
	}
	if err := first(); err == nil || !strings.Contains(err.Error(), "stale") {
		t.Errorf("it is asked for something else: %v", err)
	}
	stuck.set(honest)
	b := made(chains.Head(t.Context(), n.ChainID))(t)
	if list := made(chains.Ancestors(t.Context(), n.ChainID, b, 0))(t); len(list) != 1 {
		t.Errorf("when it is back: %v", list)
	}
}

func TestQuorum(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	_ = made(n.Mint721(ctx, n.Holder.Address))(t)
	signature := made(n.Stranger.Sign([32]byte{1}))(t)
	for name, m := range map[string]mode{
		"honest": honest, "liar": liar, "forger": forger, "wrong chain": wrongChain, "garbage": garbage, "broken": broken, "stale": stale,
	} {
		t.Run(name, func(t *testing.T) {
			bad := newProxy(t, n, m)
			bad.frozen.Store(1)
			cfg := configOf(n, bad.URL, newProxy(t, n, honest).URL, newProxy(t, n, honest).URL)
			cfg.Quorum = 2
			chains := newChains(t, cfg)
			reading := made(chains.Read(ctx, n.ChainID, sold(n)))(t)
			if reading.Answers[0].Amount.Sign() != 0 || reading.Block.Number != made(n.Head(ctx))(t) {
				t.Errorf("read %v at %d", reading.Answers, reading.Block.Number)
			}
			if strings.Count(reading.Source, "127.0.0.1:") != 2 {
				t.Errorf("source %q", reading.Source)
			}
			if head := made(chains.Head(ctx, n.ChainID))(t); head != reading.Block {
				t.Errorf("head %+v, read at %+v", head, reading.Block)
			}
			list := made(chains.Transfers(ctx, n.ChainID, 0, reading.Block, []eth.Address{at(n.NFT)}))(t)
			if len(list) != 1 || list[0].To != at(n.Holder.Address) {
				t.Errorf("transfers %v", list)
			}
			must(t, chains.VerifySignature(ctx, n.ChainID, at(n.Stranger.Address), [32]byte{1}, signature))
			err := chains.VerifySignature(ctx, n.ChainID, at(n.Holder.Address), [32]byte{1}, signature)
			if !errors.Is(err, eth.ErrSignature) {
				t.Errorf("another's signature: %v", err)
			}
		})
	}
	t.Run("a lie about one of two questions", func(t *testing.T) {
		cfg := configOf(n, newProxy(t, n, broken).URL, newProxy(t, n, liar).URL, newProxy(t, n, honest).URL)
		cfg.Quorum, cfg.Multicall = 2, eth.Address{1} // which is not there
		held := eth.Question{Fact: eth.FactERC721, Contract: at(n.NFT), Holder: at(n.Holder.Address)}
		r := made(newChains(t, cfg).Read(ctx, n.ChainID, append(sold(n), held)))(t)
		if r.Answers[0].Amount != nil || r.Answers[1].Amount == nil || r.Answers[1].Amount.Int64() != 1 {
			t.Errorf("answers %v", r.Answers)
		}
	})
	t.Run("one honest and one liar of three", func(t *testing.T) {
		cfg := configOf(n, newProxy(t, n, broken).URL, newProxy(t, n, liar).URL, newProxy(t, n, honest).URL)
		cfg.Quorum = 2
		if r, err := newChains(t, cfg).Read(ctx, n.ChainID, sold(n)); !errors.Is(err, eth.ErrChainUnreachable) {
			t.Errorf("one liar and one honest gave %v, %v", r, err)
		}
	})
}

func TestBreaker(t *testing.T) {
	n := newNet(t)
	p := newProxy(t, n, broken)
	cfg := configOf(n, p.URL)
	cfg.Cooldown = 200 * time.Millisecond
	chains := newChains(t, cfg)
	ask := func() error {
		_, err := chains.Head(t.Context(), n.ChainID)
		return err
	}
	for range 10 {
		if ask() == nil {
			t.Fatal("a broken endpoint answered")
		}
	}
	if got := p.requests.Load(); got != 3 {
		t.Errorf("%d requests before the breaker opened, want 3", got)
	}
	p.set(honest)
	if ask() == nil {
		t.Error("the open breaker let a request through")
	}
	deadline := time.Now().Add(10 * time.Second)
	for ask() != nil {
		if time.Now().After(deadline) {
			t.Fatal("the breaker never closed")
		}
		<-time.After(10 * time.Millisecond) // the cooldown is the breaker's own clock; breaker_test.go has a fake one
	}
	if got := p.requests.Load(); got != 4 {
		t.Errorf("%d requests, want one more when half open", got)
	}
}

// TestSlowWallets: the code of a wallet that signs in is its owner's, and says
// nothing about the endpoint that runs it.
func TestSlowWallets(t *testing.T) {
	n := newNet(t)
	p := newProxy(t, n, honest)
	cfg := configOf(n, p.URL)
	cfg.Timeout = 500 * time.Millisecond
	chains := newChains(t, cfg)
	_, err := chains.Head(t.Context(), n.ChainID)
	must(t, err)
	p.set(hangs)
	for range 5 {
		err := chains.VerifySignature(t.Context(), n.ChainID, eth.Address{1}, [32]byte{2}, []byte("of a contract"))
		if !errors.Is(err, eth.ErrChainUnreachable) {
			t.Fatalf("a wallet that hangs: %v", err)
		}
	}
	p.set(honest)
	if _, err := chains.Head(t.Context(), n.ChainID); err != nil {
		t.Errorf("the chain is shut for others: %v", err)
	}
}

func TestBudget(t *testing.T) {
	n := newNet(t)
	p := newProxy(t, n, honest)
	cfg := configOf(n, p.URL)
	cfg.MaxRequestsPerSecond, cfg.Timeout = 1, 50*time.Millisecond
	chains := newChains(t, cfg)
	var refused error
	for range 200 {
		if _, err := chains.Head(t.Context(), n.ChainID); err != nil {
			refused = err
			break
		}
	}
	if !errors.Is(refused, eth.ErrChainUnreachable) || p.calls.Load() > 52 {
		t.Errorf("after %d calls: %v", p.calls.Load(), refused)
	}
}

// TestSecrets: a URL's user, password, path and query are in no error, log or
// metric.
func TestSecrets(t *testing.T) {
	n := newNet(t)
	var urls []string
	for _, m := range []mode{hangs, garbage, wrongChain, limited, broken} {
		urls = append(urls, strings.Replace(newProxy(t, n, m).URL, "http://", "http://s3cretuser:s3cretpass@", 1)+"/v3/s3cretpath?key=s3cretkey")
	}
	urls = append(urls, "http://s3cretuser:s3cretpass@127.0.0.1:1/s3cretpath", "https://s3cretuser:s3cretpass@name.invalid/s3cretpath")
	cfg := configOf(n, urls...)
	cfg.Timeout = 100 * time.Millisecond
	reg, said := prometheus.NewRegistry(), new(bytes.Buffer)
	chains := made(evm.New(evm.Config{Chains: []evm.ChainConfig{cfg}, Metrics: reg, Log: slog.New(slog.NewTextHandler(said, nil))}))(t)
	for range 4 {
		_, err := chains.Head(t.Context(), n.ChainID)
		said.WriteString(err.Error())
	}
	families := made(reg.Gather())(t)
	for _, f := range families {
		said.WriteString(f.String())
	}
	if strings.Contains(said.String(), "s3cret") {
		t.Errorf("a secret is out:\n%s", said)
	}
	for _, want := range []string{"127.0.0.1:1", "name.invalid", "wrong_chain", "rate_limited", "left alone"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing is said of %q:\n%s", want, said)
		}
	}
	for _, f := range families {
		if f.GetName() == "streamgate_access_rpc_up" && len(f.GetMetric()) != len(urls) {
			t.Errorf("%d endpoints have a gauge, want %d", len(f.GetMetric()), len(urls))
		}
	}
}

func TestConfig(t *testing.T) {
	good := evm.ChainConfig{ID: 1, URLs: []string{"http://a", "http://b/key"}}
	with := func(change func(*evm.ChainConfig)) []evm.ChainConfig {
		c := good
		change(&c)
		return []evm.ChainConfig{c}
	}
	for name, cfg := range map[string][]evm.ChainConfig{
		"no id":             with(func(c *evm.ChainConfig) { c.ID = 0 }),
		"no endpoint":       with(func(c *evm.ChainConfig) { c.URLs = nil }),
		"a quorum of three": with(func(c *evm.ChainConfig) { c.Quorum = 3 }),
		"a negative quorum": with(func(c *evm.ChainConfig) { c.Quorum = -1 }),
		"a negative time":   with(func(c *evm.ChainConfig) { c.Timeout = -1 }),
		"web sockets":       with(func(c *evm.ChainConfig) { c.URLs = []string{"ws://s3cret@a/s3cret"} }),
		"no URL":            with(func(c *evm.ChainConfig) { c.URLs = []string{"s3cret"} }),
		"no host":           with(func(c *evm.ChainConfig) { c.URLs = []string{"http:///s3cret"} }),
		"a broken URL":      with(func(c *evm.ChainConfig) { c.URLs = []string{"http://a/%zz-s3cret"} }),
		"twice":             {good, good},
	} {
		_, err := evm.New(evm.Config{Chains: cfg})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := evm.New(evm.Config{Chains: []evm.ChainConfig{good}}); err != nil {
		t.Error(err)
	}
}

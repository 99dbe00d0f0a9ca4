package sessions

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/access/decisions"
	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/access/limits"
	"streamgate/app/access/rules"
	"streamgate/app/apptest"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/memory"
)

// setup is what a test may change of a manager.
type setup struct {
	Config
	Policy rules.Policy
}

// newManager is a manager over a store of its own.
func newManager(t *testing.T, change ...func(*setup)) *Manager {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c := setup{Config: Config{
		Catalog: db.Catalog(), Bus: apptest.NewBus(t), Passwords: rules.NewPasswords(2), Limits: limits.New(memory.NewCache(memory.Options{})),
		Chains: eth.Deny{}, Log: slog.New(slog.DiscardHandler),
	}}
	if c.Tickets, err = NewTickets(t.Context(), db.Catalog().Secrets); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&c)
	}
	c.Decider = newDecider(t, decisions.Config{
		Catalog: c.Catalog, Policy: c.Policy, Metrics: c.Metrics,
		Facts: decisions.FactReaderConfig{Chains: c.Chains, PositiveTTL: DefaultRecheck / 2, PollInterval: c.PollInterval},
	})
	m, err := New(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newDecider(t *testing.T, cfg decisions.Config) *decisions.Decider {
	t.Helper()
	d, err := decisions.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// scriptedChain is a chain as a watcher sees it: blocks with their transfers, on
// branches.
type scriptedChain struct {
	*ethtest.Chains
	mu      sync.Mutex
	blocks  []eth.Block // by number
	logs    map[[32]byte][]eth.Transfer
	asked   []string // the ranges of which logs were asked
	broken  error    // of Transfers
	gone    error    // of Head
	whole   bool     // Follow brings logs
	stumble bool     // the next Transfers fails
	pruned  uint64   // the blocks below are not there any more
}

func newScriptedChain() *scriptedChain {
	c := &scriptedChain{Chains: ethtest.NewChains(), logs: map[[32]byte][]eth.Transfer{}}
	c.grow(0, 100)
	return c
}

// grow adds blocks of a branch up to number.
func (c *scriptedChain) grow(branch byte, number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := uint64(len(c.blocks)); n <= number; n++ {
		b := eth.Block{Number: n, Time: time.Now()}
		b.Hash[0] = branch
		binary.BigEndian.PutUint64(b.Hash[24:], n+1)
		if n > 0 {
			b.Parent = c.blocks[n-1].Hash
		}
		c.blocks = append(c.blocks, b)
	}
	c.Mu.Lock()
	c.Block = number
	c.Mu.Unlock()
}

// transfer makes a block in which a token changes hands.
func (c *scriptedChain) transfer(from, to eth.Address) {
	c.grow(0, uint64(len(c.blocks)))
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.blocks[len(c.blocks)-1]
	contract, _ := eth.ParseAddress(nft)
	c.logs[head.Hash] = append(c.logs[head.Hash], eth.Transfer{Block: head.Number, Contract: contract, From: from, To: to})
}

// undo takes back the blocks from number on.
func (c *scriptedChain) undo(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks = c.blocks[:number]
}

// Read reads at the newest block, as endpoints do.
func (c *scriptedChain) Read(ctx context.Context, chain uint64, questions []eth.Question) (eth.Reading, error) {
	r, err := c.Chains.Read(ctx, chain, questions)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := r.Block.Number; n < uint64(len(c.blocks)) {
		r.Block = c.blocks[n]
	}
	return r, err
}

// fail has heads, readings and logs fail from now on.
func (c *scriptedChain) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken, c.gone = err, err
	c.Mu.Lock()
	defer c.Mu.Unlock()
	c.Err = err
}

func (c *scriptedChain) Head(context.Context, uint64) (eth.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks[len(c.blocks)-1], c.gone
}

// Follow has the logs if there are any and scriptedChain.whole says so.
func (c *scriptedChain) Follow(ctx context.Context, chain, from uint64, contracts []eth.Address) (eth.Followed, error) {
	head, err := c.Head(ctx, chain)
	f := eth.Followed{Head: head}
	if err != nil || !c.whole || head.Number < from || head.Number > from+catchUpStep {
		return f, err
	}
	before, err := c.Ancestors(ctx, chain, head, from-1)
	if err != nil {
		return f, nil
	}
	if f.Transfers, err = c.Transfers(ctx, chain, from, head, contracts); err == nil {
		f.Before, f.Whole = before[0], true
		f.Transfers = append(slices.Clone(c.logs[f.Before.Hash]), f.Transfers...)
	}
	return f, nil
}

func (c *scriptedChain) Ancestors(_ context.Context, _ uint64, head eth.Block, numbers ...uint64) (list []eth.Block, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.has(head) {
		return nil, eth.ErrChainUnreachable
	}
	for _, n := range numbers {
		if n < c.pruned {
			return nil, eth.ErrChainUnreachable
		}
		list = append(list, c.blocks[n])
	}
	return list, nil
}

func (c *scriptedChain) has(b eth.Block) bool {
	return b.Number < uint64(len(c.blocks)) && c.blocks[b.Number].Hash == b.Hash
}

func (c *scriptedChain) Transfers(_ context.Context, _, from uint64, to eth.Block, contracts []eth.Address) (list []eth.Transfer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stumbled := c.stumble; stumbled || !c.has(to) {
		c.stumble = false
		return nil, eth.ErrChainUnreachable
	}
	c.asked = append(c.asked, fmt.Sprintf("%d-%d of %d", from, to.Number, len(contracts)))
	for n := from; n <= to.Number; n++ {
		list = append(list, c.logs[c.blocks[n].Hash]...)
	}
	return list, c.broken
}

// sessionTest is a manager with a video for holders on such a chain.
type sessionTest struct {
	*testing.T
	*Manager
	chain   *scriptedChain
	watch   *watcher
	metrics *prometheus.Registry
}

func newSessionTest(t *testing.T, change ...func(*setup)) *sessionTest {
	t.Helper()
	g := &sessionTest{T: t, chain: newScriptedChain(), metrics: prometheus.NewPedanticRegistry()}
	g.Manager = newManager(t, append([]func(*setup){func(c *setup) {
		c.Chains, c.Metrics = g.chain, g.metrics
	}}, change...)...)
	g.watch = newWatcher(g.Manager, 1)
	g.video("film", `{"erc721":{"chain":1,"contract":"NFT"}}`)
	g.poll()
	return g
}

func (g *sessionTest) ok(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *sessionTest) video(id, rule string) {
	g.Helper()
	r := parse(g.T, rule)
	g.ok(g.Passwords.Seal(g.Context(), r))
	stored, err := r.Stored()
	g.ok(err)
	g.ok(g.Catalog.Videos.Create(g.Context(), store.Video{ID: id, State: store.VideoReady, Rule: stored}))
}

func (g *sessionTest) poll() {
	g.Helper()
	g.ok(g.watch.poll(g.Context()))
}

// holds says how many tokens a wallet has from now on.
func (g *sessionTest) holds(wallet string, tokens int64) {
	g.Helper()
	g.chain.Set(1, holds(g.T, wallet), tokens)
}

// as is the context of a viewer who has signed in; of nobody, for "".
func (g *sessionTest) as(wallet string) context.Context {
	return rpc.WithIdentity(g.Context(), rpc.Identity{Wallet: wallet, Client: "192.0.2.1"})
}

func (g *sessionTest) session(wallet string) *rpc.Session {
	g.Helper()
	out, err := g.CreateSession(g.as(wallet), &rpc.CreateSessionRequest{VideoId: "film"})
	g.ok(err)
	return out
}

// state is where a session stands: live, or why it ended.
func (g *sessionTest) state(id string) string {
	g.Helper()
	rec, err := g.Catalog.Sessions.Get(g.Context(), id)
	g.ok(err)
	if rec.State == store.SessionLive {
		return "live"
	}
	return rec.Failure.Code
}

func (g *sessionTest) wantState(id, want string) {
	g.Helper()
	if got := g.state(id); got != want {
		g.Errorf("the session is %s, want %s", got, want)
	}
}

// gauge is the value of a metric that has one series.
func (g *sessionTest) gauge(name string) float64 {
	g.Helper()
	families, err := g.metrics.Gather()
	g.ok(err)
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	g.Fatalf("there is no metric %s", name)
	return 0
}

func admin(t *testing.T) context.Context { return rpc.System(t.Context()) }

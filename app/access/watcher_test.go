package access

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"streamgate/app/rpc"
	"streamgate/store"
)

// chainFilm is a chain as a watcher sees it: blocks with their transfers, on
// branches.
type chainFilm struct {
	*fakeChains
	mu      sync.Mutex
	blocks  []Block // by number
	logs    map[[32]byte][]Transfer
	asked   []string // the ranges of which logs were asked
	broken  error    // of Transfers
	gone    error    // of Head
	whole   bool     // Follow brings logs
	stumble bool     // the next Transfers fails
	pruned  uint64   // the blocks below are not there any more
}

func newChainFilm() *chainFilm {
	c := &chainFilm{fakeChains: newFakeChains(), logs: map[[32]byte][]Transfer{}}
	c.grow(0, 100)
	return c
}

// grow adds blocks of a branch up to number.
func (c *chainFilm) grow(branch byte, number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := uint64(len(c.blocks)); n <= number; n++ {
		b := Block{Number: n, Time: time.Now()}
		b.Hash[0] = branch
		binary.BigEndian.PutUint64(b.Hash[24:], n+1)
		if n > 0 {
			b.Parent = c.blocks[n-1].Hash
		}
		c.blocks = append(c.blocks, b)
	}
	c.fakeChains.mu.Lock()
	c.block = number
	c.fakeChains.mu.Unlock()
}

// transfer makes a block in which a token changes hands.
func (c *chainFilm) transfer(from, to Address) {
	c.grow(0, uint64(len(c.blocks)))
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.blocks[len(c.blocks)-1]
	contract, _ := ParseAddress(nft)
	c.logs[head.Hash] = append(c.logs[head.Hash], Transfer{Block: head.Number, Contract: contract, From: from, To: to})
}

// undo takes back the blocks from number on.
func (c *chainFilm) undo(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks = c.blocks[:number]
}

// Read reads at the newest block, as endpoints do.
func (c *chainFilm) Read(ctx context.Context, chain uint64, questions []Question) (Reading, error) {
	r, err := c.fakeChains.Read(ctx, chain, questions)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := r.Block.Number; n < uint64(len(c.blocks)) {
		r.Block = c.blocks[n]
	}
	return r, err
}

// fail has heads, readings and logs fail from now on.
func (c *chainFilm) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken, c.gone = err, err
	c.fakeChains.mu.Lock()
	defer c.fakeChains.mu.Unlock()
	c.err = err
}

func (c *chainFilm) Head(context.Context, uint64) (Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks[len(c.blocks)-1], c.gone
}

// Follow has the logs if there are any and chainFilm.whole says so.
func (c *chainFilm) Follow(ctx context.Context, chain, from uint64, contracts []Address) (Followed, error) {
	head, err := c.Head(ctx, chain)
	f := Followed{Head: head}
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

func (c *chainFilm) Ancestors(_ context.Context, _ uint64, head Block, numbers ...uint64) (list []Block, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.has(head) {
		return nil, ErrChainUnreachable
	}
	for _, n := range numbers {
		if n < c.pruned {
			return nil, ErrChainUnreachable
		}
		list = append(list, c.blocks[n])
	}
	return list, nil
}

func (c *chainFilm) has(b Block) bool {
	return b.Number < uint64(len(c.blocks)) && c.blocks[b.Number].Hash == b.Hash
}

func (c *chainFilm) Transfers(_ context.Context, _, from uint64, to Block, contracts []Address) (list []Transfer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stumbled := c.stumble; stumbled || !c.has(to) {
		c.stumble = false
		return nil, ErrChainUnreachable
	}
	c.asked = append(c.asked, fmt.Sprintf("%d-%d of %d", from, to.Number, len(contracts)))
	for n := from; n <= to.Number; n++ {
		list = append(list, c.logs[c.blocks[n].Hash]...)
	}
	return list, c.broken
}

// gateTest is a service with a video for holders on such a chain.
type gateTest struct {
	*testing.T
	*Service
	chain *chainFilm
	watch *watcher
}

func newGateTest(t *testing.T, change ...func(*Config)) *gateTest {
	t.Helper()
	g := &gateTest{T: t, chain: newChainFilm()}
	g.Service = newService(t, append([]func(*Config){func(c *Config) {
		c.Chains, c.Metrics = g.chain, prometheus.NewPedanticRegistry()
	}}, change...)...)
	g.watch = newWatcher(g.Service, 1)
	g.video("film", `{"erc721":{"chain":1,"contract":"NFT"}}`)
	g.look()
	return g
}

func (g *gateTest) ok(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *gateTest) video(id, rule string) {
	g.Helper()
	r := parse(g.T, rule)
	g.ok(g.passwords.Seal(g.Context(), r))
	stored, err := r.Stored()
	g.ok(err)
	g.ok(g.Catalog.Videos.Create(g.Context(), store.Video{ID: id, State: store.VideoReady, Rule: stored}))
}

func (g *gateTest) look() {
	g.Helper()
	g.ok(g.watch.look(g.Context()))
}

// holds says how many tokens a wallet has from now on.
func (g *gateTest) holds(wallet string, tokens int64) {
	g.Helper()
	g.chain.set(1, holds(g.T, wallet), tokens)
}

// as is the context of a viewer who has signed in; of nobody, for "".
func (g *gateTest) as(wallet string) context.Context {
	return rpc.WithIdentity(g.Context(), rpc.Identity{Wallet: wallet, Client: "192.0.2.1"})
}

func (g *gateTest) session(wallet string) *rpc.Session {
	g.Helper()
	out, err := g.CreateSession(g.as(wallet), &rpc.CreateSessionRequest{VideoId: "film"})
	g.ok(err)
	return out
}

// state is where a session stands: live, or why it ended.
func (g *gateTest) state(id string) string {
	g.Helper()
	rec, err := g.Catalog.Sessions.Get(g.Context(), id)
	g.ok(err)
	if rec.State == store.SessionLive {
		return "live"
	}
	return rec.Failure.Code
}

func (g *gateTest) wantState(id, want string) {
	g.Helper()
	if got := g.state(id); got != want {
		g.Errorf("the session is %s, want %s", got, want)
	}
}

func TestWatcherFollowsTransfers(t *testing.T) {
	g := newGateTest(t)
	g.holds(alice, 1)
	g.holds(bob, 1)
	a, b := g.session(alice), g.session(bob)
	g.look()
	g.wantState(a.Id, "live")

	g.holds(alice, 0) // what was read before stands, until a log says otherwise
	g.chain.transfer(addr(t, alice), addr(t, cold))
	g.wantState(a.Id, "live")
	reads := g.chain.reads
	g.look()
	g.wantState(a.Id, "not_a_holder")
	g.wantState(b.Id, "live")
	if got := g.chain.reads - reads; got != 1 {
		t.Errorf("%d readings for one seller", got)
	}
	if n := testutil.CollectAndCount(g.metrics.lag); n != 1 {
		t.Errorf("%d lags", n)
	}
	reads = g.chain.reads
	g.look() // nothing new
	if g.chain.reads != reads {
		t.Error("the chain is read though nothing has happened")
	}

	g.holds(bob, 0)
	g.chain.transfer(Address{}, Address{}) // a log that cannot be read
	g.look()
	g.wantState(b.Id, "not_a_holder")
}

func TestWatcherMissesNothing(t *testing.T) {
	g := newGateTest(t)
	g.holds(alice, 1)
	a := g.session(alice)
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.chain.broken = ErrChainUnreachable
	if err := g.watch.look(t.Context()); !errors.Is(err, ErrChainUnreachable) {
		t.Errorf("look: %v", err)
	}
	g.wantState(a.Id, "live")
	g.chain.broken = nil
	g.chain.grow(0, 110)
	g.look()
	g.wantState(a.Id, "not_a_holder")
	if last := g.chain.asked[len(g.chain.asked)-1]; last != "101-110 of 1" {
		t.Errorf("asked %v", g.chain.asked)
	}

	// The next start goes on where this one was.
	again := newWatcher(g.Service, 1)
	g.chain.grow(0, 115)
	g.ok(again.look(t.Context()))
	if last := g.chain.asked[len(g.chain.asked)-1]; last != "111-115 of 1" {
		t.Errorf("after a restart %v", g.chain.asked)
	}
}

func TestWatcherReorganisation(t *testing.T) {
	for name, reorg := range map[string]func(*chainFilm){
		"the head is another":        func(c *chainFilm) { c.undo(105); c.grow(1, 105) },
		"the parent is another":      func(c *chainFilm) { c.undo(104); c.grow(1, 106) },
		"deep":                       func(c *chainFilm) { c.undo(20); c.grow(1, 130) },
		"a chain that began anew":    func(c *chainFilm) { c.undo(0); c.grow(1, 3) },
		"away for longer than ever":  func(c *chainFilm) { c.grow(0, 105+maxCatchUp+1) },
		"shorter, then another head": func(c *chainFilm) { c.undo(103); c.grow(1, 105) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateTest(t)
			g.holds(alice, 1)
			g.holds(bob, 1)
			a, b := g.session(alice), g.session(bob)
			g.holds(alice, 0)
			g.chain.grow(0, 104)
			g.chain.transfer(addr(t, alice), addr(t, cold)) // in block 105
			g.look()
			g.wantState(a.Id, "not_a_holder")

			g.holds(alice, 1) // the transfer never was; another one did happen
			g.holds(bob, 0)
			reorg(g.chain)
			g.look()
			g.wantState(b.Id, "not_a_holder")
			g.session(alice)
		})
	}
}

// TestUnseenBlockIsUndone: who was let in by a block that was undone before the
// watcher looked is asked again.
func TestUnseenBlockIsUndone(t *testing.T) {
	for name, undone := range map[string]func(*gateTest){
		"as high as before": func(g *gateTest) { g.chain.undo(101); g.chain.grow(1, 101) },
		"higher":            func(g *gateTest) { g.chain.undo(101); g.chain.grow(1, 104) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateTest(t)
			g.holds(bob, 1)
			g.chain.transfer(addr(t, alice), addr(t, bob)) // in block 101
			s := g.session(bob)
			undone(g)
			g.holds(bob, 0)
			g.look()
			g.wantState(s.Id, "not_a_holder")
			asked := g.chain.reads
			g.look() // all is well now
			if g.chain.reads != asked {
				t.Error("it is asked again and again")
			}
		})
	}
}

// TestHeadIsUndoneHalfWay: what a head has proved falls with it.
func TestHeadIsUndoneHalfWay(t *testing.T) {
	g := newGateTest(t)
	g.holds(bob, 1)
	g.chain.transfer(addr(t, alice), addr(t, bob)) // in block 101
	s := g.session(bob)
	g.chain.grow(0, 102)
	g.chain.broken = ErrChainUnreachable
	if g.watch.look(t.Context()) == nil {
		t.Fatal("there were logs")
	}
	g.chain.broken = nil
	g.chain.undo(101)
	g.chain.grow(1, 103)
	g.holds(bob, 0)
	g.look()
	g.wantState(s.Id, "not_a_holder")
}

// TestLaggingHeadProvesNothing: of an endpoint on a branch of its own, not
// even what was read there.
func TestLaggingHeadProvesNothing(t *testing.T) {
	g := newGateTest(t)
	g.chain.grow(0, 102)
	g.look()
	main := slices.Clone(g.chain.blocks)
	g.chain.undo(101)
	g.chain.grow(1, 101)
	g.holds(bob, 1)
	s := g.session(bob)
	g.look()
	g.chain.blocks = main
	g.chain.grow(0, 103)
	g.holds(bob, 0)
	g.look()
	g.wantState(s.Id, "not_a_holder")
}

// TestStartingOverWithALag: an endpoint that is a block or two behind ends
// nobody's session.
func TestStartingOverWithALag(t *testing.T) {
	g := newGateTest(t)
	g.holds(alice, 1)
	s := g.session(alice)
	g.chain.grow(0, 105)
	g.look()
	g.chain.undo(103)
	g.chain.grow(1, 106)
	g.chain.block = 104 // where it is read
	g.look()
	g.wantState(s.Id, "live")
	if g.watch.at.Number != 106 {
		t.Errorf("the watcher is at %d", g.watch.at.Number)
	}
}

// TestBlockIsReadFirst: that a block is read before the watcher looks at it is
// no reason to ask everybody.
func TestBlockIsReadFirst(t *testing.T) {
	g := newGateTest(t)
	g.holds(alice, 1)
	a := g.session(alice)
	for number := uint64(101); number < 400; number += 3 { // read in the first of three blocks
		g.chain.grow(0, number)
		g.facts.Invalidate(1, 0, addr(t, nft), addr(t, alice))
		g.recheck(t.Context(), g.roster.all(), nil)
		g.chain.grow(0, number+2)
		g.holds(alice, 0) // which no log tells
		g.look()
		g.holds(alice, 1)
	}
	g.wantState(a.Id, "live")
	if n := len(g.facts.branch(1).hashes); n > branchDepth+2 {
		t.Errorf("%d blocks are remembered", n)
	}
}

// TestWatcherEndpointThatLags: it lets nobody in by what it does not know yet,
// however often it is looked at; only in the end it is another branch.
func TestWatcherEndpointThatLags(t *testing.T) {
	g := newGateTest(t)
	g.holds(alice, 1)
	g.chain.transfer(addr(t, alice), addr(t, bob)) // in block 101
	g.look()
	whole := slices.Clone(g.chain.blocks)
	g.chain.undo(101) // as an endpoint says that does not have it
	g.chain.block = 100
	for range 100 {
		g.look()
	}
	_, err := g.CreateSession(g.as(alice), &rpc.CreateSessionRequest{VideoId: "film"})
	if code, _ := rpc.Reason(err); code != "chain_unreachable" {
		t.Errorf("who sold is told %q", code)
	}
	g.watch.lagging = time.Now().Add(-maxLag)
	g.look()
	if g.watch.at.Number != 100 {
		t.Errorf("after long, the watcher is at %d", g.watch.at.Number)
	}
	g.chain.blocks = whole
	g.look()
	if g.watch.at.Number != 101 || !g.watch.lagging.IsZero() {
		t.Errorf("the watcher is at %d, lagging since %v", g.watch.at.Number, g.watch.lagging)
	}
}

// TestWatcherLooksAgain: a stumble costs no poll interval.
func TestWatcherLooksAgain(t *testing.T) {
	g := newGateTest(t, func(c *Config) { c.PollInterval = func(uint64) time.Duration { return time.Hour } })
	g.holds(alice, 1)
	s := g.session(alice)
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.chain.stumble = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.watch.run(ctx)
	}()
	for end := time.Now().Add(20 * time.Second); g.state(s.Id) == "live" && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	g.wantState(s.Id, "not_a_holder")
	cancel()
	<-done
}

// TestPrunedBlocks: blocks that no endpoint has any more stop no watcher.
func TestPrunedBlocks(t *testing.T) {
	g := newGateTest(t)
	g.facts.branch(1).read(Block{Number: 50, Hash: [32]byte{1}}) // by an endpoint that was far behind
	g.chain.grow(0, 50+maxCatchUp+1)
	g.chain.pruned = 10_000
	g.look()
	if want := uint64(50 + maxCatchUp + 1); g.watch.at.Number != want {
		t.Errorf("the watcher is at %d, want %d", g.watch.at.Number, want)
	}
	g.chain.grow(0, g.watch.at.Number+maxCatchUp+1)
	g.chain.pruned = g.watch.at.Number + 1
	g.look()
	if g.watch.at.Number < g.chain.pruned {
		t.Errorf("the watcher is at %d, which is not there any more", g.watch.at.Number)
	}
}

// TestChainThatStumbles: a few failures end nobody, many in a row do.
func TestChainThatStumbles(t *testing.T) {
	g := newGateTest(t)
	g.holds(alice, 1)
	a := g.session(alice)
	stumble := func(times int) {
		g.facts.Reset(1, 0)
		g.chain.stumbles = times
		g.recheck(t.Context(), g.roster.all(), nil)
	}
	stumble(len(tries))
	g.wantState(a.Id, "live")
	stumble(len(tries) + 1)
	g.wantState(a.Id, "chain_unreachable")
}

// TestFollowedLogs: logs that come along with the head have the effect of those
// that are asked for, once.
func TestFollowedLogs(t *testing.T) {
	g := newGateTest(t)
	g.chain.whole = true
	g.holds(alice, 1)
	g.holds(bob, 1)
	a, b := g.session(alice), g.session(bob)
	g.look()
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, cold))
	g.chain.grow(0, 105)
	g.chain.transfer(addr(t, bob), addr(t, bob))
	g.look()
	g.wantState(a.Id, "not_a_holder")
	g.wantState(b.Id, "live")
	if g.watch.at.Number != 106 {
		t.Errorf("the watcher is at %d", g.watch.at.Number)
	}
	reads := g.chain.reads
	g.chain.grow(0, 107)
	g.look() // block 106 comes again
	if g.chain.reads != reads {
		t.Error("who was asked already is asked again")
	}

	g.holds(bob, 0)
	g.chain.undo(105)
	g.chain.grow(1, 110)
	g.look()
	g.wantState(b.Id, "not_a_holder")
}

// TestChainWithoutLogs: where nobody lists logs, who plays is asked again at
// each block, and the decision and the metrics say so.
func TestChainWithoutLogs(t *testing.T) {
	g := newGateTest(t)
	g.holds(alice, 1)
	g.holds(bob, 1)
	a, b := g.session(alice), g.session(bob)
	listed := func() float64 { return testutil.ToFloat64(g.metrics.logs.WithLabelValues("1")) }
	problem := func() string {
		g.Helper()
		rule := parse(t, `{"erc721":{"chain":1,"contract":"NFT"}}`)
		viewer := Viewer{Wallet: addr(t, bob)}
		return Decide(rule, viewer, g.facts.Facts(t.Context(), Questions(rule, viewer)), g.Policy, time.Now()).Tree.Problem
	}
	g.chain.grow(0, 101)
	g.look()
	if listed() != 1 || problem() != "" {
		t.Errorf("with logs: %v, %q", listed(), problem())
	}

	g.chain.broken = errors.Join(ErrChainUnreachable, ErrNoLogs)
	g.holds(alice, 0)
	g.chain.grow(0, 102)
	g.look()
	g.wantState(a.Id, "not_a_holder")
	g.wantState(b.Id, "live")
	if listed() != 0 || problem() != problemNoLogs {
		t.Errorf("without: %v, %q", listed(), problem())
	}
	if g.watch.at.Number != 102 {
		t.Errorf("the watcher stays at %d", g.watch.at.Number)
	}

	g.chain.broken = nil
	g.chain.grow(0, 103)
	g.look()
	if listed() != 1 || problem() != "" {
		t.Errorf("with logs again: %v, %q", listed(), problem())
	}
}

// TestChainIsGone: who plays is asked again as soon as a look fails, and not
// only when it is their turn.
func TestChainIsGone(t *testing.T) {
	const poll = time.Second
	for name, c := range map[string]struct {
		grace time.Duration
		want  string
	}{"deny": {0, "chain_unreachable"}, "grace": {time.Hour, "live"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateTest(t, func(cfg *Config) {
				cfg.PollInterval = func(uint64) time.Duration { return poll }
				cfg.Policy.Grace = func(uint64) time.Duration { return c.grace }
			})
			g.holds(alice, 1)
			s := g.session(alice)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				g.watch.run(ctx)
			}()
			g.chain.fail(ErrChainUnreachable)
			for end := time.Now().Add(poll + 3*time.Second); g.state(s.Id) == "live" && time.Now().Before(end); {
				<-time.After(10 * time.Millisecond)
			}
			g.wantState(s.Id, c.want)
			cancel()
			<-done
		})
	}
}

package sessions

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"streamgate/app/access/eth"
	"streamgate/app/access/rules"
	"streamgate/app/rpc"
)

func TestWatcherFollowsTransfers(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	g.holds(bob, 1)
	a, b := g.session(alice), g.session(bob)
	g.poll()
	g.wantState(a.Id, "live")

	g.holds(alice, 0) // what was read before stands, until a log says otherwise
	g.chain.transfer(addr(t, alice), addr(t, cold))
	g.wantState(a.Id, "live")
	reads := g.chain.Reads
	g.poll()
	g.wantState(a.Id, "not_a_holder")
	g.wantState(b.Id, "live")
	if got := g.chain.Reads - reads; got != 1 {
		t.Errorf("%d readings for one seller", got)
	}
	if n := testutil.CollectAndCount(g.Manager.metrics.lag); n != 1 {
		t.Errorf("%d lags", n)
	}
	reads = g.chain.Reads
	g.poll() // nothing new
	if g.chain.Reads != reads {
		t.Error("the chain is read though nothing has happened")
	}

	g.holds(bob, 0)
	g.chain.transfer(eth.Address{}, eth.Address{}) // a log that cannot be read
	g.poll()
	g.wantState(b.Id, "not_a_holder")
}

func TestWatcherMissesNothing(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	a := g.session(alice)
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.chain.broken = eth.ErrChainUnreachable
	if err := g.watch.poll(t.Context()); !errors.Is(err, eth.ErrChainUnreachable) {
		t.Errorf("look: %v", err)
	}
	g.wantState(a.Id, "live")
	g.chain.broken = nil
	g.chain.grow(0, 110)
	g.poll()
	g.wantState(a.Id, "not_a_holder")
	if last := g.chain.asked[len(g.chain.asked)-1]; last != "101-110 of 1" {
		t.Errorf("asked %v", g.chain.asked)
	}

	// The next start goes on where this one was.
	again := newWatcher(g.Manager, 1)
	g.chain.grow(0, 115)
	g.ok(again.poll(t.Context()))
	if last := g.chain.asked[len(g.chain.asked)-1]; last != "111-115 of 1" {
		t.Errorf("after a restart %v", g.chain.asked)
	}
}

func TestWatcherReorganisation(t *testing.T) {
	for name, reorg := range map[string]func(*scriptedChain){
		"the head is another":        func(c *scriptedChain) { c.undo(105); c.grow(1, 105) },
		"the parent is another":      func(c *scriptedChain) { c.undo(104); c.grow(1, 106) },
		"deep":                       func(c *scriptedChain) { c.undo(20); c.grow(1, 130) },
		"a chain that began anew":    func(c *scriptedChain) { c.undo(0); c.grow(1, 3) },
		"away for longer than ever":  func(c *scriptedChain) { c.grow(0, 105+maxCatchUp+1) },
		"shorter, then another head": func(c *scriptedChain) { c.undo(103); c.grow(1, 105) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newSessionTest(t)
			g.holds(alice, 1)
			g.holds(bob, 1)
			a, b := g.session(alice), g.session(bob)
			g.holds(alice, 0)
			g.chain.grow(0, 104)
			g.chain.transfer(addr(t, alice), addr(t, cold)) // in block 105
			g.poll()
			g.wantState(a.Id, "not_a_holder")

			g.holds(alice, 1) // the transfer never was; another one did happen
			g.holds(bob, 0)
			reorg(g.chain)
			g.poll()
			g.wantState(b.Id, "not_a_holder")
			g.session(alice)
		})
	}
}

// TestUnseenBlockIsUndone: who was let in by a block that was undone before the
// watcher looked is asked again.
func TestUnseenBlockIsUndone(t *testing.T) {
	for name, undone := range map[string]func(*sessionTest){
		"as high as before": func(g *sessionTest) { g.chain.undo(101); g.chain.grow(1, 101) },
		"higher":            func(g *sessionTest) { g.chain.undo(101); g.chain.grow(1, 104) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newSessionTest(t)
			g.holds(bob, 1)
			g.chain.transfer(addr(t, alice), addr(t, bob)) // in block 101
			s := g.session(bob)
			undone(g)
			g.holds(bob, 0)
			g.poll()
			g.wantState(s.Id, "not_a_holder")
			asked := g.chain.Reads
			g.poll() // all is well now
			if g.chain.Reads != asked {
				t.Error("it is asked again and again")
			}
		})
	}
}

// TestHeadIsUndoneHalfWay: what a head has proved falls with it.
func TestHeadIsUndoneHalfWay(t *testing.T) {
	g := newSessionTest(t)
	g.holds(bob, 1)
	g.chain.transfer(addr(t, alice), addr(t, bob)) // in block 101
	s := g.session(bob)
	g.chain.grow(0, 102)
	g.chain.broken = eth.ErrChainUnreachable
	if g.watch.poll(t.Context()) == nil {
		t.Fatal("there were logs")
	}
	g.chain.broken = nil
	g.chain.undo(101)
	g.chain.grow(1, 103)
	g.holds(bob, 0)
	g.poll()
	g.wantState(s.Id, "not_a_holder")
}

// TestLaggingHeadProvesNothing: of an endpoint on a branch of its own, not
// even what was read there.
func TestLaggingHeadProvesNothing(t *testing.T) {
	g := newSessionTest(t)
	g.chain.grow(0, 102)
	g.poll()
	main := slices.Clone(g.chain.blocks)
	g.chain.undo(101)
	g.chain.grow(1, 101)
	g.holds(bob, 1)
	s := g.session(bob)
	g.poll()
	g.chain.blocks = main
	g.chain.grow(0, 103)
	g.holds(bob, 0)
	g.poll()
	g.wantState(s.Id, "not_a_holder")
}

// TestStartingOverWithALag: an endpoint that is a block or two behind ends
// nobody's session.
func TestStartingOverWithALag(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	s := g.session(alice)
	g.chain.grow(0, 105)
	g.poll()
	g.chain.undo(103)
	g.chain.grow(1, 106)
	g.chain.Block = 104 // where it is read
	g.poll()
	g.wantState(s.Id, "live")
	if g.watch.at.Number != 106 {
		t.Errorf("the watcher is at %d", g.watch.at.Number)
	}
}

// TestBlockIsReadFirst: that a block is read before the watcher looks at it is
// no reason to ask everybody.
func TestBlockIsReadFirst(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	a := g.session(alice)
	for number := uint64(101); number < 400; number += 3 { // read in the first of three blocks
		g.chain.grow(0, number)
		g.Decider.Facts.Invalidate(1, 0, addr(t, nft), addr(t, alice))
		g.recheck(t.Context(), g.live.all(), nil)
		g.chain.grow(0, number+2)
		g.holds(alice, 0) // which no log tells
		g.poll()
		g.holds(alice, 1)
	}
	g.wantState(a.Id, "live")
	head, _ := g.chain.Head(t.Context(), 1)
	if blocks, split := g.Decider.Facts.Unproven(1, head); len(blocks) > 0 || split {
		t.Errorf("%d blocks were not found, split %v", len(blocks), split)
	}
}

// TestWatcherEndpointThatLags: it lets nobody in by what it does not know yet,
// however often it is looked at; only in the end it is another branch.
func TestWatcherEndpointThatLags(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	g.chain.transfer(addr(t, alice), addr(t, bob)) // in block 101
	g.poll()
	whole := slices.Clone(g.chain.blocks)
	g.chain.undo(101) // as an endpoint says that does not have it
	g.chain.Block = 100
	for range 100 {
		g.poll()
	}
	_, err := g.CreateSession(g.as(alice), &rpc.CreateSessionRequest{VideoId: "film"})
	if code, _ := rpc.Reason(err); code != "chain_unreachable" {
		t.Errorf("who sold is told %q", code)
	}
	g.watch.lagging = time.Now().Add(-maxLag)
	g.poll()
	if g.watch.at.Number != 100 {
		t.Errorf("after long, the watcher is at %d", g.watch.at.Number)
	}
	g.chain.blocks = whole
	g.poll()
	if g.watch.at.Number != 101 || !g.watch.lagging.IsZero() {
		t.Errorf("the watcher is at %d, lagging since %v", g.watch.at.Number, g.watch.lagging)
	}
}

// TestWatcherLooksAgain: a stumble costs no poll interval.
func TestWatcherLooksAgain(t *testing.T) {
	g := newSessionTest(t, func(c *setup) { c.PollInterval = func(uint64) time.Duration { return time.Hour } })
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
	g := newSessionTest(t)
	g.Decider.Facts.Unproven(1, eth.Block{Number: 50, Hash: [32]byte{1}}) // by an endpoint that was far behind
	g.chain.grow(0, 50+maxCatchUp+1)
	g.chain.pruned = 10_000
	g.poll()
	if want := uint64(50 + maxCatchUp + 1); g.watch.at.Number != want {
		t.Errorf("the watcher is at %d, want %d", g.watch.at.Number, want)
	}
	g.chain.grow(0, g.watch.at.Number+maxCatchUp+1)
	g.chain.pruned = g.watch.at.Number + 1
	g.poll()
	if g.watch.at.Number < g.chain.pruned {
		t.Errorf("the watcher is at %d, which is not there any more", g.watch.at.Number)
	}
}

// TestChainThatStumbles: a few failures end nobody, many in a row do.
func TestChainThatStumbles(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	a := g.session(alice)
	stumble := func(times int) {
		g.Decider.Facts.Reset(1, 0)
		g.chain.Stumbles = times
		g.recheck(t.Context(), g.live.all(), nil)
	}
	stumble(len(retryPauses))
	g.wantState(a.Id, "live")
	stumble(len(retryPauses) + 1)
	g.wantState(a.Id, "chain_unreachable")
}

// TestFollowedLogs: logs that come along with the head have the effect of those
// that are asked for, once.
func TestFollowedLogs(t *testing.T) {
	g := newSessionTest(t)
	g.chain.whole = true
	g.holds(alice, 1)
	g.holds(bob, 1)
	a, b := g.session(alice), g.session(bob)
	g.poll()
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, cold))
	g.chain.grow(0, 105)
	g.chain.transfer(addr(t, bob), addr(t, bob))
	g.poll()
	g.wantState(a.Id, "not_a_holder")
	g.wantState(b.Id, "live")
	if g.watch.at.Number != 106 {
		t.Errorf("the watcher is at %d", g.watch.at.Number)
	}
	reads := g.chain.Reads
	g.chain.grow(0, 107)
	g.poll() // block 106 comes again
	if g.chain.Reads != reads {
		t.Error("who was asked already is asked again")
	}

	g.holds(bob, 0)
	g.chain.undo(105)
	g.chain.grow(1, 110)
	g.poll()
	g.wantState(b.Id, "not_a_holder")
}

// TestChainWithoutLogs: where nobody lists logs, who plays is asked again at
// each block, and the decision and the metrics say so.
func TestChainWithoutLogs(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	g.holds(bob, 1)
	a, b := g.session(alice), g.session(bob)
	listed := func() float64 { return g.gauge("streamgate_access_chain_logs") }
	problem := func() string {
		g.Helper()
		rule := parse(t, `{"erc721":{"chain":1,"contract":"NFT"}}`)
		viewer := rules.Viewer{Wallet: addr(t, bob)}
		return g.Decider.Decide(t.Context(), rule, viewer).Tree.Problem
	}
	g.chain.grow(0, 101)
	g.poll()
	if listed() != 1 || problem() != "" {
		t.Errorf("with logs: %v, %q", listed(), problem())
	}

	g.chain.broken = errors.Join(eth.ErrChainUnreachable, eth.ErrNoLogs)
	g.holds(alice, 0)
	g.chain.grow(0, 102)
	g.poll()
	g.wantState(a.Id, "not_a_holder")
	g.wantState(b.Id, "live")
	if listed() != 0 || problem() != rules.ProblemNoLogs {
		t.Errorf("without: %v, %q", listed(), problem())
	}
	if g.watch.at.Number != 102 {
		t.Errorf("the watcher stays at %d", g.watch.at.Number)
	}

	g.chain.broken = nil
	g.chain.grow(0, 103)
	g.poll()
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
			g := newSessionTest(t, func(cfg *setup) {
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
			g.chain.fail(eth.ErrChainUnreachable)
			for end := time.Now().Add(poll + 3*time.Second); g.state(s.Id) == "live" && time.Now().Before(end); {
				<-time.After(10 * time.Millisecond)
			}
			g.wantState(s.Id, c.want)
			cancel()
			<-done
		})
	}
}

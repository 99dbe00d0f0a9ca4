package sessions

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/access/decisions"
	"streamgate/app/apptest"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/memory"
)

// The tests of this file are of two nodes over the same records: each has its own
// connection to the bus, live sessions, facts and watcher.

// twoNodes are the first and the second of two. With the bus cut neither hears of
// the other.
func twoNodes(t *testing.T, cut bool, change ...func(*setup)) (a, b *sessionTest, h *hook) {
	t.Helper()
	h = &hook{}
	buses := apptest.NewBuses(t, 2)
	cache := memory.NewCache(memory.Options{})
	change = append([]func(*setup){func(c *setup) { c.Cache = cache }}, change...)
	if cut {
		buses[1] = apptest.NewBus(t)
	}
	a = newSessionTest(t, append([]func(*setup){func(c *setup) {
		c.Bus, c.Share = buses[0], func() (int, int) { return 0, 2 }
		h.Table, c.Catalog.Sessions = c.Catalog.Sessions, h
	}}, change...)...)
	return a, a.second(buses[1], change...), h // they share the cache
}

// second is another node over the records of g.
func (g *sessionTest) second(bus *nats.Conn, change ...func(*setup)) *sessionTest {
	g.Helper()
	c := setup{Config: Config{
		Catalog: g.Catalog, Bus: bus, Tickets: g.Tickets, Passwords: g.Passwords, Limits: g.Limits, Chains: g.chain, Cache: g.Cache,
		Log: slog.New(slog.DiscardHandler), Share: func() (int, int) { return 1, 2 },
	}}
	for _, f := range change {
		f(&c)
	}
	c.Decider = newDecider(g.T, decisions.Config{Catalog: c.Catalog, Policy: c.Policy, Facts: decisions.FactReaderConfig{Chains: g.chain}})
	m, err := New(c.Config)
	g.ok(err)
	other := &sessionTest{T: g.T, Manager: m, chain: g.chain, watch: newWatcher(m, 1)}
	other.poll()
	return other
}

// hearing has a node listen until the test ends.
func (g *sessionTest) hearing() {
	g.Helper()
	stop, err := g.listen()
	g.ok(err)
	g.Cleanup(stop)
	g.ok(g.Bus.Flush())
}

func (g *sessionTest) until(what string, is func() bool) {
	g.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			g.Fatalf("in 30 s it did not come to this: %s", what)
		}
	}
}

// aging lets a session's newest ticket end that long ago.
func (g *sessionTest) aging(id string, ago time.Duration) {
	g.Helper()
	_, err := g.Catalog.Sessions.Update(g.Context(), id, func(rec *store.Session) error {
		rec.Ticket = time.Now().UTC().Add(-ago)
		return nil
	})
	g.ok(err)
}

// TestAFastClockEndsNothing: a node whose clock is five minutes ahead takes no
// session from those who watch, which the other nodes go on with.
func TestAFastClockEndsNothing(t *testing.T) {
	a, _, _ := twoNodes(t, false)
	fast := a.second(a.Bus, func(c *setup) {
		c.Share = func() (int, int) { return 0, 2 }
		c.Now = func() time.Time { return time.Now().Add(5 * time.Minute) }
	})
	a.holds(alice, 1)
	s := a.session(alice)
	a.ok(fast.load(t.Context()))
	fast.sweep(t.Context())
	a.ok(fast.removeOver(t.Context()))
	a.wantState(s.Id, "live")
	if _, err := a.RenewSession(a.as(""), &rpc.RenewSessionRequest{Token: a.aged(s.Id, 20*time.Second)}); err != nil {
		t.Errorf("renewed after that: %v", err)
	}
	a.aging(s.Id, overFor+time.Second)
	a.ok(a.removeOver(t.Context()))
	if _, err := a.Catalog.Sessions.Get(t.Context(), s.Id); err == nil {
		t.Error("what is over for all clocks stays for ever")
	}
}

// TestTheRecordsClockIsTheTickets: a node whose machine is slow, and which knows it,
// makes tickets that are good everywhere.
func TestTheRecordsClockIsTheTickets(t *testing.T) {
	ahead := func() time.Time { return time.Now().Add(5 * time.Minute) } // of this machine, which is slow
	a, _, _ := twoNodes(t, false, func(c *setup) { c.Now = ahead })
	a.holds(alice, 1)
	if _, err := a.Tickets.Verify(a.session(alice).Token, ahead()); err != nil {
		t.Errorf("a ticket that was just made: %v", err)
	}
}

// TestARevokedKeyMakesNoLink on a node that has not heard of it; and what it made
// there a moment before ends with the next look.
func TestARevokedKeyMakesNoLink(t *testing.T) {
	a, b, h := twoNodes(t, true)
	a.ok(a.Catalog.Keys.Create(t.Context(), store.Key{ID: "k", Scope: "read"}))
	key := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead, KeyID: "k"}) // as b still believes
	made, err := b.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film"})
	a.ok(err)
	h.beforeCreate = func() error { // while b makes another
		h.beforeCreate = nil
		a.ok(a.Catalog.Keys.Delete(t.Context(), "k"))
		return nil
	}
	_, err = b.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film"})
	wantReason(t, err, "key_revoked")
	_, err = b.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film"})
	wantReason(t, err, "invalid_key")
	// The node that has revoked it died before it ended its sessions.
	b.recheck(t.Context(), b.live.all(), nil)
	a.wantState(made.Id, "key_revoked")
}

// TestOneTicketIsRenewedOnce: of two nodes that are asked at the same time, one
// renews, and both answer with the same ticket.
func TestOneTicketIsRenewedOnce(t *testing.T) {
	a, b, h := twoNodes(t, true, func(c *setup) { c.MaxPerWallet = 1 })
	a.holds(alice, 1)
	token := a.aged(a.session(alice).Id, 20*time.Second)
	var first *rpc.Session
	h.beforeUpdate = func() error { // b has found that the ticket is the newest
		h.beforeUpdate = nil
		var err error
		first, err = a.RenewSession(a.as(""), &rpc.RenewSessionRequest{Token: token})
		return err
	}
	second, err := b.RenewSession(b.as(""), &rpc.RenewSessionRequest{Token: token})
	a.ok(err)
	if first.Token != second.Token || second.Token == token {
		t.Error("the two nodes gave two tickets")
	}
	stale := a.aged(first.Id, 10*time.Second)
	h.beforeUpdate = func() error {
		h.beforeUpdate = nil
		a.aged(first.Id, 20*time.Second) // it was long ago
		return nil
	}
	_, err = b.RenewSession(b.as(""), &rpc.RenewSessionRequest{Token: stale})
	wantReason(t, err, "ticket_renewed")
}

// TestSessionsAreKnownEverywhere: those that another node makes are watched here
// too, and those that it ends are not, before anything is polled.
func TestSessionsAreKnownEverywhere(t *testing.T) {
	a, b, _ := twoNodes(t, false)
	a.hearing()
	b.hearing()
	a.holds(alice, 1)
	s := a.session(alice)
	a.until("the second node watches over it", func() bool { return b.live.get(s.Id) != nil })
	_, err := b.LeaveSession(b.as(""), &rpc.LeaveSessionRequest{Token: s.Token})
	a.ok(err)
	a.until("the first node has heard that it is over", func() bool { return a.live.get(s.Id) == nil })
}

// TestATransferIsSeenWithoutTheBus: a session of a node that has died ends by what
// another one sees of the chain, and its viewer gets in nowhere, although the nodes
// never heard of each other.
func TestATransferIsSeenWithoutTheBus(t *testing.T) {
	a, b, _ := twoNodes(t, true)
	a.holds(alice, 1)
	s := a.session(alice)
	b.session(alice) // and has read what alice holds
	a.ok(b.load(t.Context()))
	streaming, err := NewEnded(t.Context(), a.Catalog.Sessions, a.Bus, slog.New(slog.DiscardHandler))
	a.ok(err)
	a.holds(alice, 0)
	a.chain.transfer(addr(t, alice), addr(t, bob))
	b.poll() // a is dead
	a.wantState(s.Id, "not_a_holder")
	a.ok(streaming.read(t.Context()))
	if why := streaming.Why(s.Id); why == nil || why.Code != "not_a_holder" {
		t.Errorf("a streaming node says %v", why)
	}
	a.poll() // a is not
	for _, node := range []*sessionTest{a, b} {
		_, err := node.CreateSession(node.as(alice), &rpc.CreateSessionRequest{VideoId: "film"})
		wantReason(t, err, "not_a_holder")
	}
}

// TestRechecksAreShared: each session that is due is one node's to ask; one that is
// left unasked for too long is everybody's, and so is all if the other is gone.
func TestRechecksAreShared(t *testing.T) {
	a, b, _ := twoNodes(t, true, func(c *setup) { c.MaxPerWallet = -1 })
	a.holds(alice, 1)
	const sessions = 20
	for range sessions {
		a.session(alice)
	}
	a.ok(b.load(t.Context()))
	due := func(g *sessionTest, after time.Duration) map[string]bool {
		ids := map[string]bool{}
		ask, _ := g.live.due(time.Now().Add(after), time.Hour, neglected*g.Recheck, g.mine)
		for _, p := range ask {
			ids[p.id] = true
		}
		return ids
	}
	due(b, 0) // from now on b counts
	ofA, ofB := due(a, DefaultRecheck+time.Second), due(b, DefaultRecheck+time.Second)
	for id := range ofA {
		if ofB[id] {
			t.Errorf("both ask session %s", id)
		}
	}
	if len(ofA)+len(ofB) != sessions || len(ofA) == 0 || len(ofB) == 0 {
		t.Errorf("one node asks %d, the other %d, of %d", len(ofA), len(ofB), sessions)
	}
	if n := a.countMine() + b.countMine(); n != sessions {
		t.Errorf("the nodes count %d sessions", n)
	}
	if n := len(due(b, (neglected+1)*DefaultRecheck+time.Second)); n != sessions {
		t.Errorf("of what nobody asks, %d of %d are asked", n, sessions)
	}
	b.Share = func() (int, int) { return 0, 1 }
	if n := len(due(b, DefaultRecheck+time.Second)); n != sessions {
		t.Errorf("alone a node asks %d of %d", n, sessions)
	}
}

// TestOneNodeMovesTheCursor: both follow the chain, and only the first keeps where
// it is.
func TestOneNodeMovesTheCursor(t *testing.T) {
	a, b, _ := twoNodes(t, true)
	a.chain.grow(0, 105)
	b.poll()
	at := func() uint64 {
		c, err := a.Catalog.Cursors.Get(context.WithoutCancel(t.Context()), "1")
		a.ok(err)
		return c.Block
	}
	if at() != 100 || b.watch.at.Number != 105 {
		t.Errorf("the second node is at %d and has kept %d", b.watch.at.Number, at())
	}
	if a.poll(); at() != 105 {
		t.Errorf("the first node has kept %d", at())
	}
}

// TestLimitsAreOfAllNodes: a wallet's streams and a video's viewers are counted over
// both nodes, which have not heard of each other; renewing counts nobody again, and
// who ends leaves the place to others at once, wherever that is.
func TestLimitsAreOfAllNodes(t *testing.T) {
	a, b, _ := twoNodes(t, true, func(c *setup) { c.MaxPerWallet, c.MaxPerVideo = 2, 3 })
	a.holds(alice, 1)
	a.holds(bob, 1)
	enter := func(g *sessionTest, wallet string) (*rpc.Session, string) {
		s, err := g.CreateSession(g.as(wallet), &rpc.CreateSessionRequest{VideoId: "film"})
		reason, _ := rpc.Reason(err)
		return s, reason
	}
	first := a.session(alice)
	b.session(alice)
	for name, g := range map[string]*sessionTest{"first": a, "second": b} {
		if _, reason := enter(g, alice); reason != "too_many_streams" {
			t.Errorf("a third stream on the %s node: %q", name, reason)
		}
	}
	a.session(bob)
	if _, reason := enter(b, bob); reason != "too_many_viewers" {
		t.Errorf("a fourth viewer: %q", reason)
	}
	first, err := b.RenewSession(b.as(""), &rpc.RenewSessionRequest{Token: a.aged(first.Id, 20*time.Second)})
	a.ok(err)
	_, err = b.LeaveSession(b.as(""), &rpc.LeaveSessionRequest{Token: first.Token})
	a.ok(err)
	if _, reason := enter(a, alice); reason != "" {
		t.Errorf("after one has left: %q", reason)
	}
}

// TestAChangedRuleCountsAtOnce on a node that has not heard of it and has just
// decided by the old one; what the new one names is watched there too.
func TestAChangedRuleCountsAtOnce(t *testing.T) {
	a, b, _ := twoNodes(t, true)
	a.holds(alice, 1)
	b.session(alice)
	another := "0x00000000000000000000000000000000000000AA"
	stored, err := parse(t, `{"erc721":{"chain":1,"contract":"`+another+`"}}`).Stored()
	a.ok(err)
	_, err = a.Catalog.Videos.Update(t.Context(), "film", func(v *store.Video) error { v.Rule = stored; return nil })
	a.ok(err)
	_, err = b.CreateSession(b.as(alice), &rpc.CreateSessionRequest{VideoId: "film"})
	wantReason(t, err, "not_a_holder")
	contracts, used, err := b.Decider.Rules.Contracts(t.Context(), 1)
	a.ok(err)
	if !used || !slices.Contains(contracts, addr(t, another)) {
		t.Errorf("the node watches %v, %v", contracts, used)
	}
}

package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/memory"
	"streamgate/store/storetest"
)

// door refuses who has no wallet.
type door struct{ rpc.AccessClient }

func (door) CreateSession(ctx context.Context, req *rpc.CreateSessionRequest) (*rpc.Session, error) {
	switch {
	case req.VideoId == "none":
		return nil, rpc.NotFound(store.ErrNotFound, "video", req.VideoId)
	case rpc.Caller(ctx).Wallet == "":
		return nil, rpc.Errorf(connect.CodeUnauthenticated, "not_signed_in", "Sign in with a wallet.")
	}
	return &rpc.Session{Id: "s"}, nil
}

// gate is a door whose decisions are kept.
type gate struct {
	*Decisions
	t     *testing.T
	clock *storetest.Clock
	door  rpc.AccessClient
}

func newGate(t *testing.T, catalog store.Catalog) *gate {
	clock := storetest.NewClock()
	d := NewDecisions(DecisionsConfig{
		Catalog: catalog, Cache: memory.NewCache(memory.Options{Now: clock.Now}), Log: slog.New(slog.DiscardHandler), Now: clock.Now,
	})
	return &gate{d, t, clock, d.Access(door{})}
}

// ask asks to watch.
func (g *gate) ask(video, wallet string) {
	_, _ = g.door.CreateSession(rpc.WithIdentity(g.t.Context(), rpc.Identity{Wallet: wallet, Client: "::1"}), &rpc.CreateSessionRequest{VideoId: video})
}

// list is what the store has.
func (g *gate) list(q DecisionQuery) []store.Decision {
	g.t.Helper()
	list, _, err := g.List(rpc.System(g.t.Context()), q)
	want(g.t, err, "")
	return list
}

// end is the end of a node.
func (g *gate) end() {
	ctx, cancel := context.WithCancel(g.t.Context())
	cancel()
	want(g.t, g.Run(ctx), "")
}

// TestDecisions: who was let in and who was not is there after a restart, with
// the reason; equal ones are one record; what is no decision is not there.
func TestDecisions(t *testing.T) {
	_, catalog := open(t)
	g := newGate(t, catalog)
	for range 3 {
		g.ask("film", "")
	}
	g.ask("film", "0xAb")
	g.ask("none", "0xAb")
	want(t, g.write(t.Context(), false), "")
	g.ask("film", "") // a fourth, of a record that is written
	g.clock.Advance(decisionsEqual)
	g.ask("film", "") // of the next minute
	g.end()

	later := newGate(t, catalog)
	got := map[string]int{}
	for _, d := range later.list(DecisionQuery{VideoID: "film"}) {
		got[fmt.Sprintf("%s %q %s %s", d.Outcome, d.Wallet, d.Reason, d.Why)] += d.Count
	}
	refused := `refused "" not_signed_in Sign in with a wallet.`
	if len(got) != 2 || got[`admitted "0xAb"  `] != 1 || got[refused] != 5 {
		t.Errorf("kept: %v", got)
	}
	if list := later.list(DecisionQuery{Outcome: store.DecisionRefused}); len(list) != 2 || max(list[0].Count, list[1].Count) != 4 || list[1].Client != "::1" {
		t.Errorf("refusals: %+v", list)
	}
	if list := later.list(DecisionQuery{Wallet: "0xAB", Limit: 10}); len(list) != 1 || list[0].Outcome != store.DecisionAdmitted {
		t.Errorf("of the wallet: %+v", list)
	}
	_, _, err := later.List(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead}), DecisionQuery{})
	want(t, err, "permission_denied")
	_, _, err = later.List(rpc.System(t.Context()), DecisionQuery{Cursor: "x"})
	want(t, err, "invalid_cursor")
}

// TestDecisionFlood: strangers who ask again and again, for many videos and with
// many wallets, do not fill the disk, and push out neither what was kept nor who
// is let in; what was left out is counted.
func TestDecisionFlood(t *testing.T) {
	_, catalog := open(t)
	g := newGate(t, catalog)
	g.ask("first", "")
	want(t, g.write(t.Context(), false), "")
	asked := 0
	for minute := range 4 {
		for i := range 900 {
			g.ask(fmt.Sprintf("film %d", i), "")
			asked++
		}
		g.clock.Advance(decisionsEqual)
		if minute == 2 {
			g.ask("film 1", "0x1")
		}
		want(t, g.write(t.Context(), false), "")
	}
	g.end()
	kept := map[store.DecisionOutcome]int{}
	counted := 0
	first := false
	for d, err := range store.All(t.Context(), catalog.Decisions, store.Query{}) {
		want(t, err, "")
		kept[d.Outcome]++
		first = first || d.VideoID == "first"
		if d.Outcome != store.DecisionAdmitted && d.VideoID != "first" {
			counted += d.Count
		}
	}
	most := allDecisions.burst + int(allDecisions.perHour)
	if kept[store.DecisionRefused] < allDecisions.burst || kept[store.DecisionRefused] > most || kept[store.DecisionAdmitted] != 1 || kept[store.DecisionLeftOut] != 1 {
		t.Errorf("kept: %v", kept)
	}
	if !first || counted != asked {
		t.Errorf("the first is there: %t; %d counted of %d", first, counted, asked)
	}
}

// TestDecisionBounds: one video, or one wallet, has its share and no more.
func TestDecisionBounds(t *testing.T) {
	for name, c := range map[string]struct {
		ask   func(g *gate, i int)
		bound decisionBound
	}{
		"of a video":  {func(g *gate, i int) { g.ask("film", fmt.Sprintf("0x%d", i)) }, videoDecisions},
		"of a wallet": {func(g *gate, i int) { g.ask(fmt.Sprintf("film %d", i), "0x1") }, walletDecisions},
	} {
		t.Run(name, func(t *testing.T) {
			_, catalog := open(t)
			g := newGate(t, catalog)
			for i := range c.bound.burst + 50 {
				c.ask(g, i)
			}
			g.end()
			admitted, left := 0, 0
			for d, err := range store.All(t.Context(), catalog.Decisions, store.Query{}) {
				want(t, err, "")
				if d.Outcome == store.DecisionAdmitted {
					admitted++
				} else {
					left += d.Count
				}
			}
			if admitted != c.bound.burst {
				t.Errorf("%d kept, %d left out", admitted, left)
			}
		})
	}
}

// brokenTable fails to create while it is broken.
type brokenTable struct {
	store.Table[store.Decision]
	broken atomic.Bool
}

func (b *brokenTable) Create(ctx context.Context, d store.Decision) error {
	if b.broken.Load() {
		return errors.New("the disk is full")
	}
	return b.Table.Create(ctx, d)
}

// TestDecisionsStoreFails: what cannot be written now is written later.
func TestDecisionsStoreFails(t *testing.T) {
	_, catalog := open(t)
	table := &brokenTable{Table: catalog.Decisions}
	catalog.Decisions = table
	g := newGate(t, catalog)
	table.broken.Store(true)
	g.ask("film", "0x1")
	if err := g.write(t.Context(), false); err == nil {
		t.Error("that it fails is not said")
	}
	g.clock.Advance(decisionsEqual)
	g.ask("film", "0x1")
	table.broken.Store(false)
	want(t, g.write(t.Context(), false), "")
	if list := g.list(DecisionQuery{}); len(list) != 2 {
		t.Errorf("%d are kept", len(list))
	}
}

// TestDecisionsGoOld: a decision is kept for a week, and no longer.
func TestDecisionsGoOld(t *testing.T) {
	_, catalog := open(t)
	g := newGate(t, catalog)
	g.ask("old", "0x1")
	g.clock.Advance(decisionsKept - time.Hour)
	g.ask("new", "0x1")
	want(t, g.write(t.Context(), true), "")
	want(t, g.sweep(t.Context()), "")
	if list := g.list(DecisionQuery{}); len(list) != 2 {
		t.Errorf("%d are kept for a week", len(list))
	}
	g.clock.Advance(2 * time.Hour)
	want(t, g.sweep(t.Context()), "")
	if list := g.list(DecisionQuery{}); len(list) != 1 || list[0].VideoID != "new" {
		t.Errorf("kept: %+v", list)
	}
}

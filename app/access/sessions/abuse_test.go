package sessions

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// The tests of this file try to get past the gate, or to shut it for others.

// hook lets a test come between a service and the sessions' table.
type hook struct {
	store.Table[store.Session]
	afterGet, beforeCreate, beforeUpdate func() error
}

func (h *hook) Get(ctx context.Context, id string) (store.Session, error) {
	rec, err := h.Table.Get(ctx, id)
	if h.afterGet != nil {
		err = errors.Join(err, h.afterGet())
	}
	return rec, err
}

func (h *hook) Create(ctx context.Context, rec store.Session) error {
	if h.beforeCreate != nil {
		if err := h.beforeCreate(); err != nil {
			return err
		}
	}
	return h.Table.Create(ctx, rec)
}

func (h *hook) Update(ctx context.Context, id string, fn func(*store.Session) error) (store.Session, error) {
	if h.beforeUpdate != nil {
		if err := h.beforeUpdate(); err != nil {
			return store.Session{}, err
		}
	}
	return h.Table.Update(ctx, id, fn)
}

func newHookedTest(t *testing.T) (*sessionTest, *hook) {
	t.Helper()
	h := &hook{}
	g := newSessionTest(t, func(c *setup) { h.Table, c.Catalog.Sessions = c.Catalog.Sessions, h })
	return g, h
}

func (g *sessionTest) code(pool string) string {
	g.Helper()
	out, err := g.CreateCodes(rpc.System(g.Context()), &rpc.CreateCodesRequest{Pool: pool})
	g.ok(err)
	return out.Codes[0]
}

// One code of one use is one viewer: whoever else has seen the ticket does not
// get in by it, and the operator can take it back.
func TestOneCodeIsOneViewer(t *testing.T) {
	g := newSessionTest(t)
	g.video("gala", `{"ticket_code":{"pool":"gala"}}`)
	enter := func(code, resume string) (*rpc.Session, error) {
		return g.CreateSession(g.as(""), &rpc.CreateSessionRequest{VideoId: "gala", Code: code, Resume: resume})
	}
	first, err := enter(g.code("gala"), "")
	g.ok(err)
	second, err := enter("", first.Token)
	g.ok(err)
	for range 5 {
		_, err = enter("", first.Token)
		wantReason(t, err, "ticket_required")
	}
	if n := g.live.count(); n != 1 {
		t.Errorf("%d play with one code", n)
	}
	if second.EndsAt.AsTime().After(first.EndsAt.AsTime()) {
		t.Errorf("it lasts until %v instead of %v", second.EndsAt.AsTime(), first.EndsAt.AsTime())
	}
	_, err = g.EndSession(admin(t), &rpc.EndSessionRequest{Id: second.Id})
	g.ok(err)
	_, err = enter("", second.Token)
	wantReason(t, err, "ticket_required")

	third, err := enter(g.code("gala"), "")
	g.ok(err)
	_, err = g.DeleteCodes(admin(t), &rpc.DeleteCodesRequest{Pool: "gala"})
	g.ok(err)
	g.wantState(third.Id, reasonCodes)
	_, err = enter("", third.Token)
	wantReason(t, err, "ticket_required")
}

// A code is not used up by what did not come about.
func TestCodeIsGivenBack(t *testing.T) {
	g, h := newHookedTest(t)
	g.video("gala", `{"ticket_code":{"pool":"gala"}}`)
	request := &rpc.CreateSessionRequest{VideoId: "gala", Code: g.code("gala")}
	broken := errors.New("the disk is full")
	h.beforeCreate = func() error { return broken }
	if _, err := g.CreateSession(g.as(""), request); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ctx, hangUp := context.WithCancel(g.as(""))
	h.beforeCreate = func() error { hangUp(); return nil }
	first, err := g.CreateSession(ctx, request) // done, whether or not it is waited for
	g.ok(err)
	g.wantState(first.Id, "live")
	h.beforeCreate = nil
	_, err = g.CreateSession(g.as(""), request)
	wantReason(t, err, "ticket_used")
}

// A place that was taken over is given back if the taker gets none.
func TestPlaceIsGivenBack(t *testing.T) {
	g, h := newHookedTest(t)
	g.holds(alice, 1)
	first := g.session(alice)
	broken := errors.New("the disk is full")
	h.beforeCreate = func() error { return broken }
	_, err := g.CreateSession(g.as(alice), &rpc.CreateSessionRequest{VideoId: "film", Resume: first.Token})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	g.wantState(first.Id, "live")
	if g.live.get(first.Id) == nil || g.live.count() != 1 {
		t.Error("it is not where it was among the live sessions")
	}
}

// Whoever hangs up in the middle of leaving is still watched over.
func TestLeavingIsDoneOrNot(t *testing.T) {
	g, h := newHookedTest(t)
	g.holds(alice, 1)
	s := g.session(alice)
	ctx, hangUp := context.WithCancel(g.as(alice))
	h.afterGet = func() error { hangUp(); return nil }
	_, err := g.LeaveSession(ctx, &rpc.LeaveSessionRequest{Token: s.Token})
	g.ok(err)
	g.wantState(s.Id, reasonLeft)

	h.afterGet = nil
	s = g.session(alice)
	h.beforeUpdate = func() error { return errors.New("the disk is full") }
	if _, err = g.LeaveSession(g.as(alice), &rpc.LeaveSessionRequest{Token: s.Token}); err == nil {
		t.Error("left")
	}
	h.beforeUpdate = nil
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.poll()
	g.wantState(s.Id, "not_a_holder")
}

// Grace is for a chain that cannot be reached, not for a sale that was seen.
func TestKnownSaleHasNoGrace(t *testing.T) {
	g := newSessionTest(t, func(c *setup) { c.Policy.Grace = func(uint64) time.Duration { return time.Hour } })
	g.holds(alice, 1)
	g.holds(bob, 1)
	a, b := g.session(alice), g.session(bob)
	g.chain.transfer(addr(t, alice), addr(t, cold))
	g.chain.Stumbles = len(retryPauses) + 1
	g.poll()
	g.wantState(a.Id, "chain_unreachable")
	g.Decider.Facts.Reset(1, 0)
	g.chain.Stumbles = len(retryPauses) + 1
	g.recheck(t.Context(), g.live.all(), nil)
	g.wantState(b.Id, "live")
	if wait := time.Until(g.live.get(b.Id).due); wait > g.pollInterval(1) {
		t.Errorf("while it stands on grace it is asked again in %v", wait)
	}
}

// One rule that cannot be read admits nobody, and keeps nobody else waiting.
func TestRuleThatCannotBeRead(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	a := g.session(alice)
	g.video("bad", `{"public":true}`)
	b, err := g.CreateSession(g.as(""), &rpc.CreateSessionRequest{VideoId: "bad"})
	g.ok(err)
	_, err = g.Catalog.Videos.Update(t.Context(), "bad", func(v *store.Video) error {
		v.Rule = []byte(`{"nonsense":1}`)
		return nil
	})
	g.ok(err)
	g.Changed("bad")
	g.recheckPending(t.Context())
	g.wantState(b.Id, "rule_missing")
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.poll()
	g.wantState(a.Id, "not_a_holder")
}

// A reorganisation is a floor: what an endpoint says from before it is refused.
func TestReadingFromBehindAReorganisation(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	g.chain.grow(0, 104)
	g.poll()
	a := g.session(alice)
	g.chain.undo(103)
	g.chain.grow(1, 105)
	g.chain.Mu.Lock()
	g.chain.Block = 102 // where the endpoint is that reads
	g.chain.Mu.Unlock()
	g.poll()
	g.wantState(a.Id, "chain_unreachable")
}

// A chain that began anew, a little behind, is not lagging for ever.
func TestChainThatBeganAnew(t *testing.T) {
	g := newSessionTest(t)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.poll()
	g.chain.undo(0)
	g.chain.grow(1, 60)
	g.holds(bob, 1)
	g.poll()
	g.session(bob)
}

// Whoever ends while it is renewed is told why, and is not among the live sessions.
func TestEndedWhileRenewed(t *testing.T) {
	g, h := newHookedTest(t)
	g.holds(alice, 1)
	s := g.session(alice)
	token := g.aged(s.Id, 20*time.Second)
	var once atomic.Bool
	h.afterGet = func() error {
		if !once.Swap(true) {
			_, err := h.Table.Update(t.Context(), s.Id, func(rec *store.Session) error {
				rec.State, rec.Failure = store.SessionEnded, &store.Failure{Code: reasonOperator, Message: "Ended."}
				return nil
			})
			return err
		}
		return nil
	}
	_, err := g.RenewSession(g.as(alice), &rpc.RenewSessionRequest{Token: token})
	wantReason(t, err, reasonOperator)
	if g.live.count() != 0 {
		t.Error("it is still among the live sessions")
	}
}

package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/app/access/decisions"
	"streamgate/app/access/rules"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

func TestRenew(t *testing.T) {
	g := newSessionTest(t, func(c *setup) { c.TicketTTL, c.SessionTTL = time.Minute, 90*time.Second })
	g.holds(alice, 1)
	s := g.session(alice)
	if left := time.Until(s.ExpiresAt.AsTime()); left > time.Minute || left < 50*time.Second {
		t.Errorf("the first ticket is good for %v", left)
	}
	// A minute later a ticket would outlive its session.
	_, err := g.Catalog.Sessions.Update(t.Context(), s.Id, func(rec *store.Session) error {
		rec.Expires = time.Now().UTC().Add(30 * time.Second).Truncate(time.Second)
		return nil
	})
	g.ok(err)
	same, err := g.RenewSession(g.as(""), &rpc.RenewSessionRequest{Token: s.Token})
	if err != nil || same.Token != s.Token { // just issued: as good as another
		t.Errorf("renewed at once: %v, %v", same, err)
	}
	s.Token = g.aged(s.Id, 20*time.Second)
	again, err := g.RenewSession(g.as(""), &rpc.RenewSessionRequest{Token: s.Token})
	g.ok(err)
	if again.Id != s.Id || again.Token == s.Token || !again.ExpiresAt.AsTime().Equal(again.EndsAt.AsTime()) {
		t.Errorf("renewed as %v", again)
	}
	ticket, err := g.Tickets.Verify(again.Token, time.Now())
	if err != nil || !ticket.Expires.Equal(again.ExpiresAt.AsTime()) {
		t.Errorf("ticket %+v, %v", ticket, err)
	}

	_, err = g.RenewSession(g.as(""), &rpc.RenewSessionRequest{Token: s.Token})
	wantReason(t, err, "ticket_renewed") // by another player

	g.holds(alice, 0)
	g.Decider.Facts.Reset(1, 0)
	_, err = g.RenewSession(g.as(""), &rpc.RenewSessionRequest{Token: again.Token})
	wantReason(t, err, "not_a_holder")
	_, err = g.RenewSession(g.as(""), &rpc.RenewSessionRequest{Token: again.Token})
	wantReason(t, err, "not_a_holder") // and stays so
	for name, token := range map[string]string{
		"ticket_invalid": ticketsWith([]byte("another node's")).Sign(Ticket{SessionID: s.Id, VideoID: "film", Expires: time.Now().Add(time.Hour)}),
		"ticket_expired": g.Tickets.Sign(Ticket{SessionID: s.Id, VideoID: "film", Expires: time.Now().Add(-time.Second)}),
	} {
		_, err = g.RenewSession(g.as(""), &rpc.RenewSessionRequest{Token: token})
		wantReason(t, err, name)
		_, err = g.LeaveSession(g.as(""), &rpc.LeaveSessionRequest{Token: token})
		wantReason(t, err, name)
	}
}

// aged makes a session's newest ticket older, and returns it.
func (g *sessionTest) aged(id string, by time.Duration) string {
	g.Helper()
	rec, err := g.Catalog.Sessions.Update(g.Context(), id, func(rec *store.Session) error {
		rec.Ticket = rec.Ticket.Add(-by)
		return nil
	})
	g.ok(err)
	return g.Tickets.Sign(Ticket{SessionID: id, VideoID: rec.VideoID, Expires: rec.Ticket})
}

// TestSoldWhileAdmitted: a transfer between the decision and the session's
// place among the live sessions is not missed.
func TestSoldWhileAdmitted(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	viewer := rules.Viewer{Wallet: addr(t, alice)}
	rec := g.newSession("film", viewer)
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.poll() // and finds nobody
	_, err := g.open(t.Context(), &opening{rec: rec, due: time.Now().Add(time.Hour)})
	wantReason(t, err, "not_a_holder")
	g.wantState(rec.ID, "not_a_holder")
	if g.live.count() != 0 {
		t.Error("it is still among the live sessions")
	}
}

func TestViewAsWallet(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	g.ok(g.Catalog.Keys.Create(t.Context(), store.Key{ID: "k", Scope: "read"}))
	key := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead, KeyID: "k"})
	_, err := g.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film", Wallet: bob})
	wantReason(t, err, "not_a_holder")
	as, err := g.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film", Wallet: alice})
	g.ok(err)
	preview, err := g.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film"})
	g.ok(err)
	if as.Preview || as.Wallet != alice || !preview.Preview {
		t.Errorf("as a wallet %v, preview %v", as, preview)
	}
	for range DefaultMaxPerWallet { // a key's sessions do not count as the wallet's
		g.session(alice)
	}
	g.holds(alice, 0)
	g.chain.transfer(addr(t, alice), addr(t, bob))
	g.poll()
	g.wantState(as.Id, "not_a_holder")
	g.wantState(preview.Id, "live")
	_, err = g.CreateSession(g.as(bob), &rpc.CreateSessionRequest{VideoId: "film", Wallet: alice})
	wantReason(t, err, "permission_denied")
}

func TestResumeIsTheViewersOwn(t *testing.T) {
	g := newSessionTest(t)
	g.video("locked", `{"password":"open sesame"}`)
	g.video("other", `{"password":"open sesame"}`)
	enter := func(video, wallet, password, resume string) (*rpc.Session, error) {
		return g.CreateSession(g.as(wallet), &rpc.CreateSessionRequest{VideoId: video, Password: password, Resume: resume})
	}
	s, err := enter("locked", alice, "open sesame", "")
	g.ok(err)
	for name, try := range map[string]struct{ video, wallet, resume string }{
		"of another wallet":     {"locked", bob, s.Token},
		"of another video":      {"other", alice, s.Token},
		"of another deployment": {"locked", alice, ticketsWith([]byte("x")).Sign(Ticket{SessionID: s.Id, VideoID: "locked"})},
		"signed out":            {"locked", "", s.Token},
	} {
		if _, err := enter(try.video, try.wallet, "", try.resume); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
	g.holds(alice, 1)
	if _, err := enter("film", alice, "", s.Token); err != nil {
		t.Error(err)
	}
	g.wantState(s.Id, "live") // another video is no reason to end it
	again, err := enter("locked", alice, "", s.Token)
	g.ok(err)
	g.wantState(s.Id, "resumed")
	g.wantState(again.Id, "live")
}

// TestOneCodeAdmitsOne: of many who enter it at the same time; and its pool counts it.
func TestOneCodeAdmitsOne(t *testing.T) {
	g := newSessionTest(t)
	g.video("gala", `{"ticket_code":{"pool":"gala"}}`)
	codes, err := g.CreateCodes(rpc.System(t.Context()), &rpc.CreateCodesRequest{Pool: "gala"})
	g.ok(err)
	const attempts = 10 // of one client
	var in, used atomic.Int32
	var wg sync.WaitGroup
	for range attempts {
		wg.Go(func() {
			_, err := g.CreateSession(g.as(""), &rpc.CreateSessionRequest{VideoId: "gala", Code: codes.Codes[0]})
			switch reason, _ := rpc.Reason(err); {
			case err == nil:
				in.Add(1)
			case reason == "ticket_used":
				used.Add(1)
			default:
				t.Errorf("refused with %v", err)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 || int(used.Load()) != attempts-1 {
		t.Errorf("%d were admitted, %d found it used", in.Load(), used.Load())
	}
	if n := g.live.count(); n != 1 {
		t.Errorf("%d sessions are among the live sessions", n)
	}
	_, err = g.CreateCodes(rpc.System(t.Context()), &rpc.CreateCodesRequest{Pool: "encore", Count: 2})
	g.ok(err)
	list, err := g.ListCodes(rpc.System(t.Context()), &rpc.ListCodesRequest{})
	g.ok(err)
	counts := ""
	for _, p := range list.Pools {
		counts += fmt.Sprintf("%s %d %d;", p.Pool, p.Codes, p.Used)
	}
	if counts != "encore 2 0;gala 1 1;" || list.More {
		t.Errorf("the codes are counted as %s, more %v", counts, list.More)
	}
	if _, err := g.DeleteCodes(rpc.System(t.Context()), &rpc.DeleteCodesRequest{Pool: "gala"}); err != nil {
		t.Error(err)
	}
	_, err = g.DeleteCodes(rpc.System(t.Context()), &rpc.DeleteCodesRequest{Pool: "gala"})
	wantReason(t, err, "pool_not_found")
}

// TestLimitsHoldAmongMany: the limits are not passed by being quick.
func TestLimitsHoldAmongMany(t *testing.T) {
	g := newSessionTest(t, func(c *setup) { c.MaxPerVideo = 5; c.MaxPerWallet = 2 })
	for _, wallet := range []string{alice, bob, cold} {
		g.holds(wallet, 1)
	}
	var wg sync.WaitGroup
	var in atomic.Int32
	for i := range 30 {
		wg.Go(func() {
			wallet := []string{alice, bob, cold}[i%3]
			_, err := g.CreateSession(g.as(wallet), &rpc.CreateSessionRequest{VideoId: "film"})
			if reason, _ := rpc.Reason(err); err == nil {
				in.Add(1)
			} else if reason != "too_many_streams" && reason != "too_many_viewers" {
				t.Errorf("refused with %v", err)
			}
		})
	}
	wg.Wait()
	if in.Load() != 5 {
		t.Errorf("%d were admitted, 5 may watch", in.Load())
	}
}

// TestOverIsForgotten: a session whose ticket was not renewed is over, and its
// record goes; unless its viewer has proved something.
func TestOverIsForgotten(t *testing.T) {
	g := newSessionTest(t)
	g.video("locked", `{"password":"open sesame"}`)
	g.holds(alice, 1)
	plain := g.session(alice)
	proved, err := g.CreateSession(g.as(alice), &rpc.CreateSessionRequest{VideoId: "locked", Password: "open sesame"})
	g.ok(err)
	ended := g.session(alice)
	g.ok(g.end(t.Context(), ended.Id, &store.Failure{Code: "left"}))
	late := time.Now().Add(-time.Second)
	for _, id := range []string{plain.Id, proved.Id, ended.Id} {
		_, err := g.Catalog.Sessions.Update(t.Context(), id, func(rec *store.Session) error { rec.Ticket = late; return nil })
		g.ok(err)
		g.live.renewed(id, late)
	}
	g.sweep(t.Context())
	g.ok(g.removeOver(t.Context()))
	if g.live.count() != 0 {
		t.Errorf("%d among the live sessions", g.live.count())
	}
	for _, id := range []string{plain.Id, ended.Id} {
		if _, err := g.Catalog.Sessions.Get(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	rec, err := g.Catalog.Sessions.Get(t.Context(), proved.Id)
	if err != nil || rec.State != store.SessionPast {
		t.Errorf("%+v, %v", rec, err)
	}
	again, err := g.CreateSession(g.as(alice), &rpc.CreateSessionRequest{VideoId: "locked", Resume: proved.Token})
	if err != nil || again.Id == proved.Id {
		t.Errorf("resumed as %v, %v", again, err)
	}
}

// TestEndedIsHeard, and found in the store by a node that did not hear.
func TestEndedIsHeard(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	a, b := g.session(alice), g.session(alice)
	hears, err := NewEnded(t.Context(), g.Catalog.Sessions, g.Bus, slog.New(slog.DiscardHandler))
	g.ok(err)
	misses, err := NewEnded(t.Context(), g.Catalog.Sessions, g.Bus, slog.New(slog.DiscardHandler))
	g.ok(err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- hears.Run(ctx) }()
	heard := make(chan events.Session, 1)
	_, err = events.SessionEnded.Listen(g.Bus, func(e events.Session) { heard <- e })
	g.ok(err)
	g.ok(g.end(t.Context(), a.Id, &store.Failure{Code: "not_a_holder", Message: "Sold."}))
	if e := <-heard; e.SessionID != a.Id || e.Reason != "not_a_holder" {
		t.Errorf("announced %+v", e)
	}
	hears.hear(t.Context(), a.Id) // Run may not listen yet
	for _, e := range []*Ended{hears, misses} {
		if e == misses {
			if e.Why(a.Id) != nil {
				t.Error("a node knows what it has not heard")
			}
			g.ok(e.read(t.Context()))
		}
		if why := e.Why(a.Id); why == nil || why.Code != "not_a_holder" || e.Why(b.Id) != nil {
			t.Errorf("the node says %v", why)
		}
	}
	for ago, remembered := range map[time.Duration]bool{overFor / 2: true, overFor + time.Second: false} {
		_, err = g.Catalog.Sessions.Update(t.Context(), a.Id, func(rec *store.Session) error {
			rec.Ticket = time.Now().Add(-ago)
			return nil
		})
		g.ok(err)
		g.ok(misses.read(t.Context()))
		if (misses.Why(a.Id) != nil) != remembered {
			t.Errorf("%v after the ticket's end it is remembered: %v", ago, !remembered)
		}
	}
	if now := time.Now(); misses.Stale(now) || !misses.Stale(now.Add(endedStale)) {
		t.Error("what was just read is stale, or what was read a minute ago is not")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	before := misses.asOf.Load()
	if misses.read(gone) == nil || misses.asOf.Load() != before {
		t.Error("a reading that failed counts")
	}
	stop()
	g.ok(<-done)
}

// TestRunTakesOver: the sessions of the node before are asked at the start.
func TestRunTakesOver(t *testing.T) {
	g := newSessionTest(t)
	g.holds(alice, 1)
	s := g.session(alice)
	g.holds(alice, 0) // sold while no node ran
	next, err := New(Config{
		Catalog: g.Catalog, Bus: g.Bus, Tickets: g.Tickets, Decider: newDecider(t, decisions.Config{Catalog: g.Catalog, Facts: decisions.FactReaderConfig{Chains: g.chain}}),
		Passwords: g.Passwords, Limits: g.Limits, Chains: g.chain, Log: slog.New(slog.DiscardHandler),
	})
	g.ok(err)
	ended := make(chan struct{})
	_, err = events.SessionEnded.Listen(g.Bus, func(events.Session) { close(ended) })
	g.ok(err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- next.Run(ctx) }()
	<-ended
	g.wantState(s.Id, "not_a_holder")
	stop()
	g.ok(<-done)
}

func TestCodesRefused(t *testing.T) {
	m := newManager(t)
	for want, req := range map[string]*rpc.CreateCodesRequest{
		`The pool is "a b"; it must be a name of 1 to 64 letters, digits, - and _.`: {Pool: "a b"},
		"The count is 1001; it must be 1 to 1000.":                                  {Pool: "a", Count: 1001},
	} {
		_, err := m.CreateCodes(admin(t), req)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

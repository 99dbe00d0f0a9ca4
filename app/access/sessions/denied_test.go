package sessions

import (
	"testing"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// TestDenialIsAnnounced: only what the rule refuses, not what is yet to be
// shown, nor a key's preview.
func TestDenialIsAnnounced(t *testing.T) {
	g := newSessionTest(t)
	heard := make(chan events.Denial, 9)
	_, err := events.AccessDenied.Listen(g.Bus, func(e events.Denial) { heard <- e })
	g.ok(err)
	for viewer, want := range map[string]string{"": "not_signed_in", bob: "not_a_holder"} {
		_, err := g.CreateSession(g.as(viewer), &rpc.CreateSessionRequest{VideoId: "film"})
		wantReason(t, err, want)
	}
	g.ok(g.Catalog.Keys.Create(t.Context(), store.Key{ID: "k", Scope: "read"}))
	key := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead, KeyID: "k"})
	_, err = g.CreateSession(key, &rpc.CreateSessionRequest{VideoId: "film", Wallet: bob})
	wantReason(t, err, "not_a_holder")
	g.ok(events.AccessDenied.Publish(g.Bus, events.Denial{VideoID: "the last"}))
	if e := <-heard; e != (events.Denial{VideoID: "film", Reason: "not_a_holder"}) {
		t.Errorf("announced %+v", e)
	}
	if e := <-heard; e.VideoID != "the last" {
		t.Errorf("and %+v", e)
	}
}

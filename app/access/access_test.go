package access

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/access/identities"
	"streamgate/app/access/sessions"
	"streamgate/app/apptest"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/memory"
)

// site is the deployment's public address.
const site = "https://video.example.org"

func newService(t *testing.T, change ...func(*Config)) *Service {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tickets, err := sessions.NewTickets(t.Context(), db.Catalog().Secrets)
	if err != nil {
		t.Fatal(err)
	}
	cache := memory.NewCache(memory.Options{})
	logins, err := identities.NewLogins(t.Context(), db.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Catalog: db.Catalog(), Cache: cache, Bus: apptest.NewBus(t), Tickets: tickets, Logins: logins,
		Log: slog.New(slog.DiscardHandler), Sites: func() []string { return []string{site} },
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	if reason, _ := rpc.Reason(err); reason != want {
		t.Errorf("error %v, want reason %q", err, want)
	}
}

func TestScopes(t *testing.T) {
	s := newService(t)
	for name, tt := range map[string]struct {
		need rpc.Scope
		call func(context.Context) error
	}{
		"CreateKey": {rpc.ScopeAdmin, func(ctx context.Context) error {
			_, err := s.CreateKey(ctx, &rpc.CreateKeyRequest{Scope: "read"})
			return err
		}},
		"ListKeys": {rpc.ScopeAdmin, func(ctx context.Context) error {
			_, err := s.ListKeys(ctx, &rpc.ListKeysRequest{})
			return err
		}},
		"RevokeKey": {rpc.ScopeAdmin, func(ctx context.Context) error {
			_, err := s.RevokeKey(ctx, &rpc.RevokeKeyRequest{Id: "x"})
			return err
		}},
		"SetVideoRule": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.SetVideoRule(ctx, &rpc.SetVideoRuleRequest{VideoId: "x"})
			return err
		}},
		"GetVideoRule": {rpc.ScopeRead, func(ctx context.Context) error {
			_, err := s.GetVideoRule(ctx, &rpc.GetVideoRuleRequest{VideoId: "x"})
			return err
		}},
		"DeleteVideoRule": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.DeleteVideoRule(ctx, &rpc.DeleteVideoRuleRequest{VideoId: "x"})
			return err
		}},
		"PutRule": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.PutRule(ctx, &rpc.PutRuleRequest{Name: "x"})
			return err
		}},
		"GetRule": {rpc.ScopeRead, func(ctx context.Context) error {
			_, err := s.GetRule(ctx, &rpc.GetRuleRequest{Name: "x"})
			return err
		}},
		"ListRules": {rpc.ScopeRead, func(ctx context.Context) error {
			_, err := s.ListRules(ctx, &rpc.ListRulesRequest{})
			return err
		}},
		"DeleteRule": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.DeleteRule(ctx, &rpc.DeleteRuleRequest{Name: "x"})
			return err
		}},
		"SimulateRule": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.SimulateRule(ctx, &rpc.SimulateRuleRequest{})
			return err
		}},
		"CheckAccess": {rpc.ScopeRead, func(ctx context.Context) error {
			_, err := s.CheckAccess(ctx, &rpc.CheckAccessRequest{VideoId: "x", Wallet: alice})
			return err
		}},
		"ListSessions": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.ListSessions(ctx, &rpc.ListSessionsRequest{})
			return err
		}},
		"EndSession": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.EndSession(ctx, &rpc.EndSessionRequest{Id: "x"})
			return err
		}},
		"CreateCodes": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.CreateCodes(ctx, &rpc.CreateCodesRequest{Pool: "x"})
			return err
		}},
		"ListCodes": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.ListCodes(ctx, &rpc.ListCodesRequest{})
			return err
		}},
		"DeleteCodes": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := s.DeleteCodes(ctx, &rpc.DeleteCodesRequest{Pool: "x"})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for scope := rpc.ScopeNone; scope <= rpc.ScopeAdmin; scope++ {
				err := tt.call(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: scope}))
				reason, _ := rpc.Reason(err)
				refused := reason == "unauthenticated" || reason == "permission_denied"
				if refused != (scope < tt.need) {
					t.Errorf("scope %q: %v", scope, err)
				}
			}
		})
	}
}

func TestCreateSession(t *testing.T) {
	s := newService(t)
	for _, v := range []store.Video{
		{ID: "playable", State: store.VideoPlayable}, {ID: "failed", State: store.VideoFailed},
	} {
		if err := s.Catalog.Videos.Create(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	ctx := rpc.WithBaseURL(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead}), "https://example.org")
	session, err := s.CreateSession(ctx, &rpc.CreateSessionRequest{VideoId: "playable"})
	if err != nil {
		t.Fatal(err)
	}
	play := "https://example.org/s/" + session.Token + "/"
	if session.HlsUrl != play+"master.m3u8" || session.DashUrl != play+"manifest.mpd" || session.WatchUrl != play {
		t.Errorf("addresses %v", session)
	}
	ticket, err := s.Tickets.Verify(session.Token, time.Now())
	if err != nil || ticket.VideoID != "playable" || ticket.SessionID != session.Id ||
		!ticket.Expires.Equal(session.ExpiresAt.AsTime()) {
		t.Errorf("Verify = %+v, %v", ticket, err)
	}
	if left := time.Until(ticket.Expires); left > sessions.DefaultSessionTTL || left < sessions.DefaultSessionTTL-time.Minute {
		t.Errorf("expires in %v", left)
	}
	_, err = s.CreateSession(ctx, &rpc.CreateSessionRequest{VideoId: "failed"})
	wantReason(t, err, "video_failed")
	_, err = s.CreateSession(ctx, &rpc.CreateSessionRequest{VideoId: "none"})
	wantReason(t, err, "video_not_found")
}

// film stores a video without a rule.
func film(t *testing.T, s *Service) {
	t.Helper()
	fatal(t, s.Catalog.Videos.Create(t.Context(), store.Video{ID: "film", State: store.VideoReady, Public: true}))
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// as is the context of a viewer who has signed in; of nobody, for "".
func as(t *testing.T, wallet string) context.Context {
	return rpc.WithIdentity(t.Context(), rpc.Identity{Wallet: wallet, Client: "192.0.2.1"})
}

// What a key has made ends with it.
func TestLinksEndWithTheirKey(t *testing.T) {
	s := newService(t)
	film(t, s)
	key, err := s.CreateKey(admin(t), &rpc.CreateKeyRequest{Scope: "read"})
	fatal(t, err)
	as := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead, KeyID: key.Id})
	made, err := s.CreateSession(as, &rpc.CreateSessionRequest{VideoId: "film"})
	fatal(t, err)
	_, err = s.RevokeKey(admin(t), &rpc.RevokeKeyRequest{Id: key.Id})
	fatal(t, err)
	rec, err := s.Catalog.Sessions.Get(t.Context(), made.Id)
	fatal(t, err)
	if rec.State != store.SessionEnded || rec.Failure.Code != "key_revoked" {
		t.Errorf("the session is %+v", rec)
	}
}

func TestSignInsAreLimited(t *testing.T) {
	s := newService(t)
	var err error
	for range 200 + 5 {
		_, err = s.CreateNonce(as(t, ""), &rpc.CreateNonceRequest{})
	}
	wantReason(t, err, "rate_limited")
	other := rpc.WithIdentity(t.Context(), rpc.Identity{Client: "192.0.2.2"})
	if _, err := s.CreateNonce(other, &rpc.CreateNonceRequest{}); err != nil {
		t.Errorf("another client: %v", err)
	}
}

func TestQuestionsAreLimited(t *testing.T) {
	s := newService(t)
	film(t, s)
	var err error
	for range 60 + 5 {
		_, err = s.CheckAccess(as(t, ""), &rpc.CheckAccessRequest{VideoId: "film"})
	}
	wantReason(t, err, "rate_limited")
	_, err = s.CheckAccess(rpc.System(t.Context()), &rpc.CheckAccessRequest{VideoId: "film", Wallet: alice})
	fatal(t, err)
	_, err = s.CheckAccess(as(t, alice), &rpc.CheckAccessRequest{VideoId: "film", Wallet: bob})
	wantReason(t, err, "unauthenticated") // another's holdings are not the viewer's business
}

// oneKey are secrets that are all the same; it notes which were asked for.
type oneKey struct{ names *[]string }

func (k oneKey) Secret(_ context.Context, name string, _ func() []byte) ([]byte, error) {
	*k.names = append(*k.names, name)
	return []byte("key"), nil
}

// A ticket never stands for a login, nor a login for a ticket: each has a key of
// its own, and would be refused even under the same.
func TestTicketsAndLoginsDiffer(t *testing.T) {
	var names []string
	tickets, err := sessions.NewTickets(t.Context(), oneKey{&names})
	fatal(t, err)
	logins, err := identities.NewLogins(t.Context(), store.Catalog{Secrets: oneKey{&names}})
	fatal(t, err)
	if len(names) != 2 || names[0] == names[1] {
		t.Errorf("the keys are %v", names)
	}
	end := time.Unix(2_000_000_000, 0)
	// As many bytes as a login has.
	ticket := tickets.Sign(sessions.Ticket{SessionID: strings.Repeat("s", 20), VideoID: strings.Repeat("v", 23), Expires: end})
	_, login := logins.Issue(eth.Address{1}, 1, end)
	if len("sw_"+ticket) != len(login) {
		t.Errorf("a ticket has %d characters, a login %d", len(ticket), len(login))
	}
	for _, token := range []string{ticket, "sw_" + ticket} {
		if _, err := logins.Verify(t.Context(), token, time.Now()); !errors.Is(err, identities.ErrInvalid) {
			t.Errorf("a ticket as a login: %v", err)
		}
	}
	if _, err := tickets.Verify(login[3:], time.Now()); !errors.Is(err, sessions.ErrInvalid) {
		t.Errorf("a login as a ticket: %v", err)
	}
}

// alice and bob are wallets.
const (
	alice = ethtest.Alice
	bob   = ethtest.Bob
)

func admin(t *testing.T) context.Context { return rpc.System(t.Context()) }

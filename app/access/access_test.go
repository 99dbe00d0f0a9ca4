package access

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	tickets, err := NewTickets(t.Context(), db.Catalog().Secrets)
	if err != nil {
		t.Fatal(err)
	}
	cache := memory.NewCache(memory.Options{})
	logins, err := NewLogins(t.Context(), db.Catalog())
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

func admin(t *testing.T) context.Context { return rpc.System(t.Context()) }

func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	if reason, _ := rpc.Reason(err); reason != want {
		t.Errorf("error %v, want reason %q", err, want)
	}
}

func TestKeys(t *testing.T) {
	s := newService(t)
	key, err := s.CreateKey(admin(t), &rpc.CreateKeyRequest{Name: "ci", Scope: "uploader"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key.Secret, "sg_"+key.Id+"_") || len(key.Secret) < 50 {
		t.Errorf("secret %q", key.Secret)
	}
	stored, err := s.Catalog.Keys.Get(t.Context(), key.Id)
	if err != nil || strings.Contains(string(stored.Hash), key.Secret[30:]) || len(stored.Hash) != 32 {
		t.Errorf("stored %v, %v", stored, err)
	}
	for range 2 { // from the store, then from the cache
		who, err := s.Authenticate(t.Context(), key.Secret)
		if err != nil || who != (rpc.Identity{KeyID: key.Id, Scope: rpc.ScopeUploader}) {
			t.Errorf("Authenticate = %+v, %v", who, err)
		}
	}
	list, err := s.ListKeys(admin(t), &rpc.ListKeysRequest{})
	if err != nil || len(list.Keys) != 1 || list.Keys[0].Secret != "" || list.Keys[0].Name != "ci" {
		t.Errorf("ListKeys = %v, %v", list, err)
	}
	if _, err := s.RevokeKey(admin(t), &rpc.RevokeKeyRequest{Id: key.Id}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Authenticate(t.Context(), key.Secret)
	wantReason(t, err, "invalid_key") // at once, although it was cached
	_, err = s.RevokeKey(admin(t), &rpc.RevokeKeyRequest{Id: key.Id})
	wantReason(t, err, "key_not_found")
}

func TestAuthenticateRefuses(t *testing.T) {
	s := newService(t)
	key, err := s.CreateKey(admin(t), &rpc.CreateKeyRequest{Scope: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	last := key.Secret[len(key.Secret)-1]
	for name, bearer := range map[string]string{
		"empty":          "",
		"no prefix":      key.Secret[3:],
		"no secret":      "sg_" + key.Id,
		"empty secret":   "sg_" + key.Id + "_",
		"wrong secret":   strings.TrimSuffix(key.Secret, string(last)) + string(last^1),
		"longer secret":  key.Secret + "A",
		"shorter secret": key.Secret[:len(key.Secret)-1],
		"unknown id":     "sg_" + store.NewID() + "_" + key.Secret[28:],
		"endless":        "sg_" + strings.Repeat("a", 1<<16) + "_b",
	} {
		t.Run(name, func(t *testing.T) {
			who, err := s.Authenticate(t.Context(), bearer)
			wantReason(t, err, "invalid_key")
			if who != (rpc.Identity{}) {
				t.Errorf("identity %+v", who)
			}
		})
	}
}

// A key revoked on another node is refused here within KeyTTL.
func TestRevokedElsewhere(t *testing.T) {
	s := newService(t) // outside the bubble: the store has goroutines of its own
	key, err := s.CreateKey(admin(t), &rpc.CreateKeyRequest{Scope: "read"})
	if err != nil {
		t.Fatal(err)
	}
	who := rpc.Identity{KeyID: key.Id, Scope: rpc.ScopeRead}
	synctest.Test(t, func(t *testing.T) {
		hash := [32]byte{1}
		s.known.put(hash, who, s.known.generation(), time.Now())
		time.Sleep(KeyTTL - time.Millisecond)
		if _, ok := s.known.get(hash, time.Now()); !ok {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Millisecond)
		if _, ok := s.known.get(hash, time.Now()); ok {
			t.Error("remembered for longer than KeyTTL")
		}
	})
}

func TestKeyCache(t *testing.T) {
	c := newKeyCache()
	now := time.Now()
	before := c.generation()
	c.forget("k") // revoked while the store was being asked
	c.put([32]byte{1}, rpc.Identity{KeyID: "k"}, before, now)
	if _, ok := c.get([32]byte{1}, now); ok {
		t.Error("a key read before the revocation was remembered after it")
	}
	for i := range maxKnownKeys + 10 {
		c.put([32]byte{byte(i), byte(i >> 8)}, rpc.Identity{}, c.generation(), now)
	}
	if n := len(c.keys); n > maxKnownKeys {
		t.Errorf("%d keys remembered", n)
	}
}

func TestInvalidKeyRequests(t *testing.T) {
	s := newService(t)
	for _, tt := range []struct {
		req  *rpc.CreateKeyRequest
		want string
	}{
		{&rpc.CreateKeyRequest{Scope: "root"}, "invalid_scope"},
		{&rpc.CreateKeyRequest{}, "invalid_scope"},
		{&rpc.CreateKeyRequest{Scope: "read", Name: strings.Repeat("é", 101)}, "invalid_name"},
		{&rpc.CreateKeyRequest{Scope: "read", Name: "a\nb"}, "invalid_name"},
	} {
		_, err := s.CreateKey(admin(t), tt.req)
		wantReason(t, err, tt.want)
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
	if left := time.Until(ticket.Expires); left > DefaultSessionTTL || left < DefaultSessionTTL-time.Minute {
		t.Errorf("expires in %v", left)
	}
	_, err = s.CreateSession(ctx, &rpc.CreateSessionRequest{VideoId: "failed"})
	wantReason(t, err, "video_failed")
	_, err = s.CreateSession(ctx, &rpc.CreateSessionRequest{VideoId: "none"})
	wantReason(t, err, "video_not_found")
}

// Every node of a deployment has the same key.
func TestTicketKeyIsShared(t *testing.T) {
	s := newService(t)
	again, err := NewTickets(t.Context(), s.Catalog.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	token := s.Tickets.Sign(Ticket{SessionID: "s", VideoID: "v", Expires: time.Unix(1<<40, 0)})
	if _, err := again.Verify(token, time.Now()); err != nil {
		t.Error(err)
	}
	_, err = ticketsWith([]byte("another deployment's")).Verify(token, time.Now())
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("foreign token: %v", err)
	}
}

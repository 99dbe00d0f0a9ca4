package identities

import (
	"context"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"streamgate/app/access/limits"
	"streamgate/app/apptest"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/memory"
)

// newIdentities are identities over a store of their own.
func newIdentities(t *testing.T, cfg Config) *Service {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	cfg.Catalog, cfg.Cache, cfg.Log = db.Catalog(), memory.NewCache(memory.Options{}), slog.New(slog.DiscardHandler)
	cfg.Limits = limits.New(cfg.Cache)
	cfg.KeyRevoked = func(context.Context, string) error { return nil }
	return New(cfg)
}

func admin(t *testing.T) context.Context { return rpc.System(t.Context()) }

func TestKeys(t *testing.T) {
	i := newIdentities(t, Config{})
	key, err := i.CreateKey(admin(t), &rpc.CreateKeyRequest{Name: "ci", Scope: "uploader"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key.Secret, "sg_"+key.Id+"_") || len(key.Secret) < 50 {
		t.Errorf("secret %q", key.Secret)
	}
	stored, err := i.Catalog.Keys.Get(t.Context(), key.Id)
	if err != nil || strings.Contains(string(stored.Hash), key.Secret[30:]) || len(stored.Hash) != 32 {
		t.Errorf("stored %v, %v", stored, err)
	}
	for range 2 { // from the store, then from the cache
		who, err := i.Authenticate(t.Context(), key.Secret)
		if err != nil || who != (rpc.Identity{KeyID: key.Id, Scope: rpc.ScopeUploader}) {
			t.Errorf("Authenticate = %+v, %v", who, err)
		}
	}
	list, err := i.ListKeys(admin(t), &rpc.ListKeysRequest{})
	if err != nil || len(list.Keys) != 1 || list.Keys[0].Secret != "" || list.Keys[0].Name != "ci" {
		t.Errorf("ListKeys = %v, %v", list, err)
	}
	if _, err := i.RevokeKey(admin(t), &rpc.RevokeKeyRequest{Id: key.Id}); err != nil {
		t.Fatal(err)
	}
	_, err = i.Authenticate(t.Context(), key.Secret)
	wantReason(t, err, "invalid_key") // at once, although it was cached
	_, err = i.RevokeKey(admin(t), &rpc.RevokeKeyRequest{Id: key.Id})
	wantReason(t, err, "key_not_found")
}

func TestAuthenticateRefuses(t *testing.T) {
	i := newIdentities(t, Config{})
	key, err := i.CreateKey(admin(t), &rpc.CreateKeyRequest{Scope: "admin"})
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
			who, err := i.Authenticate(t.Context(), bearer)
			wantReason(t, err, "invalid_key")
			if who != (rpc.Identity{}) {
				t.Errorf("identity %+v", who)
			}
		})
	}
}

// TestRevokedElsewhereIsHeard: a key that a node has just accepted is refused
// there as soon as the one that revokes it has told, long before KeyTTL.
func TestRevokedElsewhereIsHeard(t *testing.T) {
	bus := apptest.NewBus(t)
	i := newIdentities(t, Config{Bus: bus})
	other := NewAuthenticator(AuthenticatorConfig{Keys: i.Catalog.Keys, Log: i.Log, Bus: bus})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- other.Run(ctx) }()
	deadline := time.Now().Add(30 * time.Second)
	for bus.NumSubscriptions() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the other node does not listen")
		}
		runtime.Gosched()
	}
	heard, err := bus.SubscribeSync(events.KeyRevoked.Subject)
	if err != nil {
		t.Fatal(err)
	}
	key, err := i.CreateKey(admin(t), &rpc.CreateKeyRequest{Scope: "read"})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := other.Authenticate(t.Context(), key.Secret); err != nil || who.KeyID != key.Id {
		t.Fatalf("Authenticate = %+v, %v", who, err)
	}
	accepted := time.Now()
	if _, err := i.RevokeKey(admin(t), &rpc.RevokeKeyRequest{Id: key.Id}); err != nil {
		t.Fatal(err)
	}
	if _, err := heard.NextMsg(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err = other.Authenticate(t.Context(), key.Secret); err != nil || time.Since(accepted) >= KeyTTL {
			break
		}
	}
	wantReason(t, err, "invalid_key")
	if took := time.Since(accepted); took >= KeyTTL {
		t.Errorf("refused after %v, which is when it would have been forgotten anyway", took)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A key revoked on another node is refused here within KeyTTL.
func TestRevokedElsewhere(t *testing.T) {
	i := newIdentities(t, Config{}) // outside the bubble: the store has goroutines of its own
	key, err := i.CreateKey(admin(t), &rpc.CreateKeyRequest{Scope: "read"})
	if err != nil {
		t.Fatal(err)
	}
	who := rpc.Identity{KeyID: key.Id, Scope: rpc.ScopeRead}
	synctest.Test(t, func(t *testing.T) {
		hash := [32]byte{1}
		i.known.put(hash, who, i.known.generation(), time.Now())
		time.Sleep(KeyTTL - time.Millisecond)
		if _, ok := i.known.get(hash, time.Now()); !ok {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Millisecond)
		if _, ok := i.known.get(hash, time.Now()); ok {
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
	for n := range maxKnownKeys + 10 {
		c.put([32]byte{byte(n), byte(n >> 8)}, rpc.Identity{}, c.generation(), now)
	}
	if n := len(c.keys); n > maxKnownKeys {
		t.Errorf("%d keys remembered", n)
	}
}

func TestInvalidKeyRequests(t *testing.T) {
	i := newIdentities(t, Config{})
	for _, tt := range []struct {
		req  *rpc.CreateKeyRequest
		want string
	}{
		{&rpc.CreateKeyRequest{Scope: "root"}, "invalid_scope"},
		{&rpc.CreateKeyRequest{}, "invalid_scope"},
		{&rpc.CreateKeyRequest{Scope: "read", Name: strings.Repeat("é", 101)}, "invalid_name"},
		{&rpc.CreateKeyRequest{Scope: "read", Name: "a\nb"}, "invalid_name"},
	} {
		_, err := i.CreateKey(admin(t), tt.req)
		wantReason(t, err, tt.want)
	}
}

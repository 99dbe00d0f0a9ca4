package identities

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// AuthenticatorConfig is what an Authenticator needs.
type AuthenticatorConfig struct {
	Keys   store.Table[store.Key]
	Logins *Logins
	Log    *slog.Logger
	// Bus brings word of keys that other nodes have revoked; nil: there are none.
	Bus *nats.Conn
}

// Authenticator says who sent an API key or the token of a wallet's login, from
// the records alone: any node can have one, whatever its roles. Run has it
// forget revoked keys as soon as it hears of them; without, or if the word is
// lost, they are refused within KeyTTL.
type Authenticator struct {
	AuthenticatorConfig
	known *keyCache
}

// NewAuthenticator returns one that knows no key yet.
func NewAuthenticator(cfg AuthenticatorConfig) *Authenticator {
	return &Authenticator{cfg, newKeyCache()}
}

// Run listens for keys that are revoked until ctx ends.
func (a *Authenticator) Run(ctx context.Context) error {
	if a.Bus != nil {
		sub, err := events.KeyRevoked.Listen(a.Bus, func(k events.Key) { a.known.forget(k.KeyID) })
		if err != nil {
			return err
		}
		defer sub.Unsubscribe() //nolint:errcheck // the bus may be gone already
	}
	<-ctx.Done()
	return nil
}

// Authenticate returns who sent a bearer key, or the token of a wallet's login.
// A key that is malformed, unknown or revoked is the coded error invalid_key; a
// login that is over, login_expired or signed_out.
func (a *Authenticator) Authenticate(ctx context.Context, bearer string) (rpc.Identity, error) {
	if isLogin(bearer) {
		return a.authenticateLogin(ctx, bearer)
	}
	id, random, ok := splitKey(bearer)
	if !ok {
		return rpc.Identity{}, errKey()
	}
	hash := hashSecret(bearer)
	if who, ok := a.known.get([sha256.Size]byte(hash), time.Now()); ok {
		return who, nil
	}
	generation := a.known.generation()
	key, err := a.Keys.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return rpc.Identity{}, errKey()
	}
	if err != nil {
		return rpc.Identity{}, fmt.Errorf("look up key %s: %w", id, err)
	}
	scope, known := rpc.ParseScope(key.Scope)
	if subtle.ConstantTimeCompare(key.Hash, hashSecret(random)) != 1 || !known {
		return rpc.Identity{}, errKey()
	}
	who := rpc.Identity{KeyID: key.ID, Scope: scope}
	a.known.put([sha256.Size]byte(hash), who, generation, time.Now())
	return who, nil
}

// authenticateLogin returns the wallet that a login's token stands for.
func (a *Authenticator) authenticateLogin(ctx context.Context, token string) (rpc.Identity, error) {
	login, err := a.Logins.Verify(ctx, token, time.Now())
	if err != nil {
		return rpc.Identity{}, loginError(err)
	}
	return rpc.Identity{Wallet: login.Wallet.String(), Login: token}, nil
}

// revoked forgets a key here, and tells the other nodes.
func (a *Authenticator) revoked(keyID string) {
	a.known.forget(keyID)
	if a.Bus != nil {
		events.KeyRevoked.Announce(a.Bus, a.Log, events.Key{KeyID: keyID})
	}
}

func errKey() error {
	return rpc.Errorf(connect.CodeUnauthenticated, "invalid_key", "The API key is wrong or has been revoked.")
}

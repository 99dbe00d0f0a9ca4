package access

import (
	"context"
	"log/slog"
	"time"

	"streamgate/store"
)

// KeyTTL is how long an accepted key is remembered without asking the store.
const KeyTTL = 5 * time.Second

// expiryInterval is how often the sign-outs of logins that have expired are
// removed.
const expiryInterval = 30 * time.Second

// IdentitiesConfig is what Identities need. The fields up to Log are required.
type IdentitiesConfig struct {
	Catalog store.Catalog
	Cache   store.Cache // nonces
	Chains  Chains
	Logins  *Logins
	Limits  *Limits
	Log     *slog.Logger

	// Sites are the public base URLs of the deployment: sign-in messages are
	// for one of them. The first is the main one.
	Sites func() []string
	// ChainName names a chain to people.
	ChainName func(chain uint64) string
	// LoginTTL is how long a sign-in lasts; 0 means DefaultLoginTTL.
	LoginTTL time.Duration
	// KeyRevoked is called when a key has been revoked.
	KeyRevoked func(ctx context.Context, keyID string) error
}

// Identities knows API keys and wallets that have signed in.
type Identities struct {
	IdentitiesConfig
	known  *keyCache
	signIn *SignIn
}

// NewIdentities returns the identities of a deployment.
func NewIdentities(cfg IdentitiesConfig) *Identities {
	if cfg.Sites == nil {
		cfg.Sites = func() []string { return nil }
	}
	return &Identities{
		IdentitiesConfig: cfg, known: newKeyCache(),
		signIn: NewSignIn(SignInConfig{Cache: cfg.Cache, Chains: cfg.Chains, Logins: cfg.Logins, LoginTTL: cfg.LoginTTL}),
	}
}

// Run removes the sign-outs of logins that have expired, until ctx ends.
func (i *Identities) Run(ctx context.Context) {
	tick := time.NewTicker(expiryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := i.Logins.removeExpired(ctx, time.Now()); err != nil && ctx.Err() == nil {
			i.Log.Error("expired sign-outs cannot be removed", "err", err)
		}
	}
}

// Package identities knows who calls: the holder of an API key, or of a wallet
// that has signed in with Ethereum (EIP-4361).
//
// # What
//
// Service has the part of rpc.AccessHandler that is about identities: keys
// (keys.go, keycache.go) and sign-in (auth.go over signin.go, siwe.go). Logins
// are its signed tokens (logins.go). Authenticator is the part of it that says
// who calls, which every node has.
//
// # Guarantees
//
// A key's secret is shown once and kept only as a SHA-256 hash, compared in
// constant time; it carries 130 random bits, so that a slow hash would add
// nothing. A key revoked on this node is refused at once, on another node
// as soon as that hears of it, at most KeyTTL later. No secret, signature or token is ever logged.
//
// # Testing
//
// Real keys over a table that stands for a chain, each refusal by its code, the
// examples of other libraries, and fuzz targets for messages and tokens.
package identities

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"streamgate/app/access/eth"
	"streamgate/app/access/limits"
	"streamgate/store"
)

// KeyTTL is how long an accepted key is remembered without asking the store.
const KeyTTL = 5 * time.Second

// expiryInterval is how often the sign-outs of logins that have expired are
// removed.
const expiryInterval = 30 * time.Second

// Config is what a Service needs. The fields up to Log are required.
type Config struct {
	Catalog store.Catalog
	Cache   store.Cache // nonces
	Chains  eth.Chains
	Logins  *Logins
	Limits  *limits.Limits
	Log     *slog.Logger
	Bus     *nats.Conn // tells the other nodes of revoked keys; nil: there are none

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

// Service knows API keys and wallets that have signed in.
type Service struct {
	Config
	*Authenticator
	signIn *SignIn
}

// New returns the identities of a deployment.
func New(cfg Config) *Service {
	if cfg.Sites == nil {
		cfg.Sites = func() []string { return nil }
	}
	return &Service{
		Config:        cfg,
		Authenticator: NewAuthenticator(AuthenticatorConfig{Keys: cfg.Catalog.Keys, Logins: cfg.Logins, Log: cfg.Log, Bus: cfg.Bus}),
		signIn:        NewSignIn(SignInConfig{Cache: cfg.Cache, Chains: cfg.Chains, Logins: cfg.Logins, LoginTTL: cfg.LoginTTL}),
	}
}

// Run removes the sign-outs of logins that have expired, and hears of revoked
// keys, until ctx ends.
func (i *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var listening errgroup.Group
	listening.Go(func() error { return i.Authenticator.Run(ctx) })
	i.removeUntil(ctx)
	cancel()
	return listening.Wait()
}

func (i *Service) removeUntil(ctx context.Context) {
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

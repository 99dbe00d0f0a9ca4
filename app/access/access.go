// Package access decides who may call and who may watch.
//
// # What
//
// Service implements rpc.AccessHandler by joining its packages, whose imports run
// only from left to right:
//
//		access → sessions → decisions → rules → eth
//		access → identities → eth         sessions, identities → limits
//
//	  - eth: addresses, and what may be asked of blockchains (evm asks real ones).
//	  - rules: the language of rules, and decisions from facts; no I/O.
//	  - decisions: the rules in force, facts read from chains, decisions by both.
//	  - identities: API keys, and wallets that sign in.
//	  - sessions: playback sessions, their tickets, and the watchers that end them.
//	  - limits: how often those without a key may try.
//
// Here are the rules of videos and named rules as the API has them (rules.go), and
// decisions that are only asked for (decisions.go).
//
// # Usage
//
//	svc, err := access.New(access.Config{Catalog: …, Tickets: tickets, Log: log})
//	go svc.Run(ctx)
//	id, err := svc.Authenticate(ctx, "sg_…")   // the gateway does
//
// # Guarantees
//
// In doubt the gate stays shut: what is unknown is never a pass. The packages
// state theirs. No secret, password, signature or token is ever logged.
//
// # Testing
//
// Against the embedded backend and a table of facts; package evm and the
// end-to-end tests use a real development chain. Parsers are fuzzed.
package access

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"streamgate/app/access/decisions"
	"streamgate/app/access/eth"
	"streamgate/app/access/identities"
	"streamgate/app/access/limits"
	"streamgate/app/access/rules"
	"streamgate/app/access/sessions"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Config is what access needs. The fields up to Log are required.
type Config struct {
	Catalog store.Catalog
	Cache   store.Cache // nonces, sign-outs, limits of attempts
	Bus     *nats.Conn
	Tickets *sessions.Tickets
	Logins  *identities.Logins
	Chains  eth.Chains // Deny where none is configured
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: no metrics

	// Sites are the public base URLs of the deployment: sign-in messages are
	// for one of them. The first is the main one.
	Sites func() []string
	// Policy is how decisions are made.
	Policy rules.Policy
	// LoginTTL is how long a sign-in lasts; 0 means identities.DefaultLoginTTL.
	LoginTTL time.Duration

	// These are as in sessions.Config.
	PollInterval                   func(chain uint64) time.Duration
	SessionTTL, TicketTTL, Recheck time.Duration
	MaxPerWallet, MaxPerVideo      int
	Share                          func() (index, of int)
	Now                            func() time.Time
}

// Service is access: the identities and the sessions, whose methods it has, with
// rules and decisions.
type Service struct {
	Config
	*identities.Service
	*sessions.Manager
	decider   *decisions.Decider
	passwords *rules.Passwords
	limits    *limits.Limits
}

var (
	_ rpc.AccessHandler = (*Service)(nil)
	_ rpc.AccessClient  = (*Service)(nil)
)

// passwordSlots is how many passwords are hashed at once: 19 MiB and 30 ms of
// a core each.
const passwordSlots = 2

// New returns access over its stores. Run keeps its sessions in order.
func New(cfg Config) (*Service, error) {
	if cfg.Chains == nil {
		cfg.Chains = eth.Deny{}
	}
	cfg.Recheck = cmp.Or(cfg.Recheck, sessions.DefaultRecheck)
	s := &Service{Config: cfg, passwords: rules.NewPasswords(passwordSlots), limits: limits.New(cfg.Cache)}
	var err error
	if s.decider, err = decisions.New(decisions.Config{
		Catalog: cfg.Catalog, Policy: cfg.Policy, Metrics: cfg.Metrics,
		Facts: decisions.FactReaderConfig{Chains: cfg.Chains, PositiveTTL: cfg.Recheck / 2, PollInterval: cfg.PollInterval},
	}); err != nil {
		return nil, err
	}
	if s.Manager, err = sessions.New(sessions.Config{
		Catalog: cfg.Catalog, Bus: cfg.Bus, Tickets: cfg.Tickets, Decider: s.decider, Passwords: s.passwords, Limits: s.limits,
		Chains: cfg.Chains, Log: cfg.Log, Metrics: cfg.Metrics, PollInterval: cfg.PollInterval,
		SessionTTL: cfg.SessionTTL, TicketTTL: cfg.TicketTTL, Recheck: cfg.Recheck,
		MaxPerWallet: cfg.MaxPerWallet, MaxPerVideo: cfg.MaxPerVideo, Share: cfg.Share, Cache: cfg.Cache, Now: cfg.Now,
	}); err != nil {
		return nil, err
	}
	s.Service = identities.New(identities.Config{
		Catalog: cfg.Catalog, Cache: cfg.Cache, Chains: cfg.Chains, Logins: cfg.Logins, Limits: s.limits, Log: cfg.Log,
		Bus: cfg.Bus, Sites: cfg.Sites, ChainName: cfg.Policy.Chain, LoginTTL: cfg.LoginTTL, KeyRevoked: s.EndOfKey,
	})
	return s, nil
}

// Run watches over the sessions and forgets old sign-outs until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	loops, ctx := errgroup.WithContext(ctx)
	loops.Go(func() error { return s.Service.Run(ctx) })
	loops.Go(func() error { return s.Manager.Run(ctx) })
	return loops.Wait()
}

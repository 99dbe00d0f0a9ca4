// Package access decides who may call and who may watch.
//
// # What
//
// Service implements rpc.AccessHandler:
//
//   - API keys (keys.go), and sign-in with Ethereum (auth.go over signin.go,
//     siwe.go, logins.go).
//   - Rules: what a rule is (rule*.go, schema.go, password.go), named rules
//     and those of videos (rules.go), as they are in force (book.go).
//   - Decisions: pure, from facts (decide.go, question.go, reason.go,
//     sentence.go); what chains say (chain.go, facts.go, deny.go; package evm
//     asks real ones); shown in decisions.go.
//   - Playback sessions: who gets one (admit.go, open.go), how it goes on
//     (sessions.go, roster.go), ticket codes (codes.go), limits (attempts.go).
//   - Revocation: a watcher for each chain (watcher.go) and a sweep (sweep.go)
//     ask who plays again (recheck.go).
//
// Tickets (tickets.go) are the sessions' signed tokens: whoever has the signing
// key checks one without any I/O. Ended (ended.go) are the sessions whose
// tickets are refused all the same; every streaming node has one.
//
// # Usage
//
//	svc, err := access.New(access.Config{Catalog: …, Tickets: tickets, Log: log})
//	go svc.Run(ctx)
//	id, err := svc.Authenticate(ctx, "sg_…")   // the gateway does
//	t, err := tickets.Verify(token, time.Now()) // a streaming node does
//	why := ended.Why(t.SessionID)
//
// # Guarantees
//
// In doubt the gate stays shut: what is unknown is never a pass. A session is
// asked again at once when a log names one of its wallets, when its rule
// changes, when time may have changed the decision, and at least once in
// Config.Recheck. Its end is in the store before it is announced; a node that
// missed the announcement learns it within a poll.
//
// A key's secret is shown once and kept only as a SHA-256 hash, compared in
// constant time; it carries 130 random bits, so that a slow hash would add
// nothing. A key revoked on this node is refused at once, on another node
// within KeyTTL. No secret, password, signature or token is ever logged.
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
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Config is what access needs. The fields up to Log are required.
type Config struct {
	Catalog store.Catalog
	Cache   store.Cache // nonces, sign-outs, limits of attempts
	Bus     *nats.Conn
	Tickets *Tickets
	Logins  *Logins
	Chains  Chains // Deny where none is configured
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: no metrics

	// Sites are the public base URLs of the deployment: sign-in messages are
	// for one of them. The first is the main one.
	Sites func() []string
	// Policy is how decisions are made.
	Policy Policy
	// LoginTTL is how long a sign-in lasts; 0 means DefaultLoginTTL.
	LoginTTL time.Duration

	// These are as in ManagerConfig.
	PollInterval                   func(chain uint64) time.Duration
	SessionTTL, TicketTTL, Recheck time.Duration
	MaxPerWallet, MaxPerVideo      int
}

// Service is access: the identities and the sessions, whose methods it has, with
// rules and decisions.
type Service struct {
	Config
	*Identities
	*Manager
	decider   *Decider
	passwords *Passwords
	limits    *Limits
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
		cfg.Chains = Deny{}
	}
	cfg.Recheck = cmp.Or(cfg.Recheck, DefaultRecheck)
	s := &Service{Config: cfg, passwords: NewPasswords(passwordSlots), limits: NewLimits(cfg.Cache)}
	var err error
	if s.decider, err = NewDecider(DeciderConfig{
		Catalog: cfg.Catalog, Policy: cfg.Policy, Metrics: cfg.Metrics,
		Facts: FactsConfig{Chains: cfg.Chains, PositiveTTL: cfg.Recheck / 2, PollInterval: cfg.PollInterval},
	}); err != nil {
		return nil, err
	}
	if s.Manager, err = NewManager(ManagerConfig{
		Catalog: cfg.Catalog, Bus: cfg.Bus, Tickets: cfg.Tickets, Decider: s.decider, Passwords: s.passwords, Limits: s.limits,
		Chains: cfg.Chains, Log: cfg.Log, Metrics: cfg.Metrics, PollInterval: cfg.PollInterval,
		SessionTTL: cfg.SessionTTL, TicketTTL: cfg.TicketTTL, Recheck: cfg.Recheck,
		MaxPerWallet: cfg.MaxPerWallet, MaxPerVideo: cfg.MaxPerVideo,
	}); err != nil {
		return nil, err
	}
	s.Identities = NewIdentities(IdentitiesConfig{
		Catalog: cfg.Catalog, Cache: cfg.Cache, Chains: cfg.Chains, Logins: cfg.Logins, Limits: s.limits, Log: cfg.Log,
		Sites: cfg.Sites, ChainName: cfg.Policy.Chain, LoginTTL: cfg.LoginTTL, KeyRevoked: s.Manager.EndOfKey,
	})
	return s, nil
}

// Run watches over the sessions and forgets old sign-outs until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	defer loops.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	loops.Go(func() { s.Identities.Run(ctx) })
	return s.Manager.Run(ctx)
}

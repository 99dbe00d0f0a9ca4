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
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// KeyTTL is how long an accepted key is remembered without asking the store.
const KeyTTL = 5 * time.Second

// What Config's zero values mean.
const (
	DefaultSessionTTL   = 4 * time.Hour
	DefaultTicketTTL    = 2 * time.Minute
	DefaultRecheck      = time.Minute
	DefaultMaxPerWallet = 3
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
	// PollInterval is how often a chain is looked at; nil or 0:
	// DefaultPollInterval.
	PollInterval func(chain uint64) time.Duration

	// SessionTTL is how long a session lasts, whatever is renewed.
	SessionTTL time.Duration
	// TicketTTL is how long a viewer's ticket is good without renewal.
	TicketTTL time.Duration
	// LoginTTL is how long a sign-in lasts; 0 means DefaultLoginTTL.
	LoginTTL time.Duration
	// Recheck is the longest that a session goes on without its rule being
	// asked again.
	Recheck time.Duration
	// MaxPerWallet and MaxPerVideo bound the sessions that play at the same
	// time; of videos, 0 means no limit. A wallet's 0 means
	// DefaultMaxPerWallet, less than 0 no limit.
	MaxPerWallet, MaxPerVideo int
}

func (c Config) withDefaults() Config {
	c.SessionTTL = cmp.Or(c.SessionTTL, DefaultSessionTTL)
	c.TicketTTL = min(cmp.Or(c.TicketTTL, DefaultTicketTTL), c.SessionTTL)
	c.Recheck = cmp.Or(c.Recheck, DefaultRecheck)
	c.MaxPerWallet = cmp.Or(c.MaxPerWallet, DefaultMaxPerWallet)
	if c.Chains == nil {
		c.Chains = Deny{}
	}
	if c.Sites == nil {
		c.Sites = func() []string { return nil }
	}
	if c.PollInterval == nil {
		c.PollInterval = func(uint64) time.Duration { return 0 }
	}
	return c
}

// pollInterval is how often a chain is looked at.
func (c Config) pollInterval(chain uint64) time.Duration {
	return cmp.Or(c.PollInterval(chain), DefaultPollInterval)
}

// Service is access.
type Service struct {
	Config
	known     *keyCache
	signIn    *SignIn
	facts     *FactReader
	passwords *Passwords
	book      *book
	roster    *roster
	concern   *concern
	metrics   *metrics
	logless   *logless
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
	cfg = cfg.withDefaults()
	s := &Service{
		Config: cfg, known: newKeyCache(), passwords: NewPasswords(passwordSlots),
		signIn: NewSignIn(SignInConfig{Cache: cfg.Cache, Chains: cfg.Chains, Logins: cfg.Logins, LoginTTL: cfg.LoginTTL}),
		facts:  NewFactReader(FactsConfig{Chains: cfg.Chains, PositiveTTL: cfg.Recheck / 2, PollInterval: cfg.pollInterval}),
		book:   newBook(cfg.Catalog), roster: newRoster(), concern: newConcern(),
	}
	var err error
	if s.metrics, err = newMetrics(cfg.Metrics, s.roster.count); err != nil {
		return nil, fmt.Errorf("access metrics: %w", err)
	}
	s.logless = newLogless(s.metrics.logs)
	s.Policy.NoLogs = s.logless.has
	return s, nil
}

// Run watches over the sessions until ctx ends: the sweep, and a watcher for
// each chain.
func (s *Service) Run(ctx context.Context) error {
	stop, err := s.listen()
	if err != nil {
		return err
	}
	defer stop()
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("load the sessions: %w", err)
	}
	var loops sync.WaitGroup
	defer loops.Wait()
	for _, chain := range s.Chains.IDs() {
		loops.Go(func() { newWatcher(s, chain).run(ctx) })
	}
	loops.Go(func() { s.followChanges(ctx) })
	s.sweepUntil(ctx)
	return nil
}

// listen notes what events say to have changed; the sweep acts on it.
func (s *Service) listen() (stop func(), err error) {
	var subs []*nats.Subscription
	stop = func() {
		for _, sub := range subs {
			sub.Unsubscribe() //nolint:errcheck // the bus may be gone already
		}
	}
	video := func(e events.Video) { s.changed(e.VideoID) }
	var errs []error
	for _, subscribe := range []func() (*nats.Subscription, error){
		func() (*nats.Subscription, error) { return events.VideoChanged.Listen(s.Bus, video) },
		func() (*nats.Subscription, error) { return events.VideoDeleted.Listen(s.Bus, video) },
		func() (*nats.Subscription, error) {
			return events.RulesChanged.Listen(s.Bus, func(events.Rules) { s.changed(everyVideo) })
		},
	} {
		sub, err := subscribe()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		subs = append(subs, sub)
	}
	if err := errors.Join(errs...); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// everyVideo stands for all of them.
const everyVideo = ""

// changed forgets a video's rule and has its sessions asked again.
func (s *Service) changed(videoID string) {
	s.book.forget(videoID)
	s.concern.video(videoID)
}

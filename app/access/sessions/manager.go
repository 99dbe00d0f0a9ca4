// Package sessions opens playback sessions, watches over them while they play,
// and ends those whose viewer is no longer admitted.
//
// # What
//
// Manager has the part of rpc.AccessHandler that is about sessions:
//
//   - Who gets one (admit.go, open.go), by what codes (codes.go), and how it goes
//     on (sessions.go).
//   - The live sessions (live.go) are asked again when a log names one of their
//     wallets (watcher.go: one for each chain), when a rule changes and when they
//     are due (sweep.go); recheck.go asks.
//   - Tickets (tickets.go) are signed tokens: whoever has the signing key checks
//     one without any I/O. Ended (ended.go) are the sessions whose tickets are
//     refused all the same; every streaming node has one.
//
// # Usage
//
//	go manager.Run(ctx)
//	t, err := tickets.Verify(token, time.Now()) // a streaming node does
//	why := ended.Why(t.SessionID)
//
// # Guarantees
//
// A session is asked again at once when a log names one of its wallets, when its
// rule changes, when time may have changed the decision, and at least once in
// Config.Recheck. Several nodes may watch over the same sessions (nodes.go): what
// one of them sees ends a session for all, whether or not they hear of each other;
// a clock that is off by some minutes ends none. Its end is in the store before it is announced; a node that
// missed the announcement learns it within a poll. No code or token is logged.
//
// # Testing
//
// Over a chain whose blocks the test makes and undoes, and a store that fails at
// chosen moments; the end-to-end tests use a real development chain.
package sessions

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

	"streamgate/app/access/decisions"
	"streamgate/app/access/eth"
	"streamgate/app/access/limits"
	"streamgate/app/access/rules"
	"streamgate/app/events"
	"streamgate/store"
)

// What Config's zero values mean.
const (
	DefaultSessionTTL   = 4 * time.Hour
	DefaultTicketTTL    = 2 * time.Minute
	DefaultRecheck      = time.Minute
	DefaultMaxPerWallet = 3
)

// Config is what a Manager needs. The fields up to Log are required.
type Config struct {
	Catalog   store.Catalog
	Bus       *nats.Conn
	Tickets   *Tickets
	Decider   *decisions.Decider
	Passwords *rules.Passwords
	Limits    *limits.Limits
	Chains    eth.Chains
	Log       *slog.Logger
	Metrics   prometheus.Registerer // nil: no metrics

	// PollInterval is how often a chain is looked at; nil or 0:
	// DefaultPollInterval.
	PollInterval func(chain uint64) time.Duration
	// SessionTTL is how long a session lasts, whatever is renewed.
	SessionTTL time.Duration
	// TicketTTL is how long a viewer's ticket is good without renewal.
	TicketTTL time.Duration
	// Recheck is the longest that a session goes on without its rule being
	// asked again.
	Recheck time.Duration
	// Share says which of the live nodes that watch over sessions this one is,
	// counted from 0, and how many there are; it must be quick. nil: this node is
	// alone, for ever, and its clock the only one.
	Share func() (index, of int)
	// Cache counts who watches on all nodes; needed with Share.
	Cache store.Cache
	// Now is the deployment's clock, such as that of its database; nil: this
	// machine's.
	Now func() time.Time
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
	if c.PollInterval == nil {
		c.PollInterval = func(uint64) time.Duration { return 0 }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// pollInterval is how often a chain is looked at.
func (c Config) pollInterval(chain uint64) time.Duration {
	return cmp.Or(c.PollInterval(chain), decisions.DefaultPollInterval)
}

// Manager opens sessions, watches over them, and ends them.
type Manager struct {
	Config
	live    *liveSessions
	pending *pending
	metrics *metrics
}

// New returns a manager over its stores. Run keeps its sessions in order.
func New(cfg Config) (*Manager, error) {
	m := &Manager{Config: cfg.withDefaults(), live: newLiveSessions(), pending: newPending()}
	var err error
	if m.metrics, err = newMetrics(cfg.Metrics, m.countMine); err != nil {
		return nil, fmt.Errorf("metrics of sessions: %w", err)
	}
	return m, nil
}

// Run watches over the sessions until ctx ends: the sweep, and a watcher for
// each chain.
func (m *Manager) Run(ctx context.Context) error {
	stop, err := m.listen()
	if err != nil {
		return err
	}
	defer stop()
	if err := m.load(ctx); err != nil {
		return fmt.Errorf("load the sessions: %w", err)
	}
	var loops sync.WaitGroup
	defer loops.Wait()
	for _, chain := range m.Chains.IDs() {
		loops.Go(func() { newWatcher(m, chain).run(ctx) })
	}
	loops.Go(func() { m.recheckChanged(ctx) })
	m.sweepUntil(ctx)
	return nil
}

// listen notes what events say to have changed; the sweep acts on it.
func (m *Manager) listen() (stop func(), err error) {
	var subs []*nats.Subscription
	stop = func() {
		for _, sub := range subs {
			sub.Unsubscribe() //nolint:errcheck // the bus may be gone already
		}
	}
	video := func(e events.Video) { m.Changed(e.VideoID) }
	var errs []error
	subscribers := []func() (*nats.Subscription, error){
		func() (*nats.Subscription, error) { return events.VideoChanged.Listen(m.Bus, video) },
		func() (*nats.Subscription, error) { return events.VideoDeleted.Listen(m.Bus, video) },
		func() (*nats.Subscription, error) {
			return events.RulesChanged.Listen(m.Bus, func(events.Rules) { m.Changed(decisions.EveryVideo) })
		},
	}
	if m.Share != nil {
		subscribers = append(subscribers,
			func() (*nats.Subscription, error) { return events.SessionStarted.Listen(m.Bus, m.hearStarted) },
			func() (*nats.Subscription, error) { return events.SessionEnded.Listen(m.Bus, m.hearEnded) })
	}
	for _, subscribe := range subscribers {
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

// Changed forgets a video's rule, or those of EveryVideo, and has the sessions
// asked again.
func (m *Manager) Changed(videoID string) {
	m.Decider.Rules.Forget(videoID)
	m.pending.now(videoID)
}

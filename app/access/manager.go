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
	"streamgate/store"
)

// What ManagerConfig's zero values mean.
const (
	DefaultSessionTTL   = 4 * time.Hour
	DefaultTicketTTL    = 2 * time.Minute
	DefaultRecheck      = time.Minute
	DefaultMaxPerWallet = 3
)

// ManagerConfig is what a Manager needs. The fields up to Log are required.
type ManagerConfig struct {
	Catalog   store.Catalog
	Bus       *nats.Conn
	Tickets   *Tickets
	Decider   *Decider
	Passwords *Passwords
	Limits    *Limits
	Chains    Chains
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
	// MaxPerWallet and MaxPerVideo bound the sessions that play at the same
	// time; of videos, 0 means no limit. A wallet's 0 means
	// DefaultMaxPerWallet, less than 0 no limit.
	MaxPerWallet, MaxPerVideo int
}

func (c ManagerConfig) withDefaults() ManagerConfig {
	c.SessionTTL = cmp.Or(c.SessionTTL, DefaultSessionTTL)
	c.TicketTTL = min(cmp.Or(c.TicketTTL, DefaultTicketTTL), c.SessionTTL)
	c.Recheck = cmp.Or(c.Recheck, DefaultRecheck)
	c.MaxPerWallet = cmp.Or(c.MaxPerWallet, DefaultMaxPerWallet)
	if c.PollInterval == nil {
		c.PollInterval = func(uint64) time.Duration { return 0 }
	}
	return c
}

// pollInterval is how often a chain is looked at.
func (c ManagerConfig) pollInterval(chain uint64) time.Duration {
	return cmp.Or(c.PollInterval(chain), DefaultPollInterval)
}

// Manager opens sessions, watches over them, and ends them.
type Manager struct {
	ManagerConfig
	live    *liveSessions
	pending *pending
	metrics *metrics
}

// NewManager returns a manager over its stores. Run keeps its sessions in order.
func NewManager(cfg ManagerConfig) (*Manager, error) {
	m := &Manager{ManagerConfig: cfg.withDefaults(), live: newLiveSessions(), pending: newPending()}
	var err error
	if m.metrics, err = newMetrics(cfg.Metrics, m.live.count); err != nil {
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
	loops.Go(func() { m.followChanges(ctx) })
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
	for _, subscribe := range []func() (*nats.Subscription, error){
		func() (*nats.Subscription, error) { return events.VideoChanged.Listen(m.Bus, video) },
		func() (*nats.Subscription, error) { return events.VideoDeleted.Listen(m.Bus, video) },
		func() (*nats.Subscription, error) {
			return events.RulesChanged.Listen(m.Bus, func(events.Rules) { m.Changed(EveryVideo) })
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

// Changed forgets a video's rule, or those of EveryVideo, and has the sessions
// asked again.
func (m *Manager) Changed(videoID string) {
	m.Decider.Rules.Forget(videoID)
	m.pending.now(videoID)
}

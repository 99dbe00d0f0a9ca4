package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Config is what alerts need.
type Config struct {
	Alerts store.Table[store.Alert]
	Bus    *nats.Conn
	Limits Limits
	// PublicURL is where the console is, for links in notifications.
	PublicURL func() string
	Ntfy      Ntfy
	Version   string // of the User-Agent
	Log       *slog.Logger
}

// Service is the alerts.
type Service struct {
	Config
	http *http.Client
	wake chan struct{}

	mu         sync.Mutex
	limits     Limits      // in force
	conditions []condition // of the last reading
}

var (
	_ rpc.AlertsHandler = (*Service)(nil)
	_ rpc.AlertsClient  = (*Service)(nil)
)

// New returns the alerts over their store. Run tells of them.
func New(cfg Config) *Service {
	s := &Service{Config: cfg, http: newClient(), wake: make(chan struct{}, 1), limits: cfg.Limits}
	// Before the first reading it is known what there can be.
	s.conditions = cfg.Limits.conditions(Reading{})
	s.conditions = slices.DeleteFunc(s.conditions, func(c condition) bool { return c.perNode })
	return s
}

// SetLimits judges by other limits from the next reading on.
func (s *Service) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
}

// Observe judges a reading, and keeps what has changed.
func (s *Service) Observe(ctx context.Context, r Reading) {
	s.mu.Lock()
	conditions := s.limits.conditions(r)
	s.conditions = conditions
	s.mu.Unlock()
	if err := s.observe(ctx, conditions, r); err != nil && ctx.Err() == nil {
		s.Log.ErrorContext(ctx, "judge the alerts", "err", err)
	}
}

func (s *Service) observe(ctx context.Context, conditions []condition, r Reading) error {
	known, err := s.records(ctx)
	if err != nil {
		return err
	}
	for id, a := range known { // what is not looked for any more holds no more
		gone := a.Node == r.Node || a.Node == ""
		if gone && !slices.ContainsFunc(conditions, func(c condition) bool { return c.id == id }) {
			conditions = append(conditions, condition{rule: rule{name: a.Rule, severity: a.Severity}, id: id, node: a.Node, known: true, summary: a.Summary})
		}
	}
	var errs []error
	for _, c := range conditions {
		errs = append(errs, s.apply(ctx, known, c, r.At.UTC()))
	}
	return errors.Join(errs...)
}

// apply steps one alert, and writes it if that changes it.
func (s *Service) apply(ctx context.Context, known map[string]store.Alert, c condition, now time.Time) error {
	old, found := known[c.id]
	fresh := step(old, c, now)
	var err error
	switch {
	case found && over(fresh, now):
		err = s.Alerts.Delete(ctx, c.id)
	case reflect.DeepEqual(old, fresh), over(fresh, now):
		return nil
	case found:
		fresh, err = s.Alerts.Update(ctx, c.id, func(a *store.Alert) error {
			*a = step(*a, c, now) // another node may have been here
			return nil
		})
	default:
		err = s.Alerts.Create(ctx, fresh)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) {
		return nil // another node was faster; the next reading comes soon
	}
	if err != nil {
		return fmt.Errorf("keep alert %s: %w", c.id, err)
	}
	s.changed(ctx, old, fresh)
	return nil
}

func (s *Service) changed(ctx context.Context, old, fresh store.Alert) {
	if old.State != fresh.State {
		s.Log.InfoContext(ctx, "alert", "alert", fresh.ID, "state", fresh.State, "severity", fresh.Severity, "summary", fresh.Summary)
		events.AlertChanged.Announce(s.Bus, s.Log, s.payload(fresh, fresh.State, time.Now().UTC()))
	}
	if fresh.Notice != nil {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// records are the alerts that are remembered, by id.
func (s *Service) records(ctx context.Context) (map[string]store.Alert, error) {
	out := map[string]store.Alert{}
	for a, err := range store.All(ctx, s.Alerts, store.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("list alerts: %w", err)
		}
		out[a.ID] = a
	}
	return out, nil
}

// condition is what was seen last of an alert.
func (s *Service) condition(id string) (condition, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conditions {
		if c.id == id {
			return c, true
		}
	}
	return condition{}, false
}

package alerts

import (
	"context"
	"errors"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

// tellEvery is how often it is looked whether there is news to tell: what waits
// for another try, or what was left when a node died.
const tellEvery = 5 * time.Second

// Run tells of alerts until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	defer s.http.CloseIdleConnections()
	for {
		if err := s.tellAll(ctx); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "tell of alerts", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// tellAll tells of what is news and due.
func (s *Service) tellAll(ctx context.Context) error {
	known, err := s.records(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range known {
		if a.Notice != nil {
			errs = append(errs, s.tellOne(ctx, a))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) tellOne(ctx context.Context, a store.Alert) error {
	n := *a.Notice
	if !n.Announced {
		topic := events.AlertFiring
		if n.State == store.AlertResolved {
			topic = events.AlertResolved
		}
		// Its id is made of what is stored: told twice, it is the same event.
		topic.AnnounceAs(s.Bus, s.Log, store.NamedID(n.At, a.ID+" "+string(n.State)), s.payload(a, n.State, n.At))
	}
	if n.Pushed || s.Ntfy.URL == "" {
		return s.note(ctx, a, func(n *store.Notice) { n.Announced, n.Pushed = true, true })
	}
	if time.Now().Before(n.Next) {
		return nil
	}
	// Who moves the time of the next attempt makes this one; no other node does.
	mine, err := s.claim(ctx, a)
	if err != nil || !mine {
		return err
	}
	err = s.push(ctx, a, n.State)
	return s.note(context.WithoutCancel(ctx), a, func(now *store.Notice) {
		now.Error = ""
		if err != nil {
			now.Error = err.Error()
		}
		now.Pushed = err == nil || time.Since(n.At) > pushFor
	})
}

// claim takes the next attempt at telling of an alert, which one node gets.
func (s *Service) claim(ctx context.Context, a store.Alert) (mine bool, err error) {
	_, err = s.Alerts.Update(ctx, a.ID, func(now *store.Alert) error {
		if !sameNews(now, &a) || now.Notice.Attempts != a.Notice.Attempts {
			return errOther
		}
		now.Notice.Announced, now.Notice.Attempts = true, a.Notice.Attempts+1
		now.Notice.Next = time.Now().UTC().Add(pause(a.Notice.Attempts))
		return nil
	})
	if errors.Is(err, errOther) || errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// sameNews tells whether an alert still has the notice that it was read with.
func sameNews(now, read *store.Alert) bool {
	return now.Notice != nil && now.Notice.At.Equal(read.Notice.At) && now.Notice.State == read.Notice.State
}

// note changes the notice of an alert, if it is still the same one, and removes
// it when everybody has it.
func (s *Service) note(ctx context.Context, a store.Alert, change func(*store.Notice)) error {
	_, err := s.Alerts.Update(ctx, a.ID, func(now *store.Alert) error {
		if !sameNews(now, &a) {
			return errOther
		}
		change(now.Notice)
		if now.Notice.Announced && now.Notice.Pushed {
			now.Notice = nil
		}
		return nil
	})
	if errors.Is(err, errOther) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

var errOther = errors.New("there is other news")

func (s *Service) payload(a store.Alert, state store.AlertState, at time.Time) events.Alert {
	c, _ := s.condition(a.ID)
	return events.Alert{
		AlertID: a.ID, Rule: a.Rule, Severity: a.Severity, State: string(state), Summary: a.Summary, NodeID: a.Node,
		Value: a.Value, Threshold: c.threshold, Unit: c.unit, At: at,
	}
}

package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

const (
	// leaseMargin is what a lease lasts beyond the longest attempt.
	leaseMargin = 15 * time.Second
	// storePause is the time until the next look at a delivery when the store
	// has failed, and storeWait how long a node that stops waits for it.
	storePause = 5 * time.Second
	storeWait  = 5 * time.Second
)

var (
	errOver  = errors.New("the delivery is over")
	errEarly = errors.New("the delivery is not due, or another node sends it")
)

// attempt sends one delivery that is due, and puts it where it belongs then.
func (s *Service) attempt(ctx context.Context, x *waiting) {
	d, w, err := s.claim(ctx, x.id)
	switch {
	case errors.Is(err, errOver):
		s.schedule.done(x)
		return
	case errors.Is(err, errEarly):
		s.schedule.again(x, later(d))
		return
	case err != nil:
		s.failed(ctx, x, fmt.Errorf("take up delivery %s: %w", x.id, err))
		return
	}
	out := s.send(ctx, w, d)
	if ctx.Err() != nil && !out.ok() {
		out = outcome{cut: true}
	}
	// What has come of it is noted even if the node stops.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeWait)
	defer cancel()
	d, err = s.note(noting, d, out)
	switch {
	case errors.Is(err, errOver):
		s.schedule.done(x)
		return
	case err != nil:
		s.failed(ctx, x, fmt.Errorf("note what came of delivery %s: %w", x.id, err))
		return
	case d.State == store.DeliveryWaiting:
		s.schedule.again(x, d.Next)
	default:
		s.schedule.done(x)
	}
	s.metrics.attempted(d, out)
	if err := s.judge(noting, w, out); err != nil {
		s.Log.ErrorContext(ctx, "note how a webhook is", "webhook", w.ID, "err", err)
	}
	if d.State != store.DeliveryWaiting {
		s.finished(noting, w.ID)
	}
}

// failed puts a delivery back whose record could not be read or written.
func (s *Service) failed(ctx context.Context, x *waiting, err error) {
	if ctx.Err() == nil {
		s.Log.ErrorContext(ctx, "webhook delivery", "err", err)
	}
	s.schedule.again(x, s.now().Add(storePause))
}

// claim takes the lease of a delivery; errOver if nothing is to be sent, and
// errEarly if not now.
func (s *Service) claim(ctx context.Context, id string) (store.Delivery, store.Webhook, error) {
	d, err := s.Catalog.Deliveries.Get(ctx, id)
	if err == nil {
		err = s.claimable(d)
	}
	if err != nil {
		return d, store.Webhook{}, overIfGone(err)
	}
	w, err := s.Catalog.Webhooks.Get(ctx, d.WebhookID)
	if errors.Is(err, store.ErrNotFound) { // deleted while this was made
		return d, w, errors.Join(errOver, gone(s.Catalog.Deliveries.Delete(ctx, id)))
	}
	if err != nil {
		return d, w, err
	}
	d, err = s.Catalog.Deliveries.Update(ctx, id, func(d *store.Delivery) error {
		if err := s.claimable(*d); err != nil {
			return err
		}
		if w.State != store.WebhookEnabled {
			s.giveUp(d, "The webhook is disabled.")
			return nil
		}
		now := s.now().UTC()
		d.Lease = store.Lease{
			Token: d.Lease.Token + 1, Owner: s.Owner, Started: now, Expires: now.Add(s.Timeout + leaseMargin),
		}
		return nil
	})
	if err == nil && d.State != store.DeliveryWaiting {
		s.metrics.ended(resultFailed)
		err = errOver
	}
	return d, w, overIfGone(err)
}

func overIfGone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return errOver
	}
	return err
}

// claimable tells why a delivery cannot be sent now. The lease of an earlier
// start of this node is nobody's.
func (s *Service) claimable(d store.Delivery) error {
	now := s.now()
	dead := d.Lease.Owner.Node == s.Owner.Node && d.Lease.Owner.Boot != s.Owner.Boot
	switch {
	case d.State != store.DeliveryWaiting:
		return errOver
	case now.Before(d.Next), now.Before(d.Lease.Expires) && !dead:
		return errEarly
	}
	return nil
}

// later is when a delivery that was too early is looked at again.
func later(d store.Delivery) time.Time {
	if d.Lease.Expires.After(d.Next) {
		return d.Lease.Expires
	}
	return d.Next
}

// note writes what came of an attempt and ends its lease; errOver if the lease
// was lost.
func (s *Service) note(ctx context.Context, mine store.Delivery, out outcome) (store.Delivery, error) {
	d, err := s.Catalog.Deliveries.Update(ctx, mine.ID, func(d *store.Delivery) error {
		if d.Lease.Token != mine.Lease.Token || d.State != store.DeliveryWaiting {
			return errOver
		}
		d.Lease = store.Lease{Token: d.Lease.Token}
		if out.cut {
			return nil
		}
		d.Attempts++
		d.LastStatus, d.LastError, d.Answer = out.status, out.failure(), out.answer
		switch pause, more := s.pause(d.Attempts, out); {
		case out.ok():
			d.State, d.Next, d.Finished = store.DeliveryDelivered, time.Time{}, s.now().UTC()
		case out.gone() || !more:
			s.giveUp(d, d.LastError)
		default:
			d.Next = s.now().UTC().Add(pause)
		}
		return nil
	})
	return d, overIfGone(err)
}

func (s *Service) giveUp(d *store.Delivery, why string) {
	d.State, d.LastError, d.Next, d.Finished = store.DeliveryFailed, why, time.Time{}, s.now().UTC()
}

// Codes of a webhook that the node has disabled.
const (
	codeGone    = "gone"
	codeFailing = "failing"
)

var errUnchanged = errors.New("unchanged")

// judge notes in a webhook how it does, and disables one that is gone or has
// failed for too long. It writes only what is news.
func (s *Service) judge(ctx context.Context, sent store.Webhook, out outcome) error {
	if out.cut || out.ok() && sent.Failing.IsZero() {
		return nil
	}
	w, err := s.Catalog.Webhooks.Update(ctx, sent.ID, func(w *store.Webhook) error {
		if w.URL != sent.URL || w.State != store.WebhookEnabled {
			return errUnchanged // another endpoint, or known already
		}
		if out.ok() {
			w.Failing, w.Failed = time.Time{}, time.Time{}
			return nil
		}
		now := s.now().UTC()
		noteFailure(w, now)
		switch {
		case out.gone():
			disable(w, now, codeGone, "The endpoint answered 410 Gone.")
		case now.Sub(w.Failing) >= failingFor:
			disable(w, now, codeFailing, "No attempt has succeeded since "+w.Failing.Format(time.RFC3339)+".")
		}
		return nil
	})
	if err != nil {
		if errors.Is(err, errUnchanged) {
			return nil
		}
		return gone(err)
	}
	if w.Failure != nil {
		s.Log.WarnContext(ctx, "webhook disabled", "webhook", w.ID, "code", w.Failure.Code, "why", w.Failure.Message)
		events.WebhookDisabled.Announce(s.Bus, s.Log, events.Webhook{WebhookID: w.ID, Reason: w.Failure.Code})
	}
	return nil
}

// noteFailure counts failures as lasting only while attempts are made: one that
// comes long after the last begins anew.
func noteFailure(w *store.Webhook, now time.Time) {
	if w.Failing.IsZero() || now.Sub(w.Failed) > failingGap {
		w.Failing = now
	}
	w.Failed = now
}

func disable(w *store.Webhook, now time.Time, code, why string) {
	w.State, w.Failure, w.Updated = store.WebhookDisabled, &store.Failure{Code: code, Message: why}, now
}

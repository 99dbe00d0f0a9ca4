package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

// event is what webhooks are told of.
type event struct {
	id      string
	subject string
	at      time.Time
	data    json.RawMessage // as the event stream has it
}

// tell makes a delivery of an event for each webhook that has chosen it.
func (s *Service) tell(ctx context.Context, e event) error {
	all, err := s.webhooks(ctx)
	if err != nil {
		return err
	}
	var errs []error // one webhook's trouble must not keep the others
	for _, w := range all {
		if wants(w, e.subject) {
			errs = append(errs, s.make(ctx, w, e))
		}
	}
	return errors.Join(errs...)
}

// wants tells whether a webhook is told of events of a subject.
func wants(w store.Webhook, subject string) bool {
	return w.State == store.WebhookEnabled && (slices.Contains(w.Events, everyEvent) || slices.Contains(w.Events, subject))
}

// make stores the delivery of an event, if there is room for it among those
// that wait. If another node was first, this one takes care of it too.
func (s *Service) make(ctx context.Context, w store.Webhook, e event) error {
	if s.schedule.waiting(w.ID) >= s.room(e.subject) {
		s.metrics.ended(resultDropped)
		s.Log.DebugContext(ctx, "too many deliveries wait for a webhook, an event is not delivered to it", "webhook", w.ID, "event", e.subject)
		return nil
	}
	d, err := s.newDelivery(w, e)
	if err != nil {
		return err
	}
	if err := s.Catalog.Deliveries.Create(ctx, d); err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("create delivery %s: %w", d.ID, err)
	}
	s.schedule.put(d)
	return nil
}

// room is how many deliveries of a webhook may wait for one of the subject to
// be added. Refused viewers come as they like, and must not crowd out the rest.
func (s *Service) room(subject string) int {
	if subject == events.AccessDenied.Subject {
		return (s.MaxWaiting + 1) / 2
	}
	return s.MaxWaiting
}

// newDelivery is the delivery of an event, due at once.
func (s *Service) newDelivery(w store.Webhook, e event) (store.Delivery, error) {
	body, err := json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{e.subject, e.at, e.data})
	if err != nil {
		return store.Delivery{}, fmt.Errorf("encode event %s: %w", e.id, err)
	}
	now := s.now().UTC()
	return store.Delivery{
		ID: deliveryID(e.id, w.ID), WebhookID: w.ID, Event: e.subject, Payload: body,
		State: store.DeliveryWaiting, Next: now, Created: now,
	}, nil
}

// deliveryID is the same for all who hear of the event.
func deliveryID(eventID, webhookID string) string { return eventID + "-" + webhookID }

// eventID is the id of the event that is delivered: by it receivers know what
// they have had, also from the event stream.
func eventID(d store.Delivery) string { return strings.TrimSuffix(d.ID, "-"+d.WebhookID) }

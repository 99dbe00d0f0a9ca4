package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
)

// listen makes deliveries of the events that this node hears of, which is all
// of them on every node.
func (s *Service) listen(ctx context.Context) (stop func(), err error) {
	var subs []*nats.Subscription
	stop = func() {
		for _, sub := range subs {
			sub.Unsubscribe() //nolint:errcheck // the bus may be gone already
		}
	}
	for _, subject := range events.ForWebhooks() {
		sub, err := s.Bus.Subscribe(subject, func(m *nats.Msg) { s.hear(ctx, m) })
		if err != nil {
			stop()
			return nil, fmt.Errorf("listen to %s: %w", subject, err)
		}
		subs = append(subs, sub)
	}
	if err := s.Bus.Flush(); err != nil {
		stop()
		return nil, fmt.Errorf("listen to events: %w", err)
	}
	return stop, nil
}

// hear makes the deliveries of one message. One without an id cannot be told
// from the same one heard elsewhere.
func (s *Service) hear(ctx context.Context, m *nats.Msg) {
	id := events.ID(m)
	if id == "" || ctx.Err() != nil {
		return
	}
	e := event{id: id, subject: m.Subject, at: time.Now().UTC(), data: m.Data}
	if err := s.tell(ctx, e); err != nil && ctx.Err() == nil {
		s.Log.Error("make deliveries", "event", e.subject, "event_id", id, "err", err)
	}
}

package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// testEvent is the type of what TestWebhook delivers.
const testEvent = "webhook.test"

// ListDeliveries implements rpc.WebhooksHandler.
func (s *Service) ListDeliveries(ctx context.Context, req *rpc.ListDeliveriesRequest) (*rpc.ListDeliveriesResponse, error) {
	if _, err := s.webhook(ctx, req.WebhookId); err != nil {
		return nil, err
	}
	q, err := rpc.Page(req.Limit, req.Cursor)
	if err != nil {
		return nil, err
	}
	if req.State != "" && !slices.Contains(states(), store.DeliveryState(req.State)) {
		return nil, rpc.Invalid("invalid_state", "There is no delivery state %q; there are waiting, delivered and failed.", req.State)
	}
	q.Parent, q.State = req.WebhookId, req.State
	deliveries, next, err := s.Catalog.Deliveries.List(ctx, q)
	if err != nil {
		return nil, rpc.ListError(err, "deliveries")
	}
	out := &rpc.ListDeliveriesResponse{NextCursor: next, Deliveries: make([]*rpc.Delivery, len(deliveries))}
	for i, d := range deliveries {
		if out.Deliveries[i], err = viewDelivery(d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func states() []store.DeliveryState {
	return []store.DeliveryState{store.DeliveryWaiting, store.DeliveryDelivered, store.DeliveryFailed}
}

// TestWebhook implements rpc.WebhooksHandler.
func (s *Service) TestWebhook(ctx context.Context, req *rpc.TestWebhookRequest) (*rpc.Delivery, error) {
	w, err := s.sendable(ctx, req.Id)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(map[string]string{"webhook_id": w.ID})
	if err != nil {
		return nil, fmt.Errorf("encode a test: %w", err)
	}
	d, err := s.newDelivery(w, event{id: store.NewID(), subject: testEvent, at: s.now().UTC(), data: data})
	if err != nil {
		return nil, err
	}
	if err := s.Catalog.Deliveries.Create(ctx, d); err != nil {
		return nil, fmt.Errorf("create a delivery: %w", err)
	}
	s.schedule.put(d)
	return viewDelivery(d)
}

// Redeliver implements rpc.WebhooksHandler.
func (s *Service) Redeliver(ctx context.Context, req *rpc.RedeliverRequest) (*rpc.Delivery, error) {
	w, err := s.sendable(ctx, req.WebhookId)
	if err != nil {
		return nil, err
	}
	d, err := s.Catalog.Deliveries.Update(ctx, req.Id, func(d *store.Delivery) error {
		if d.WebhookID != w.ID {
			return store.ErrNotFound
		}
		d.State, d.Attempts, d.Next, d.Finished = store.DeliveryWaiting, 0, s.now().UTC(), time.Time{}
		return nil
	})
	if err != nil {
		return nil, rpc.NotFound(err, "delivery", req.Id)
	}
	s.schedule.put(d)
	return viewDelivery(d)
}

// sendable returns a webhook to which an operator may have something sent now.
func (s *Service) sendable(ctx context.Context, id string) (store.Webhook, error) {
	w, err := s.webhook(ctx, id)
	switch {
	case err != nil:
		return w, err
	case w.State != store.WebhookEnabled:
		return w, rpc.Errorf(connect.CodeFailedPrecondition, "webhook_disabled", "The webhook is disabled; enable it first.")
	case s.schedule.waiting(id) >= s.MaxWaiting:
		return w, rpc.Errorf(connect.CodeResourceExhausted, "too_many_deliveries",
			"%d deliveries wait for this webhook, which is the most; wait until it has taken some.", s.MaxWaiting)
	}
	return w, nil
}

package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// CreateWebhook implements rpc.WebhooksHandler.
func (s *Service) CreateWebhook(ctx context.Context, req *rpc.CreateWebhookRequest) (*rpc.Webhook, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if err := s.checkUpdate(&rpc.UpdateWebhookRequest{Url: &req.Url, Description: &req.Description, Events: req.Events}); err != nil {
		return nil, err
	}
	all, err := s.webhooks(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) >= maxWebhooks {
		return nil, rpc.Errorf(connect.CodeResourceExhausted, "too_many_webhooks",
			"There are %d webhooks, which is the most; delete one first.", len(all))
	}
	now := time.Now().UTC()
	key := newKey()
	w := store.Webhook{
		ID: store.NewID(), URL: req.Url, Description: req.Description, Events: chosen(req.Events), State: stateOf(req.Enabled == nil || *req.Enabled),
		Keys: []store.WebhookKey{key}, Created: now, Updated: now, Since: now,
	}
	if err := s.Catalog.Webhooks.Create(ctx, w); err != nil {
		return nil, fmt.Errorf("create webhook: %w", err)
	}
	s.Log.InfoContext(ctx, "webhook created", "webhook", w.ID)
	return viewWithSecret(w, key), nil
}

// GetWebhook implements rpc.WebhooksHandler.
func (s *Service) GetWebhook(ctx context.Context, req *rpc.GetWebhookRequest) (*rpc.Webhook, error) {
	w, err := s.webhook(ctx, req.Id)
	if err != nil {
		return nil, err
	}
	return view(w), nil
}

// ListWebhooks implements rpc.WebhooksHandler.
func (s *Service) ListWebhooks(ctx context.Context, _ *rpc.ListWebhooksRequest) (*rpc.ListWebhooksResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	all, err := s.webhooks(ctx)
	if err != nil {
		return nil, err
	}
	out := &rpc.ListWebhooksResponse{}
	for _, w := range all {
		out.Webhooks = append(out.Webhooks, view(w))
	}
	return out, nil
}

// UpdateWebhook implements rpc.WebhooksHandler.
func (s *Service) UpdateWebhook(ctx context.Context, req *rpc.UpdateWebhookRequest) (*rpc.Webhook, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if err := s.checkUpdate(req); err != nil {
		return nil, err
	}
	w, err := s.Catalog.Webhooks.Update(ctx, req.Id, func(w *store.Webhook) error {
		change(w, req, time.Now().UTC())
		return nil
	})
	if err != nil {
		return nil, rpc.NotFound(err, "webhook", req.Id)
	}
	s.Log.InfoContext(ctx, "webhook changed", "webhook", w.ID, "state", w.State)
	return view(w), nil
}

// change applies a request that was checked. What failed before does not count
// against another URL, nor after an operator has enabled the webhook again.
func change(w *store.Webhook, req *rpc.UpdateWebhookRequest, now time.Time) {
	if req.Url == nil && req.Description == nil && len(req.Events) == 0 && req.Enabled == nil {
		return
	}
	w.Updated = now
	if req.Url != nil && *req.Url != w.URL {
		w.URL, w.Failing, w.Failed = *req.Url, time.Time{}, time.Time{}
	}
	if req.Description != nil {
		w.Description = *req.Description
	}
	if len(req.Events) > 0 {
		w.Events = req.Events
	}
	if req.Enabled == nil || stateOf(*req.Enabled) == w.State {
		return
	}
	w.State, w.Failure = stateOf(*req.Enabled), nil
	w.Since, w.Failing, w.Failed = now, time.Time{}, time.Time{}
}

// DeleteWebhook implements rpc.WebhooksHandler. The record goes last, so that a
// deletion that was cut short can be repeated.
func (s *Service) DeleteWebhook(ctx context.Context, req *rpc.DeleteWebhookRequest) (*rpc.DeleteWebhookResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	_, err := s.Catalog.Webhooks.Update(ctx, req.Id, func(w *store.Webhook) error {
		w.State = store.WebhookDisabled // nothing is made any more
		return nil
	})
	if err != nil {
		return nil, rpc.NotFound(err, "webhook", req.Id)
	}
	for d, err := range store.All(ctx, s.Catalog.Deliveries, store.Query{Parent: req.Id}) {
		if err == nil {
			err = gone(s.Catalog.Deliveries.Delete(ctx, d.ID))
		}
		if err != nil {
			return nil, fmt.Errorf("delete the deliveries of webhook %s: %w", req.Id, err)
		}
	}
	if err := s.Catalog.Webhooks.Delete(ctx, req.Id); err != nil {
		return nil, rpc.NotFound(err, "webhook", req.Id)
	}
	s.schedule.forget(req.Id)
	s.Log.InfoContext(ctx, "webhook deleted", "webhook", req.Id)
	return &rpc.DeleteWebhookResponse{}, nil
}

// RotateWebhook implements rpc.WebhooksHandler.
func (s *Service) RotateWebhook(ctx context.Context, req *rpc.RotateWebhookRequest) (*rpc.Webhook, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	key := newKey()
	w, err := s.Catalog.Webhooks.Update(ctx, req.Id, func(w *store.Webhook) error {
		now := time.Now().UTC()
		w.Keys, w.Updated = rotated(w.Keys, key, now), now
		return nil
	})
	if err != nil {
		return nil, rpc.NotFound(err, "webhook", req.Id)
	}
	s.Log.InfoContext(ctx, "webhook key rotated", "webhook", w.ID)
	return viewWithSecret(w, key), nil
}

// webhook returns a webhook for an operator.
func (s *Service) webhook(ctx context.Context, id string) (store.Webhook, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return store.Webhook{}, err
	}
	w, err := s.Catalog.Webhooks.Get(ctx, id)
	return w, rpc.NotFound(err, "webhook", id)
}

// webhooks returns all of them, newest first.
func (s *Service) webhooks(ctx context.Context) ([]store.Webhook, error) {
	var out []store.Webhook
	for w, err := range store.All(ctx, s.Catalog.Webhooks, store.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("list webhooks: %w", err)
		}
		out = append(out, w)
	}
	return out, nil
}

func stateOf(enabled bool) store.WebhookState {
	if enabled {
		return store.WebhookEnabled
	}
	return store.WebhookDisabled
}

// gone is nil for what is not there any more.
func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

package webhooks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"streamgate/store"
)

// kept counts what has finished of each webhook since its old deliveries were
// last removed, so that they are no more than a quarter too many between sweeps.
type kept struct {
	mu       sync.Mutex
	finished map[string]int
}

func newKept() *kept { return &kept{finished: map[string]int{}} }

// add counts one, and tells whether it is time to remove old ones.
func (k *kept) add(webhook string, most int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.finished[webhook]++
	if k.finished[webhook] <= most/4 {
		return false
	}
	delete(k.finished, webhook)
	return true
}

// finished removes old deliveries of a webhook if many have finished.
func (s *Service) finished(ctx context.Context, webhook string) {
	if !s.kept.add(webhook, s.MaxKept) {
		return
	}
	if err := s.prune(ctx, webhook); err != nil {
		s.Log.ErrorContext(ctx, "remove old deliveries", "webhook", webhook, "err", err)
	}
}

// retain removes the old deliveries of all webhooks.
func (s *Service) retain(ctx context.Context) error {
	all, err := s.webhooks(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, w := range all {
		errs = append(errs, s.prune(ctx, w.ID))
	}
	return errors.Join(errs...)
}

// prune removes the finished deliveries of a webhook that are older than a week
// or too many. What happened before a delivery that is removed must not be made
// up for, or it would be delivered again.
func (s *Service) prune(ctx context.Context, webhook string) error {
	old, since, err := s.oldOf(ctx, webhook)
	if err != nil || len(old) == 0 {
		return err
	}
	_, err = s.Catalog.Webhooks.Update(ctx, webhook, func(w *store.Webhook) error {
		if since.After(w.Since) {
			w.Since = since
		}
		return nil
	})
	if err != nil {
		return gone(err)
	}
	for _, id := range old {
		if err := gone(s.Catalog.Deliveries.Delete(ctx, id)); err != nil {
			return fmt.Errorf("remove delivery %s: %w", id, err)
		}
	}
	return nil
}

// oldOf are the deliveries to remove, and when the youngest of them was made.
func (s *Service) oldOf(ctx context.Context, webhook string) (ids []string, since time.Time, err error) {
	week := time.Now().Add(-keepFor)
	n := 0
	for d, err := range store.All(ctx, s.Catalog.Deliveries, store.Query{Parent: webhook}) {
		if err != nil {
			return nil, since, fmt.Errorf("list deliveries: %w", err)
		}
		if d.State == store.DeliveryWaiting {
			continue
		}
		if n++; n <= s.MaxKept && d.Finished.After(week) {
			continue
		}
		ids = append(ids, d.ID)
		if d.Created.After(since) {
			since = d.Created
		}
	}
	return ids, since, nil
}

package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

// horizon is how far back ends that no event has told of are looked for.
const horizon = 48 * time.Hour

// sweepUntil looks through the records, at once and every now and then: for
// deliveries that another node has left or an event that was lost, and for what
// is old.
func (s *Service) sweepUntil(ctx context.Context) {
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "sweep the webhooks", "err", err)
		}
		pause := time.Duration(float64(s.SweepEvery) * (0.8 + 0.4*rand.Float64())) // not all nodes at once
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *Service) sweep(ctx context.Context) error {
	return errors.Join(s.load(ctx), s.makeUp(ctx), s.retain(ctx))
}

// load schedules every delivery that waits.
func (s *Service) load(ctx context.Context) error {
	for d, err := range store.All(ctx, s.Catalog.Deliveries, store.Query{State: string(store.DeliveryWaiting)}) {
		if err != nil {
			return fmt.Errorf("list deliveries: %w", err)
		}
		s.schedule.put(d)
	}
	return nil
}

// makeUp makes the deliveries of the tasks and videos that have ended and of
// which no event has told. Tasks are listed newest first.
func (s *Service) makeUp(ctx context.Context) error {
	all, err := s.webhooks(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	since := s.now().Add(-horizon)
	for task, err := range store.All(ctx, s.Catalog.Tasks, store.Query{}) {
		if err != nil {
			return fmt.Errorf("list tasks: %w", err)
		}
		if task.Created.Before(since) {
			return nil
		}
		if !task.State.Final() {
			continue
		}
		ends, err := s.endsOf(ctx, task)
		if err != nil {
			return err
		}
		for _, e := range ends {
			if err := s.tellMissing(ctx, all, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// endsOf are the events of a task that is over, and of its video.
func (s *Service) endsOf(ctx context.Context, task store.Task) ([]event, error) {
	topic, id := events.TaskEnd(task)
	data, err := json.Marshal(events.OfTask(task, task.Finished))
	if err != nil {
		return nil, fmt.Errorf("encode the end of task %s: %w", task.ID, err)
	}
	out := []event{{id: id, subject: topic.Subject, at: task.Finished, data: data}}
	video, err := s.Catalog.Videos.Get(ctx, task.VideoID)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up video %s: %w", task.VideoID, err)
	}
	ended, id, at, ok := events.VideoEnd(video, task)
	if !ok {
		return out, nil
	}
	if data, err = json.Marshal(events.Video{VideoID: video.ID, State: string(video.State)}); err != nil {
		return nil, fmt.Errorf("encode the state of video %s: %w", video.ID, err)
	}
	return append(out, event{id: id, subject: ended.Subject, at: at, data: data}), nil
}

// tellMissing makes the deliveries of an event that are not there. Those for
// which there is no room now, a later sweep makes.
func (s *Service) tellMissing(ctx context.Context, all []store.Webhook, e event) error {
	for _, w := range all {
		if !wants(w, e.subject) || !e.at.After(w.Since) || e.at.Before(s.now().Add(-horizon)) {
			continue
		}
		if s.schedule.waiting(w.ID) >= s.room(e.subject) {
			continue
		}
		_, err := s.Catalog.Deliveries.Get(ctx, deliveryID(e.id, w.ID))
		if errors.Is(err, store.ErrNotFound) {
			err = s.make(ctx, w, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package access

import (
	"context"
	"errors"
	"sync"
	"time"

	"streamgate/store"
)

const (
	// sweepEvery is how often it is looked who is due, and whom a change
	// concerns that could not be asked before.
	sweepEvery = time.Second
	// reloadEvery is how often the sessions of other nodes are taken over, and
	// those that are long over removed.
	reloadEvery = 30 * time.Second
)

// concern collects the videos whose sessions are to be asked again, so that
// those who notice a change need not wait.
type concern struct {
	mu     sync.Mutex
	videos map[string]struct{}
	wake   chan struct{}
}

func newConcern() *concern {
	return &concern{videos: map[string]struct{}{}, wake: make(chan struct{}, 1)}
}

// note has a video looked at soon, or everyVideo.
func (c *concern) note(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.videos[id] = struct{}{}
}

// video has one looked at now.
func (c *concern) video(id string) {
	c.note(id)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *concern) take() map[string]struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	videos := c.videos
	c.videos = map[string]struct{}{}
	return videos
}

// load takes over the live sessions of the store, and has them asked at once:
// what happened while nobody watched is not known.
func (s *Service) load(ctx context.Context) error {
	for rec, err := range store.All(ctx, s.Catalog.Sessions, store.Query{State: string(store.SessionLive)}) {
		if err != nil {
			return err
		}
		p, err := playingOf(&rec)
		if err != nil {
			s.Log.Error("a session cannot be read and ends", "session", rec.ID, "err", err)
			err = s.end(ctx, rec.ID, &store.Failure{Code: "unreadable", Message: "The session cannot be read."})
			if err != nil {
				return err
			}
			continue
		}
		if !s.roster.put(p) {
			continue
		}
		// It may have ended since it was listed.
		now, err := s.Catalog.Sessions.Get(ctx, rec.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if now.State != store.SessionLive {
			s.roster.drop(rec.ID)
		}
	}
	return nil
}

// followChanges asks those whom a change concerns, until ctx ends.
func (s *Service) followChanges(ctx context.Context) {
	again := time.NewTicker(sweepEvery) // for what could not be asked
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.concern.wake:
		case <-again.C:
		}
		s.askConcerned(ctx)
	}
}

func (s *Service) askConcerned(ctx context.Context) {
	for id := range s.concern.take() {
		list := s.roster.ofVideo(id)
		if id == everyVideo {
			list = s.roster.all()
		}
		if !s.recheck(ctx, list, nil) {
			s.concern.note(id)
		}
	}
}

// sweepUntil asks those who are due, until ctx ends.
func (s *Service) sweepUntil(ctx context.Context) {
	due, reload := time.NewTicker(sweepEvery), time.NewTicker(reloadEvery)
	defer due.Stop()
	defer reload.Stop()
	for {
		s.sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		case <-reload.C:
			err := errors.Join(s.load(ctx), s.bury(ctx), s.Logins.bury(ctx, time.Now()))
			if err != nil && ctx.Err() == nil {
				s.Log.Error("sessions cannot be read", "err", err)
			}
		}
	}
}

func (s *Service) sweep(ctx context.Context) {
	ask, over := s.roster.due(time.Now())
	s.recheck(ctx, ask, nil)
	for _, p := range over {
		s.expire(ctx, p)
	}
}

// expire forgets a session whose ticket was not renewed; unless another node
// has renewed it.
func (s *Service) expire(ctx context.Context, p *playing) {
	rec, err := s.Catalog.Sessions.Get(ctx, p.id)
	if err == nil && rec.State == store.SessionLive && time.Now().Before(rec.Ticket) {
		s.roster.renewed(p.id, rec.Ticket)
		return
	}
	s.roster.drop(p.id)
	if err == nil {
		err = s.pass(ctx, &rec)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		s.Log.Warn("a session that is over stays in the store for now", "session", p.id, "err", err)
	}
}

// bury removes the records of sessions that are over.
func (s *Service) bury(ctx context.Context) error {
	now := time.Now()
	for rec, err := range store.All(ctx, s.Catalog.Sessions, store.Query{}) {
		if err != nil {
			return err
		}
		if now.Before(rec.Ticket) {
			continue
		}
		if err := s.pass(ctx, &rec); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// pass removes the record of a session whose tickets have all expired, or
// keeps it as past for what its viewer has proved.
func (s *Service) pass(ctx context.Context, rec *store.Session) error {
	if len(rec.Proofs) == 0 || !time.Now().Before(rec.Expires) {
		return s.Catalog.Sessions.Delete(ctx, rec.ID)
	}
	if rec.State == store.SessionPast {
		return nil
	}
	_, err := s.Catalog.Sessions.Update(ctx, rec.ID, func(rec *store.Session) error {
		if time.Now().Before(rec.Ticket) {
			return nil
		}
		rec.State = store.SessionPast
		return nil
	})
	return err
}

package sessions

import (
	"context"
	"errors"
	"sync"
	"time"

	"streamgate/app/access/decisions"
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

// pending collects the videos whose sessions are to be asked again, so that
// those who notice a change need not wait.
type pending struct {
	mu     sync.Mutex
	videos map[string]struct{}
	wake   chan struct{}
}

func newPending() *pending {
	return &pending{videos: map[string]struct{}{}, wake: make(chan struct{}, 1)}
}

// note has a video looked at soon, or EveryVideo.
func (p *pending) note(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.videos[id] = struct{}{}
}

// now has one looked at now.
func (p *pending) now(id string) {
	p.note(id)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pending) take() map[string]struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	videos := p.videos
	p.videos = map[string]struct{}{}
	return videos
}

// load takes over the live sessions of the store, and has them asked at once:
// what happened while nobody watched is not known.
func (m *Manager) load(ctx context.Context) error {
	for rec, err := range store.All(ctx, m.Catalog.Sessions, store.Query{State: string(store.SessionLive)}) {
		if err != nil {
			return err
		}
		p, err := liveSessionOf(&rec)
		if err != nil {
			m.Log.Error("a session cannot be read and ends", "session", rec.ID, "err", err)
			err = m.end(ctx, rec.ID, &store.Failure{Code: "unreadable", Message: "The session cannot be read."})
			if err != nil {
				return err
			}
			continue
		}
		if m.overFor() > 0 && m.now().After(rec.Ticket.Add(m.clocks())) {
			continue // it is kept for the clocks of others
		}
		if err := m.watchOver(ctx, p); err != nil { // it may have ended since it was listed
			return err
		}
	}
	return nil
}

// recheckChanged asks those whom a change concerns, until ctx ends.
func (m *Manager) recheckChanged(ctx context.Context) {
	again := time.NewTicker(sweepEvery) // for what could not be asked
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.pending.wake:
		case <-again.C:
		}
		m.recheckPending(ctx)
	}
}

func (m *Manager) recheckPending(ctx context.Context) {
	for id := range m.pending.take() {
		list := m.live.ofVideo(id)
		if id == decisions.EveryVideo {
			list = m.live.all()
		}
		if !m.recheck(ctx, list, nil) {
			m.pending.note(id)
		}
	}
}

// sweepUntil asks those who are due, until ctx ends.
func (m *Manager) sweepUntil(ctx context.Context) {
	due, reload := time.NewTicker(sweepEvery), time.NewTicker(reloadEvery)
	defer due.Stop()
	defer reload.Stop()
	for {
		m.sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		case <-reload.C:
			err := errors.Join(m.load(ctx), m.removeOver(ctx))
			if err != nil && ctx.Err() == nil {
				m.Log.Error("sessions cannot be read", "err", err)
			}
		}
	}
}

func (m *Manager) sweep(ctx context.Context) {
	ask, over := m.live.due(m.now(), m.clocks(), neglected*m.Recheck, m.mine)
	m.recheck(ctx, ask, nil)
	for _, p := range over {
		m.expire(ctx, p)
	}
}

// expire forgets a session whose ticket was not renewed; unless another node
// has renewed it.
func (m *Manager) expire(ctx context.Context, p *liveSession) {
	rec, err := m.Catalog.Sessions.Get(ctx, p.id)
	if err == nil && rec.State == store.SessionLive && m.now().Before(rec.Ticket.Add(m.clocks())) {
		m.live.renewed(p.id, rec.Ticket)
		return
	}
	m.live.drop(p.id)
	if err == nil {
		err = m.retire(ctx, &rec)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		m.Log.Warn("a session that is over stays in the store for now", "session", p.id, "err", err)
	}
}

// removeOver removes the records of sessions that are over.
func (m *Manager) removeOver(ctx context.Context) error {
	if !m.first() {
		return nil
	}
	now := m.now()
	for rec, err := range store.All(ctx, m.Catalog.Sessions, store.Query{}) {
		if err != nil {
			return err
		}
		if now.Before(rec.Ticket.Add(m.clocks())) {
			continue
		}
		if err := m.retire(ctx, &rec); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// retire removes the record of a session whose tickets have all expired, or
// keeps it as past for what its viewer has proved. Where there are other nodes
// it does so late: a clock that is fast takes nothing from those who watch.
func (m *Manager) retire(ctx context.Context, rec *store.Session) error {
	late := m.now().Add(-m.overFor())
	if late.Before(rec.Ticket) {
		return nil
	}
	if len(rec.Proofs) == 0 || !late.Before(rec.Expires) {
		return m.Catalog.Sessions.Delete(ctx, rec.ID)
	}
	if rec.State == store.SessionPast {
		return nil
	}
	_, err := m.Catalog.Sessions.Update(ctx, rec.ID, func(rec *store.Session) error {
		if late.Before(rec.Ticket) {
			return nil
		}
		rec.State = store.SessionPast
		return nil
	})
	return err
}

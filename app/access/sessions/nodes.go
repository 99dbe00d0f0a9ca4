package sessions

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"streamgate/app/events"
	"streamgate/store"
)

// Several nodes may watch over the same sessions. Each knows all of them, follows
// the chains itself and ends whom a transfer or a changed rule concerns: none
// depends on another for that, and a session that two nodes end has ended once.
// What is only due from time to time is shared.

const (
	// clocksApart is how much the clocks of nodes may differ: one that is further
	// off is not ready.
	clocksApart = 30 * time.Second
	// overFor is for how long all tickets of a session must have expired before
	// its record goes, should a clock be off by far all the same.
	overFor = 10 * time.Minute
	// neglected is for how many times Recheck a session that is another node's to
	// ask goes on unasked here: that may be gone, and the registry too.
	neglected = 4
)

func (m *Manager) now() time.Time { return m.Now() }

// share is which of the nodes this one is, and of how many.
func (m *Manager) share() (index, of int) {
	if m.Share == nil {
		return 0, 1
	}
	return m.Share()
}

// first tells whether this node does what one suffices for. That two do it is
// harmless.
func (m *Manager) first() bool {
	index, _ := m.share()
	return index == 0
}

// mine tells whether a session is this node's to ask.
func (m *Manager) mine(id string) bool {
	index, of := m.share()
	if of <= 1 {
		return true
	}
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32()%uint32(of)) == index // of is a count of nodes
}

// clocks is how much later than here it may be that another node's clock lets a
// ticket expire.
func (m *Manager) clocks() time.Duration {
	if m.Share == nil {
		return 0
	}
	return clocksApart
}

func (m *Manager) overFor() time.Duration {
	if m.Share == nil {
		return 0
	}
	return overFor
}

// countMine counts the live sessions that are this node's to ask: those of all
// nodes together are all sessions.
func (m *Manager) countMine() int {
	if m.Share == nil {
		return m.live.count()
	}
	n := 0
	for _, p := range m.live.all() {
		if m.mine(p.id) {
			n++
		}
	}
	return n
}

// announceStart has the other nodes watch over a session too.
func (m *Manager) announceStart(p *liveSession) {
	if m.Share != nil {
		events.SessionStarted.Announce(m.Bus, m.Log, events.Session{SessionID: p.id, VideoID: p.videoID})
	}
}

// hearStarted watches over a session that another node has made.
func (m *Manager) hearStarted(e events.Session) {
	if m.live.get(e.SessionID) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), hearLimit)
	defer cancel()
	if err := m.takeUp(ctx, e.SessionID); err != nil {
		m.Log.Debug("a session that began cannot be read; the next reload will find it", "session", e.SessionID, "err", err)
	}
}

// hearLimit bounds reading what an event tells of: others wait behind it.
const hearLimit = 2 * time.Second

// takeUp watches over a session of the store, if it is live.
func (m *Manager) takeUp(ctx context.Context, id string) error {
	rec, err := m.Catalog.Sessions.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || rec.State != store.SessionLive {
		return err
	}
	p, err := liveSessionOf(&rec)
	if err != nil {
		return err
	}
	return m.watchOver(ctx, p)
}

// watchOver puts a session that is in the store among the live ones, unless it
// has ended since it was read.
func (m *Manager) watchOver(ctx context.Context, p *liveSession) error {
	if !m.live.put(p) {
		return nil
	}
	now, err := m.Catalog.Sessions.Get(ctx, p.id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if now.State != store.SessionLive {
		m.live.drop(p.id)
	}
	return nil
}

// hearEnded stops watching over a session that another node has ended, which
// leaves its place to others.
func (m *Manager) hearEnded(e events.Session) {
	if m.live.get(e.SessionID) == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), hearLimit)
	defer cancel()
	rec, err := m.Catalog.Sessions.Get(ctx, e.SessionID)
	if errors.Is(err, store.ErrNotFound) || err == nil && rec.State != store.SessionLive {
		m.live.drop(e.SessionID)
	}
}

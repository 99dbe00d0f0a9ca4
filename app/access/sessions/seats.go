package sessions

import (
	"context"
	"time"
)

// enter gives a session its place: among those of this node, and, where there are
// other nodes, among those that all of them count in the cache. A place there is
// kept as long as the session's ticket, or until it ends.
func (m *Manager) enter(ctx context.Context, p *liveSession, most streamLimits) (limitReached, error) {
	now := m.now()
	if m.Share == nil {
		return m.live.enter(p, most, now), nil
	}
	if reached := m.live.enter(p, streamLimits{}, now); reached != withinLimits {
		return reached, nil
	}
	reached, err := m.sit(ctx, p, most, p.ticket.Sub(now))
	if err != nil || reached != withinLimits {
		m.live.drop(p.id)
		m.leave(ctx, p)
	}
	return reached, err
}

// stay keeps a session's place for as long as its new ticket, whatever the limits.
func (m *Manager) stay(ctx context.Context, p *liveSession, ticket time.Time) {
	if m.Share == nil || p.keyID != "" {
		return
	}
	if _, err := m.sit(ctx, p, streamLimits{}, ticket.Sub(m.now())); err != nil {
		m.Log.Debug("a session's place cannot be kept", "session", p.id, "err", err)
	}
}

// sit takes the places of a session that are counted.
func (m *Manager) sit(ctx context.Context, p *liveSession, most streamLimits, ttl time.Duration) (limitReached, error) {
	ttl = max(ttl, time.Second)
	if p.keyID != "" {
		return withinLimits, nil
	}
	if m.MaxPerVideo > 0 {
		if ok, err := m.Cache.Enter(ctx, viewersOf(p), p.id, most.video, ttl); err != nil || !ok {
			return videoLimit, err
		}
	}
	if m.MaxPerWallet > 0 && !p.wallet.IsZero() {
		if ok, err := m.Cache.Enter(ctx, streamsOf(p), p.id, most.wallet, ttl); err != nil || !ok {
			return walletLimit, err
		}
	}
	return withinLimits, nil
}

// leave gives a session's place to others. Should that fail, it is theirs when its
// ticket has expired.
func (m *Manager) leave(ctx context.Context, p *liveSession) {
	if m.Share == nil || p.keyID != "" {
		return
	}
	var err error
	if m.MaxPerVideo > 0 {
		err = m.Cache.Leave(ctx, viewersOf(p), p.id)
	}
	if err == nil && m.MaxPerWallet > 0 && !p.wallet.IsZero() {
		err = m.Cache.Leave(ctx, streamsOf(p), p.id)
	}
	if err != nil {
		m.Log.Debug("a session's place cannot be left", "session", p.id, "err", err)
	}
}

// viewersOf and streamsOf are the sets in which a session is counted.
func viewersOf(p *liveSession) string { return "viewers/" + p.videoID }
func streamsOf(p *liveSession) string { return "streams/" + p.wallet.String() }

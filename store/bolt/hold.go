package bolt

import (
	"context"
	"sync"
	"time"

	"streamgate/store"
)

// hold decides whether writes are let through. It ends with the process, as the
// database's lock does.
type hold struct {
	mu       sync.RWMutex // held for reading by writes under way
	standing store.Standing
	held     bool
	until    time.Time
}

// refusal is why nobody may write now; the caller has mu.
func (h *hold) refusal(now time.Time) error {
	if err := h.standing.Refusal(); err != nil {
		return store.Unavailable(err)
	}
	if h.held && now.Before(h.until) {
		return store.ErrReadOnly
	}
	return nil
}

// Hold implements store.Database.
func (db *DB) Hold(ctx context.Context, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	db.hold.mu.Lock()
	defer db.hold.mu.Unlock()
	if db.hold.held && !now.Before(db.hold.until) {
		return store.ErrHoldLost
	}
	db.hold.held, db.hold.until = true, now.Add(ttl)
	return nil
}

// Release implements store.Database.
func (db *DB) Release(context.Context) error {
	db.hold.mu.Lock()
	defer db.hold.mu.Unlock()
	db.hold.held = false
	return nil
}

// Standing implements store.Database.
func (db *DB) Standing(context.Context) (store.Standing, error) {
	db.hold.mu.RLock()
	defer db.hold.mu.RUnlock()
	return db.hold.standing, nil
}

// SetStanding implements store.Database.
func (db *DB) SetStanding(ctx context.Context, s store.Standing) error {
	db.hold.mu.Lock()
	defer db.hold.mu.Unlock()
	if s.State == store.StandingMoved && (!db.hold.held || !time.Now().Before(db.hold.until)) {
		return store.ErrHoldLost
	}
	if err := db.w.do(ctx, func(c *change) error { return saveStanding(c, s) }); err != nil {
		return err
	}
	db.hold.standing = s
	return nil
}

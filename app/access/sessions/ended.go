package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/store"
)

const (
	// endedPoll is how often the store is read for sessions whose end was not
	// heard of.
	endedPoll = 5 * time.Second
	// endedStale is for how long it is believed that no other sessions have ended
	// while the store cannot be read.
	endedStale = time.Minute
)

// Ended knows the sessions that ended before their tickets did. It answers from
// memory: streaming nodes ask it for each request. What it hears by events it
// reads in the store; what it does not hear, it finds there within a few
// seconds.
type Ended struct {
	sessions store.Table[store.Session]
	bus      *nats.Conn
	log      *slog.Logger

	asOf atomic.Int64 // when what is known was last read whole, Unix nanoseconds

	mu  sync.RWMutex
	why map[string]ending
}

type ending struct {
	failure *store.Failure
	until   time.Time // from when on no ticket is good anyway
}

// NewEnded returns it, with what the store knows. Run keeps it up to date.
func NewEnded(ctx context.Context, sessions store.Table[store.Session], bus *nats.Conn, log *slog.Logger) (*Ended, error) {
	e := &Ended{sessions: sessions, bus: bus, log: log, why: map[string]ending{}}
	return e, e.read(ctx)
}

// Why tells why a session has ended; nil if it has not.
func (e *Ended) Why(sessionID string) *store.Failure {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.why[sessionID].failure
}

// Stale tells that the store could not be read for so long that a session may have
// ended without this node knowing: no ticket is to be believed then.
func (e *Ended) Stale(now time.Time) bool {
	return now.Sub(time.Unix(0, e.asOf.Load())) >= endedStale
}

// Run listens and polls until ctx ends.
func (e *Ended) Run(ctx context.Context) error {
	sub, err := events.SessionEnded.Listen(e.bus, func(ev events.Session) { e.hear(ctx, ev.SessionID) })
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the bus may be gone already
	poll := time.NewTicker(endedPoll)
	defer poll.Stop()
	for {
		if err := e.readSoon(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("the sessions that ended cannot be read", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		}
	}
}

// hear reads one session that is said to have ended.
func (e *Ended) hear(ctx context.Context, id string) {
	rec, err := e.sessions.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound): // its tickets have expired
	case err != nil:
		e.log.Debug("a session that ended cannot be read; the poll will find it", "session", id, "err", err)
	default:
		e.mu.Lock()
		defer e.mu.Unlock()
		e.note(&rec)
	}
}

// readSoon is read, which a store that does not answer must not hold up.
func (e *Ended) readSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endedStale/4)
	defer cancel()
	return e.read(ctx)
}

// read takes in every ended session of the store, and forgets those of which
// no ticket is good any more.
func (e *Ended) read(ctx context.Context) error {
	asked := time.Now()
	var found []store.Session
	for rec, err := range store.All(ctx, e.sessions, store.Query{State: string(store.SessionEnded)}) {
		if err != nil {
			return fmt.Errorf("list the ended sessions: %w", err)
		}
		found = append(found, rec)
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range found {
		e.note(&found[i])
	}
	for id, end := range e.why {
		if !now.Before(end.until) {
			delete(e.why, id)
		}
	}
	e.asOf.Store(asked.UnixNano())
	return nil
}

// note keeps the end of a session; e.mu is held.
func (e *Ended) note(rec *store.Session) {
	if rec.State == store.SessionEnded && rec.Failure != nil {
		// A node whose clock is fast must not forget it while its ticket counts.
		e.why[rec.ID] = ending{rec.Failure, rec.Ticket.Add(overFor)}
	}
}

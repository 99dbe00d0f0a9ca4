package sessions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/access/decisions"
	"streamgate/app/access/rules"
	"streamgate/app/rpc"
	"streamgate/store"
)

// opening is a session on its way in: whoever it is for is admitted, but has no
// place yet.
type opening struct {
	rec    store.Session
	due    time.Time      // when its rule is to be asked again
	most   streamLimits   // of those who play
	before *store.Session // whose place it takes; nil: a place of its own
	code   string         // the ticket code that it uses up; "" for none
	rule   *rules.Rule    // by which its viewer was admitted, if a code is used
	viewer rules.Viewer
}

// open gives a session its place, stores it and signs its ticket. Each step
// that is done is undone if a later one fails: a place is not lost to a session
// that never was, nor a use of a code. Once begun it does not depend on the
// caller waiting.
func (m *Manager) open(ctx context.Context, o *opening) (*rpc.Session, error) {
	ctx = context.WithoutCancel(ctx)
	o.rec.Ticket = m.ticketEnd(&o.rec)
	p, err := liveSessionOf(&o.rec)
	if err != nil {
		return nil, err
	}
	p.due = o.due
	if err := m.takeOver(ctx, o.before); err != nil {
		return nil, err
	}
	if err := m.place(ctx, p, o); err != nil {
		return nil, errors.Join(err, m.restore(ctx, o.before))
	}
	if o.before != nil {
		m.announceEnd(o.before, reasonResumed)
	}
	return m.issue(ctx, &o.rec), nil
}

// place puts a session among the live sessions and into the store, and takes it off again
// if that fails.
func (m *Manager) place(ctx context.Context, p *liveSession, o *opening) error {
	reached, err := m.enter(ctx, p, o.most)
	if err != nil {
		return fmt.Errorf("count who watches: %w", err)
	}
	if err := limitError(reached, o.most); err != nil {
		return err
	}
	if err := m.useCode(ctx, o); err != nil {
		m.live.drop(p.id)
		m.leave(ctx, p)
		return err
	}
	if err := m.Catalog.Sessions.Create(ctx, o.rec); err != nil {
		m.live.drop(p.id)
		m.leave(ctx, p)
		return errors.Join(fmt.Errorf("store a session: %w", err), m.refund(ctx, o.code))
	}
	m.announceStart(p)
	// What changed since the decision has asked only those among the live sessions.
	if err := m.stillAdmitted(ctx, p); err != nil {
		return errors.Join(err, m.refund(ctx, o.code))
	}
	return nil
}

// placeRetryAfter is after how long it is worth asking for a place again.
const placeRetryAfter = 30 * time.Second

// limitError is the refusal of a session for which there is no place.
func limitError(c limitReached, most streamLimits) error {
	switch c {
	case nodeLimit:
		return rpc.RetryErrorf(placeRetryAfter, connect.CodeResourceExhausted, "too_many_sessions",
			"Too many people are watching here: try again later.")
	case walletLimit:
		return rpc.RetryErrorf(placeRetryAfter, connect.CodeResourceExhausted, "too_many_streams",
			"This wallet is watching %d videos already, which is the most: end one of them, or wait a little after closing it.", most.wallet)
	case videoLimit:
		return rpc.RetryErrorf(placeRetryAfter, connect.CodeResourceExhausted, "too_many_viewers",
			"This video has %d viewers already, which is the most: try again later.", most.video)
	}
	return nil
}

// takeOver ends the session whose place another takes, for one taker only, and
// notes in before how it was. Nobody is told yet.
func (m *Manager) takeOver(ctx context.Context, before *store.Session) error {
	if before == nil {
		return nil
	}
	_, err := m.Catalog.Sessions.Update(ctx, before.ID, func(rec *store.Session) error {
		if !m.canResume(rec) {
			return errOver
		}
		*before = *rec
		rec.State = store.SessionEnded
		rec.Failure = &store.Failure{Code: reasonResumed, Message: "The video goes on in another place."}
		return nil
	})
	switch {
	case errors.Is(err, errOver), errors.Is(err, store.ErrNotFound):
		return rpc.Errorf(connect.CodeAborted, reasonResumed, "The video goes on in another place: try again.")
	case err != nil:
		return fmt.Errorf("take over session %s: %w", before.ID, err)
	}
	m.live.drop(before.ID)
	if p, err := liveSessionOf(before); err == nil {
		m.leave(ctx, p)
	}
	return nil
}

// restore undoes takeOver.
func (m *Manager) restore(ctx context.Context, before *store.Session) error {
	if before == nil {
		return nil
	}
	_, err := m.Catalog.Sessions.Update(ctx, before.ID, func(rec *store.Session) error {
		rec.State, rec.Failure = before.State, before.Failure
		return nil
	})
	if err != nil {
		return fmt.Errorf("give back session %s: %w", before.ID, err)
	}
	if before.State != store.SessionLive {
		return nil
	}
	p, err := liveSessionOf(before)
	if err == nil {
		m.live.put(p)
		m.stay(ctx, p, before.Ticket)
	}
	return err
}

// useCode uses up the code that the viewer is admitted by; if another was
// quicker, they are refused after all.
func (m *Manager) useCode(ctx context.Context, o *opening) error {
	if o.code == "" {
		return nil
	}
	err := m.redeem(ctx, o.rule, o.code)
	if !errors.Is(err, errUsed) {
		return err
	}
	proved, err := m.checkCode(ctx, o.rule, o.code)
	if err != nil {
		return err
	}
	maps.Copy(o.viewer.Proofs, proved)
	d := m.Decider.Decide(ctx, o.rule, o.viewer)
	if d.Admit { // it was a use of another leaf's
		return nil
	}
	return decisions.Refusal(d, o.viewer)
}

package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// opening is a session on its way in: whoever it is for is admitted, but has no
// place yet.
type opening struct {
	rec    store.Session
	due    time.Time      // when its rule is to be asked again
	most   limits         // of those who play
	before *store.Session // whose place it takes; nil: a place of its own
	code   string         // the ticket code that it uses up; "" for none
	rule   *Rule          // by which its viewer was admitted, if a code is used
	viewer Viewer
}

// open gives a session its place, stores it and signs its ticket. Each step
// that is done is undone if a later one fails: a place is not lost to a session
// that never was, nor a use of a code. Once begun it does not depend on the
// caller waiting.
func (s *Service) open(ctx context.Context, o *opening) (*rpc.Session, error) {
	ctx = context.WithoutCancel(ctx)
	o.rec.Ticket = s.ticketEnd(&o.rec)
	p, err := playingOf(&o.rec)
	if err != nil {
		return nil, err
	}
	p.due = o.due
	if err := s.takeOver(ctx, o.before); err != nil {
		return nil, err
	}
	if err := s.seat(ctx, p, o); err != nil {
		return nil, errors.Join(err, s.giveBack(ctx, o.before))
	}
	if o.before != nil {
		s.announceEnd(o.before, reasonResumed)
	}
	return s.issue(ctx, &o.rec), nil
}

// seat puts a session on the roster and into the store, and takes it off again
// if that fails.
func (s *Service) seat(ctx context.Context, p *playing, o *opening) error {
	if err := crowded(s.roster.enter(p, o.most, time.Now()), o.most); err != nil {
		return err
	}
	if err := s.useCode(ctx, o); err != nil {
		s.roster.drop(p.id)
		return err
	}
	if err := s.Catalog.Sessions.Create(ctx, o.rec); err != nil {
		s.roster.drop(p.id)
		return errors.Join(fmt.Errorf("store a session: %w", err), s.refund(ctx, o.code))
	}
	// What changed since the decision has asked only those on the roster.
	if err := s.stillAdmitted(ctx, p); err != nil {
		return errors.Join(err, s.refund(ctx, o.code))
	}
	return nil
}

// placeFrees is after how long it is worth asking for a place again.
const placeFrees = 30 * time.Second

// crowded is the refusal of a session for which there is no place.
func crowded(c crowd, most limits) error {
	switch c {
	case crowdNode:
		return rpc.RetryErrorf(placeFrees, connect.CodeResourceExhausted, "too_many_sessions",
			"Too many people are watching here: try again later.")
	case crowdWallet:
		return rpc.RetryErrorf(placeFrees, connect.CodeResourceExhausted, "too_many_streams",
			"This wallet is watching %d videos already, which is the most: end one of them, or wait a little after closing it.", most.wallet)
	case crowdVideo:
		return rpc.RetryErrorf(placeFrees, connect.CodeResourceExhausted, "too_many_viewers",
			"This video has %d viewers already, which is the most: try again later.", most.video)
	}
	return nil
}

// takeOver ends the session whose place another takes, for one taker only, and
// notes in before how it was. Nobody is told yet.
func (s *Service) takeOver(ctx context.Context, before *store.Session) error {
	if before == nil {
		return nil
	}
	_, err := s.Catalog.Sessions.Update(ctx, before.ID, func(rec *store.Session) error {
		if !canResume(rec) {
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
	s.roster.drop(before.ID)
	return nil
}

// giveBack undoes takeOver.
func (s *Service) giveBack(ctx context.Context, before *store.Session) error {
	if before == nil {
		return nil
	}
	_, err := s.Catalog.Sessions.Update(ctx, before.ID, func(rec *store.Session) error {
		rec.State, rec.Failure = before.State, before.Failure
		return nil
	})
	if err != nil {
		return fmt.Errorf("give back session %s: %w", before.ID, err)
	}
	if before.State != store.SessionLive {
		return nil
	}
	p, err := playingOf(before)
	if err == nil {
		s.roster.put(p)
	}
	return err
}

// useCode uses up the code that the viewer is admitted by; if another was
// quicker, they are refused after all.
func (s *Service) useCode(ctx context.Context, o *opening) error {
	if o.code == "" {
		return nil
	}
	err := s.redeem(ctx, o.rule, o.code)
	if !errors.Is(err, errUsed) {
		return err
	}
	proved, err := s.checkCode(ctx, o.rule, o.code)
	if err != nil {
		return err
	}
	maps.Copy(o.viewer.Proofs, proved)
	d := s.decide(ctx, o.rule, o.viewer)
	if d.Admit { // it was a use of another leaf's
		return nil
	}
	return refusal(d, o.viewer)
}

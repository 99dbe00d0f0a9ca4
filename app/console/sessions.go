package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// seenEvery is how exactly a session knows when it was last used: a write per
// request would be too much.
const seenEvery = time.Minute

// bucket is how often something may be tried: so many at once, then so many a minute.
type bucket struct {
	burst  int
	perMin float64
}

// Attempts to sign in: of one client, and at one name from everywhere. The
// second cannot keep its owner out for long.
var (
	clientAttempts = bucket{10, 6}
	nameAttempts   = bucket{20, 10}
)

// From is where somebody signs in from.
type From struct {
	Client string // network address, as far as limits tell clients apart
	Agent  string // User-Agent
}

// SignIn checks a name and a password and begins a session; its token goes into
// a cookie: wrong_password, too_many_attempts.
func (s *Service) SignIn(ctx context.Context, name, password string, from From) (token string, session store.ConsoleSession, err error) {
	if err := s.attempt(ctx, name, from.Client); err != nil {
		return "", session, err
	}
	person, err := s.Catalog.People.Get(ctx, name)
	hash := person.Password
	if errors.Is(err, store.ErrNotFound) {
		hash, err = nobody, nil
	}
	if err != nil {
		return "", session, fmt.Errorf("look up who signs in: %w", err)
	}
	ok, err := s.matches(ctx, password, hash)
	if err != nil {
		return "", session, err
	}
	if !ok || person.Name == "" {
		s.Log.WarnContext(ctx, "sign-in to the console refused", "name", clip(name, 40), "client", from.Client)
		return "", session, rpc.Errorf(connect.CodeUnauthenticated, "wrong_password", "The name or the password is wrong.")
	}
	return s.begin(ctx, person, from)
}

func (s *Service) begin(ctx context.Context, person store.Person, from From) (string, store.ConsoleSession, error) {
	token, id := newToken()
	now := time.Now().UTC()
	session := store.ConsoleSession{
		ID: id, Person: person.Name, Agent: clip(from.Agent, 200), Client: from.Client,
		Created: now, Seen: now, Expires: now.Add(s.SessionTTL),
	}
	if err := s.Catalog.ConsoleSessions.Create(ctx, session); err != nil {
		return "", session, fmt.Errorf("begin a console session: %w", err)
	}
	ctx = rpc.WithIdentity(ctx, rpc.Identity{Scope: Role(person.Role).Scope(), Person: person.Name, Client: from.Client})
	return token, session, s.Audit.Append(ctx, Change{Action: "console_session.create", Object: person.Name})
}

func (s *Service) attempt(ctx context.Context, name, client string) error {
	if err := s.attemptBy(ctx, client); err != nil {
		return err
	}
	return s.allow(ctx, "console/name/"+idOf(name), nameAttempts)
}

// attemptBy counts a client's attempt at no name in particular.
func (s *Service) attemptBy(ctx context.Context, client string) error {
	return s.allow(ctx, "console/client/"+client, clientAttempts)
}

func (s *Service) allow(ctx context.Context, key string, b bucket) error {
	got, err := s.Cache.Allow(ctx, key, b.perMin/60, b.burst)
	if err != nil {
		return fmt.Errorf("count the attempts: %w", err)
	}
	if !got.OK {
		wait := got.Next.Truncate(time.Second) + time.Second
		return rpc.RetryErrorf(wait, connect.CodeResourceExhausted, "too_many_attempts", "Too many tries; wait %s and try again.", wait)
	}
	return nil
}

// Visit returns who a session's token belongs to; session_over if it is over or
// never was. Roles are read anew each time.
func (s *Service) Visit(ctx context.Context, token string) (store.Person, store.ConsoleSession, error) {
	var none store.Person
	session, err := s.Catalog.ConsoleSessions.Get(ctx, idOf(token))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return none, session, fmt.Errorf("look up a console session: %w", err)
	}
	now := time.Now().UTC()
	if err != nil || !now.Before(session.Expires) {
		return none, session, errOver()
	}
	person, err := s.Catalog.People.Get(ctx, session.Person)
	if errors.Is(err, store.ErrNotFound) {
		return none, session, errOver()
	}
	if err != nil {
		return none, session, fmt.Errorf("look up who has signed in: %w", err)
	}
	if now.Sub(session.Seen) >= seenEvery {
		session, err = s.Catalog.ConsoleSessions.Update(ctx, session.ID, func(c *store.ConsoleSession) error {
			c.Seen, c.Expires = now, now.Add(s.SessionTTL)
			return nil
		})
		if err != nil { // ended meanwhile
			return none, session, errOver()
		}
	}
	return person, session, nil
}

func errOver() error {
	return rpc.Errorf(connect.CodeUnauthenticated, "session_over", "You are not signed in, or no longer.")
}

// SignOut ends the session of a token; one that is over is nothing to end.
func (s *Service) SignOut(ctx context.Context, token string) error {
	err := s.Catalog.ConsoleSessions.Delete(ctx, idOf(token))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end a console session: %w", err)
	}
	return s.Audit.Append(ctx, Change{Action: "console_session.delete", Object: rpc.Caller(ctx).Person})
}

// Sessions lists who has signed in, newest first: everybody to an admin, else
// the caller's own.
func (s *Service) Sessions(ctx context.Context) ([]store.ConsoleSession, error) {
	who := rpc.Caller(ctx)
	q := store.Query{}
	if who.Scope < rpc.ScopeAdmin {
		q.Parent = who.Person
	}
	var out []store.ConsoleSession
	for c, err := range store.All(ctx, s.Catalog.ConsoleSessions, q) {
		if err != nil {
			return nil, fmt.Errorf("list console sessions: %w", err)
		}
		if time.Now().Before(c.Expires) {
			out = append(out, c)
		}
	}
	return out, nil
}

// EndSession ends a session by its id: session_not_found. Scope: admin, or the
// session's own person.
func (s *Service) EndSession(ctx context.Context, id string) error {
	session, err := s.Catalog.ConsoleSessions.Get(ctx, id)
	if err != nil {
		return rpc.NotFound(err, "session", clip(id, 12))
	}
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil && rpc.Caller(ctx).Person != session.Person {
		return err
	}
	if err := s.Catalog.ConsoleSessions.Delete(ctx, id); err != nil {
		return rpc.NotFound(err, "session", clip(id, 12))
	}
	return s.Audit.Append(ctx, Change{Action: "console_session.delete", Object: session.Person})
}

func (s *Service) endAll(ctx context.Context, name string) error {
	for c, err := range store.All(ctx, s.Catalog.ConsoleSessions, store.Query{Parent: name}) {
		if err == nil {
			err = s.Catalog.ConsoleSessions.Delete(ctx, c.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("end the sessions of %s: %w", name, err)
		}
	}
	return nil
}

// Run forgets sessions and set-up links that have expired, until ctx is done.
func (s *Service) Run(ctx context.Context) error {
	for {
		if err := s.bury(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.Log.Warn("expired console sessions stay for now", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Minute):
		}
	}
}

func (s *Service) bury(ctx context.Context, now time.Time) error {
	for c, err := range store.All(ctx, s.Catalog.ConsoleSessions, store.Query{}) {
		if err == nil && !now.Before(c.Expires) {
			err = s.Catalog.ConsoleSessions.Delete(ctx, c.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/access/decisions"
	"streamgate/app/access/rules"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Why a session ends, besides the reasons of decisions.
const (
	reasonLeft     = "left"
	reasonResumed  = "resumed"
	reasonOperator = "ended_by_operator"
	reasonCodes    = "code_withdrawn"
	reasonKey      = "key_revoked"
	reasonDeleted  = "video_deleted"
)

// RenewSession implements rpc.AccessHandler.
func (m *Manager) RenewSession(ctx context.Context, req *rpc.RenewSessionRequest) (*rpc.Session, error) {
	ticket, rec, err := m.sessionOf(ctx, req.Token)
	if err != nil {
		return nil, err
	}
	if rec.State != store.SessionLive {
		return nil, over(&rec)
	}
	if m.justIssued(&rec) {
		return m.issue(ctx, &rec), nil // the newest is as good
	}
	if !ticket.Expires.Equal(rec.Ticket) { // one session is one player
		return nil, ticketRenewed()
	}
	ctx = context.WithoutCancel(ctx)
	p, err := m.watched(&rec)
	if err != nil {
		return nil, err
	}
	if err := m.stillAdmitted(ctx, p); err != nil {
		return nil, err
	}
	memory, err := json.Marshal(m.live.viewerOf(p).Earlier)
	if err != nil {
		return nil, fmt.Errorf("renew session %s: %w", rec.ID, err)
	}
	_, err = m.Catalog.Sessions.Update(ctx, rec.ID, func(now *store.Session) error {
		switch rec = *now; {
		case rec.State != store.SessionLive:
			return errOver
		case !ticket.Expires.Equal(rec.Ticket):
			return errRenewed
		}
		now.Ticket, now.Memory = m.ticketEnd(now), memory
		rec = *now
		return nil
	})
	switch {
	case errors.Is(err, errOver), errors.Is(err, store.ErrNotFound):
		m.live.drop(rec.ID)
		return nil, over(&rec)
	case errors.Is(err, errRenewed) && !m.justIssued(&rec):
		return nil, ticketRenewed()
	case errors.Is(err, errRenewed): // by the same player, on another node
	case err != nil:
		return nil, fmt.Errorf("renew session %s: %w", rec.ID, err)
	}
	m.live.renewed(rec.ID, rec.Ticket)
	m.stay(ctx, p, rec.Ticket)
	return m.issue(ctx, &rec), nil
}

// renewPause is how long after a ticket was issued its session gets no other:
// an answer that was lost is given again.
const renewPause = 5 * time.Second

// justIssued tells whether a session's newest ticket was.
func (m *Manager) justIssued(rec *store.Session) bool {
	return m.now().Sub(rec.Ticket.Add(-m.TicketTTL)) < renewPause
}

// errRenewed: the ticket has been renewed meanwhile.
var errRenewed = errors.New("the ticket has been renewed")

func ticketRenewed() error {
	return rpc.Errorf(connect.CodeUnauthenticated, "ticket_renewed", "Another player goes on with this session: open a new one.")
}

// watched returns a live session of those that are watched; one that another node has made
// is put there. It has its place already: no limit counts it again.
func (m *Manager) watched(rec *store.Session) (*liveSession, error) {
	if p := m.live.get(rec.ID); p != nil {
		return p, nil
	}
	p, err := liveSessionOf(rec)
	if err != nil {
		return nil, err
	}
	if !m.live.put(p) {
		return m.watched(rec) // it has come meanwhile
	}
	return p, nil
}

// errOver: the session has ended meanwhile.
var errOver = errors.New("the session is over")

// stillAdmitted asks a session's rule, and ends the session if it says no.
func (m *Manager) stillAdmitted(ctx context.Context, p *liveSession) error {
	why, _, err := m.ask(ctx, []*liveSession{p}, retryPauses[:])
	if err != nil {
		return err
	}
	v := why[p]
	if v == nil {
		return nil
	}
	if err := m.end(ctx, p.id, v.failure); err != nil {
		return err
	}
	if v.decision != nil {
		return decisions.Refusal(*v.decision, m.live.viewerOf(p))
	}
	return sessionEnded(v.failure)
}

// LeaveSession implements rpc.AccessHandler.
func (m *Manager) LeaveSession(ctx context.Context, req *rpc.LeaveSessionRequest) (*rpc.LeaveSessionResponse, error) {
	_, rec, err := m.sessionOf(ctx, req.Token)
	if err != nil {
		return nil, err
	}
	if rec.KeyID != "" || rec.Preview { // a link that others may be using
		return &rpc.LeaveSessionResponse{}, nil
	}
	err = m.end(ctx, rec.ID, &store.Failure{Code: reasonLeft, Message: "The viewer has left."})
	return &rpc.LeaveSessionResponse{}, err
}

// ListSessions implements rpc.AccessHandler.
func (m *Manager) ListSessions(ctx context.Context, req *rpc.ListSessionsRequest) (*rpc.ListSessionsResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	q, err := rpc.Page(req.Limit, req.Cursor)
	if err != nil {
		return nil, err
	}
	switch state := store.SessionState(req.State); state {
	case "", store.SessionLive, store.SessionEnded, store.SessionPast:
	default:
		return nil, rpc.Invalid("invalid_state", "There is no session state %q; there are live, ended and past.", req.State)
	}
	q.Parent, q.State = req.VideoId, req.State
	recs, next, err := m.Catalog.Sessions.List(ctx, q)
	if err != nil {
		return nil, rpc.ListError(err, "sessions")
	}
	out := &rpc.ListSessionsResponse{NextCursor: next}
	for i := range recs {
		out.Sessions = append(out.Sessions, viewSession(&recs[i]))
	}
	return out, nil
}

// EndSession implements rpc.AccessHandler.
func (m *Manager) EndSession(ctx context.Context, req *rpc.EndSessionRequest) (*rpc.EndSessionResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if _, err := m.Catalog.Sessions.Get(ctx, req.Id); err != nil {
		return nil, rpc.NotFound(err, "session", req.Id)
	}
	err := m.end(ctx, req.Id, &store.Failure{Code: reasonOperator, Message: "The operator has ended this session."})
	return &rpc.EndSessionResponse{}, err
}

// end ends a session everywhere: first in the store, then by an event. Of one
// that is over or gone already nothing changes. It stays among the live sessions until it
// has ended, and once begun does not depend on the caller waiting.
func (m *Manager) end(ctx context.Context, id string, why *store.Failure) error {
	rec, err := m.Catalog.Sessions.Update(context.WithoutCancel(ctx), id, func(rec *store.Session) error {
		if rec.State != store.SessionLive {
			return errOver
		}
		rec.State, rec.Failure = store.SessionEnded, why
		return nil
	})
	gone := errors.Is(err, errOver) || errors.Is(err, store.ErrNotFound)
	if err != nil && !gone {
		return fmt.Errorf("end session %s: %w", id, err)
	}
	m.live.drop(id)
	if !gone {
		if p, err := liveSessionOf(&rec); err == nil {
			m.leave(context.WithoutCancel(ctx), p)
		}
		m.announceEnd(&rec, why.Code)
	}
	return nil
}

// announceEnd counts the end of a session, and tells the streaming nodes.
func (m *Manager) announceEnd(rec *store.Session, reason string) {
	m.metrics.ended.WithLabelValues(reason).Inc()
	events.SessionEnded.Announce(m.Bus, m.Log, events.Session{SessionID: rec.ID, VideoID: rec.VideoID, Reason: reason})
}

// sessionOf returns the session of a ticket that is good: ticket_expired,
// ticket_invalid.
func (m *Manager) sessionOf(ctx context.Context, token string) (Ticket, store.Session, error) {
	ticket, err := m.Tickets.Verify(token, m.now())
	switch {
	case errors.Is(err, ErrExpired):
		return ticket, store.Session{}, rpc.Errorf(connect.CodeUnauthenticated, "ticket_expired", "This session has expired: open a new one.")
	case err != nil:
		return ticket, store.Session{}, rpc.Errorf(connect.CodeUnauthenticated, "ticket_invalid", "This is not a valid ticket: open a session.")
	}
	rec, err := m.Catalog.Sessions.Get(ctx, ticket.SessionID)
	if errors.Is(err, store.ErrNotFound) {
		return ticket, rec, rpc.Errorf(connect.CodeUnauthenticated, "ticket_expired", "This session is over: open a new one.")
	}
	return ticket, rec, err
}

// over is what the viewer of an ended session is told.
func over(rec *store.Session) error {
	if rec.Failure == nil {
		return rpc.Errorf(connect.CodeUnauthenticated, "ticket_expired", "This session is over: open a new one.")
	}
	return sessionEnded(rec.Failure)
}

func sessionEnded(why *store.Failure) error {
	return rpc.Errorf(connect.CodePermissionDenied, why.Code, "%s", why.Message)
}

// ticketEnd is when a ticket that is issued now expires. A link that a key has
// made is for players that cannot renew: its ticket is the session.
func (m *Manager) ticketEnd(rec *store.Session) time.Time {
	if rec.KeyID != "" || rec.Preview {
		return rec.Expires
	}
	end := m.now().UTC().Add(m.TicketTTL).Truncate(time.Second)
	if end.After(rec.Expires) {
		end = rec.Expires
	}
	return end
}

// issue signs a session's ticket, and says where to play.
func (m *Manager) issue(ctx context.Context, rec *store.Session) *rpc.Session {
	out := viewSession(rec)
	out.Token = m.Tickets.Sign(Ticket{SessionID: rec.ID, VideoID: rec.VideoID, Expires: rec.Ticket})
	play := rpc.BaseURL(ctx) + "/s/" + out.Token + "/"
	out.HlsUrl, out.DashUrl, out.WatchUrl = play+"master.m3u8", play+"manifest.mpd", play
	return out
}

func viewSession(rec *store.Session) *rpc.Session {
	out := &rpc.Session{
		Id: rec.ID, VideoId: rec.VideoID, Wallet: rec.Wallet, Preview: rec.Preview, State: string(rec.State),
		ExpiresAt: timestamppb.New(rec.Ticket), EndsAt: timestamppb.New(rec.Expires), CreatedAt: timestamppb.New(rec.Created),
	}
	if rec.Failure != nil {
		out.Error = &rpc.Failure{Code: rec.Failure.Code, Message: rec.Failure.Message}
	}
	return out
}

// viewerOf is who plays a recorded session.
func viewerOf(rec *store.Session) (rules.Viewer, error) {
	viewer, err := decisions.ParseViewer(rec.Wallet, rec.Vaults)
	if err != nil {
		return viewer, fmt.Errorf("session %s: %w", rec.ID, err)
	}
	viewer.Proofs = proofsOf(rec)
	if len(rec.Memory) > 0 {
		if err := json.Unmarshal(rec.Memory, &viewer.Earlier); err != nil {
			return viewer, fmt.Errorf("memory of session %s: %w", rec.ID, err)
		}
	}
	return viewer, nil
}

func proofsOf(rec *store.Session) map[string]rules.Proof {
	proofs := map[string]rules.Proof{}
	for key, proof := range rec.Proofs {
		proofs[key] = rules.Proof(proof)
	}
	return proofs
}

// EndOfKey ends the sessions that a key has made.
func (m *Manager) EndOfKey(ctx context.Context, id string) error {
	for rec, err := range store.All(ctx, m.Catalog.Sessions, store.Query{State: string(store.SessionLive)}) {
		if err == nil && rec.KeyID == id {
			err = m.end(ctx, rec.ID, keyRevoked())
		}
		if err != nil {
			return fmt.Errorf("end the sessions of key %s: %w", id, err)
		}
	}
	return nil
}

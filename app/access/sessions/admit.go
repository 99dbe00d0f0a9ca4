package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/access/decisions"
	"streamgate/app/access/rules"
	"streamgate/app/rpc"
	"streamgate/store"
)

// CreateSession implements rpc.AccessHandler.
func (m *Manager) CreateSession(ctx context.Context, req *rpc.CreateSessionRequest) (*rpc.Session, error) {
	v, err := m.Catalog.Videos.Get(ctx, req.VideoId)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.VideoId)
	}
	if v.State == store.VideoFailed {
		return nil, rpc.Errorf(connect.CodeFailedPrecondition, "video_failed",
			"The video could not be made; it has nothing to play.")
	}
	if rpc.Caller(ctx).Scope >= rpc.ScopeRead {
		return m.preview(ctx, req, &v)
	}
	return m.admit(ctx, req, &v)
}

// preview makes the session of a key: a link for whoever gets it. The owner
// may watch anything; as a wallet, what that wallet may watch.
func (m *Manager) preview(ctx context.Context, req *rpc.CreateSessionRequest, v *store.Video) (*rpc.Session, error) {
	viewer, err := decisions.ParseViewer(req.Wallet, req.Vaults)
	if err != nil {
		return nil, err
	}
	if err := m.keyCounts(ctx); err != nil {
		return nil, err
	}
	rec := m.newSession(req.VideoId, viewer)
	rec.KeyID, rec.Preview = rpc.Caller(ctx).KeyID, viewer.Wallet.IsZero()
	if rec.KeyID == "" {
		rec.KeyID = byOperator
	}
	due := m.now().Add(m.Recheck)
	if !rec.Preview {
		rule, err := m.Decider.RuleOfVideo(ctx, v)
		if err != nil {
			return nil, err
		}
		d := m.Decider.Decide(ctx, rule, viewer)
		if !d.Admit {
			return nil, decisions.Refusal(d, viewer)
		}
		due = m.nextCheck(&d, m.now())
		if err := remember(&rec, d.Memory); err != nil {
			return nil, err
		}
	}
	return m.open(ctx, &opening{rec: rec, due: due})
}

// admit makes a viewer's own session, if the video's rule admits them.
func (m *Manager) admit(ctx context.Context, req *rpc.CreateSessionRequest, v *store.Video) (*rpc.Session, error) {
	if req.Wallet != "" {
		return nil, rpc.Errorf(connect.CodePermissionDenied, "permission_denied",
			"Viewing as a wallet needs a key; sign in to watch with your own.")
	}
	if err := m.Limits.Question(ctx); err != nil {
		return nil, err
	}
	rule, err := m.Decider.RuleOfVideo(ctx, v)
	if err != nil {
		return nil, err
	}
	viewer, err := decisions.ParseViewer(rpc.Caller(ctx).Wallet, req.Vaults)
	if err != nil {
		return nil, err
	}
	before, err := m.resumable(ctx, req, viewer)
	if err != nil {
		return nil, err
	}
	d, code, err := m.judge(ctx, req, rule, &viewer, before)
	if err != nil {
		return nil, err
	}
	if !d.Admit {
		return nil, m.refuse(req.VideoId, d, viewer)
	}
	o := &opening{
		rec: m.newSession(req.VideoId, viewer), due: m.nextCheck(&d, m.now()),
		most: streamLimits{m.MaxPerWallet, m.MaxPerVideo}, before: before, rule: rule, viewer: viewer,
	}
	if code {
		o.code = req.Code
	}
	// What was proved once does not last longer for being taken over.
	if before != nil && len(before.Proofs) > 0 && before.Expires.Before(o.rec.Expires) {
		o.rec.Expires = before.Expires
	}
	if err := remember(&o.rec, d.Memory); err != nil {
		return nil, err
	}
	return m.open(ctx, o)
}

// judge decides about a viewer, with all that they prove. A code counts, and
// code is true, only if they are not admitted without it: it would be used up.
func (m *Manager) judge(ctx context.Context, req *rpc.CreateSessionRequest, rule *rules.Rule, viewer *rules.Viewer, before *store.Session) (d rules.Decision, code bool, err error) {
	viewer.Proofs = map[string]rules.Proof{}
	if before != nil {
		viewer.Proofs = proofsOf(before)
	}
	if req.Password != "" || req.Code != "" {
		if err := m.Limits.Attempt(ctx, req.VideoId); err != nil {
			return d, false, err
		}
	}
	if req.Password != "" {
		proved, err := m.Passwords.Check(ctx, rule, req.Password)
		if err != nil {
			return d, false, err
		}
		addProofs(viewer.Proofs, proved)
	}
	if d = m.Decider.Decide(ctx, rule, *viewer); d.Admit || req.Code == "" {
		return d, false, nil
	}
	proved, err := m.checkCode(ctx, rule, req.Code)
	if err != nil {
		return d, false, err
	}
	addProofs(viewer.Proofs, proved)
	d = m.Decider.Decide(ctx, rule, *viewer)
	return d, d.Admit, nil
}

// resumable returns the session that a viewer may go on with: one of theirs, of
// the same video, that was not ended for a reason; nil if there is none, or none
// any more.
func (m *Manager) resumable(ctx context.Context, req *rpc.CreateSessionRequest, viewer rules.Viewer) (*store.Session, error) {
	if req.Resume == "" {
		return nil, nil
	}
	ticket, err := m.Tickets.genuine(req.Resume)
	if err != nil || ticket.VideoID != req.VideoId {
		return nil, nil
	}
	rec, err := m.Catalog.Sessions.Get(ctx, ticket.SessionID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up a session: %w", err)
	}
	own, err := viewerOf(&rec)
	// With another wallet it is another viewer, who has proved nothing yet.
	if err != nil || own.Wallet != viewer.Wallet && !own.Wallet.IsZero() || !m.canResume(&rec) {
		return nil, err
	}
	return &rec, nil
}

// canResume tells whether a viewer may go on with a session. One that was taken
// over already is another's; one that the operator ended stays ended.
func (m *Manager) canResume(rec *store.Session) bool {
	if rec.KeyID != "" || !m.now().Before(rec.Expires) {
		return false
	}
	if rec.Failure == nil {
		return true
	}
	switch rec.Failure.Code {
	case reasonResumed, reasonOperator, reasonCodes:
		return false
	}
	return true
}

// addProofs adds what was proved now: a wrong word takes nothing back.
func addProofs(proofs, now map[string]rules.Proof) {
	for key, proof := range now {
		if proofs[key] != rules.ProofGood {
			proofs[key] = proof
		}
	}
}

// newSession is a session that begins now.
func (m *Manager) newSession(videoID string, viewer rules.Viewer) store.Session {
	now := m.now().UTC()
	rec := store.Session{
		ID: store.NewID(), VideoID: videoID, State: store.SessionLive, Created: now,
		Expires: now.Add(m.SessionTTL).Truncate(time.Second),
	}
	if !viewer.Wallet.IsZero() {
		rec.Wallet = viewer.Wallet.String()
	}
	for _, vault := range viewer.Vaults {
		rec.Vaults = append(rec.Vaults, vault.String())
	}
	for key, proof := range viewer.Proofs {
		if proof != rules.ProofGood {
			continue
		}
		if rec.Proofs == nil {
			rec.Proofs = map[string]string{}
		}
		rec.Proofs[key] = string(proof)
	}
	return rec
}

// remember puts into the record what the next decision may stand on.
func remember(rec *store.Session, memory map[string]rules.Earlier) error {
	var err error
	if rec.Memory, err = json.Marshal(memory); err != nil {
		return fmt.Errorf("remember a decision: %w", err)
	}
	return nil
}

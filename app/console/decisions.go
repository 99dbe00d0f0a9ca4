package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// DecisionsConfig is what Decisions needs.
type DecisionsConfig struct {
	Catalog store.Catalog
	Cache   store.Cache // counts how many are kept, for all nodes together
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
}

// Decisions remembers for a week whether those who asked to watch were let in,
// and why.
//
// Whoever asks waits for nothing: what is decided is noted in memory, and Run
// writes it every two seconds, many in one commit. So kill -9 costs the last two
// seconds. Equal decisions within a minute are one record with a count.
//
// Space is bounded whatever strangers do: of admissions and of refusals each, of
// each video and of each wallet only so many are kept (decisionBounds); what is
// more is counted in a record of its own. What was kept stays for its week: no
// flood pushes it out. Safe for concurrent use.
type Decisions struct {
	cfg DecisionsConfig

	mu     sync.Mutex
	open   map[decisionKey]*openDecision
	closed []*openDecision // to which no more are added, with a count to be written
}

// decisionKey tells which decisions are equal.
type decisionKey struct {
	video, wallet, reason string
	outcome               store.DecisionOutcome
	preview               bool
}

// openDecision is a record to which equal decisions are still added.
type openDecision struct {
	store.Decision
	key     decisionKey
	written int // of Count; 0: it is not in the store
}

const (
	decisionsWritten = 2 * time.Second
	decisionsEqual   = time.Minute
	leftOutEqual     = 10 * time.Minute
	mostVaults       = 4 // more than these do not count
	// maxOpenDecisions bounds what is in memory.
	maxOpenDecisions = 1000
)

// NewDecisions returns the decisions of a deployment. Run keeps them.
func NewDecisions(cfg DecisionsConfig) *Decisions {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Decisions{cfg: cfg, open: map[decisionKey]*openDecision{}}
}

// watched is access whose decisions are remembered.
type watched struct {
	rpc.AccessClient
	decisions *Decisions
}

// Access returns access with the decisions about sessions remembered.
func (d *Decisions) Access(c rpc.AccessClient) rpc.AccessClient { return &watched{c, d} }

// CreateSession implements rpc.AccessClient.
func (w *watched) CreateSession(ctx context.Context, req *rpc.CreateSessionRequest) (*rpc.Session, error) {
	out, err := w.AccessClient.CreateSession(ctx, req)
	if decision, ok := decisionOf(ctx, req, err); ok {
		w.decisions.note(decision)
	}
	return out, err
}

// decisionOf is what was decided about a session; false if nothing was: there is
// no such video, or too many asked.
func decisionOf(ctx context.Context, req *rpc.CreateSessionRequest, err error) (store.Decision, bool) {
	who := rpc.Caller(ctx)
	out := store.Decision{
		VideoID: clip(req.VideoId, 40), Outcome: store.DecisionAdmitted, Wallet: who.Wallet, Preview: who.Scope != rpc.ScopeNone, Client: clip(who.Client, 64),
	}
	if req.Wallet != "" {
		out.Wallet = clip(req.Wallet, 42)
	}
	if err != nil {
		out.Outcome = store.DecisionRefused
		out.Reason, _ = rpc.Reason(err)
	}
	if out.Reason != "private" { // which is said before anybody has looked at them
		out.Vaults = req.Vaults[:min(len(req.Vaults), mostVaults)]
	}
	if err == nil {
		return out, true
	}
	_, out.Why, _ = strings.Cut(err.Error(), ": ") // without Connect's code
	out.Why = clip(out.Why, 500)
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated, connect.CodeUnavailable:
	case connect.CodePermissionDenied:
		if out.Reason == "permission_denied" { // it asked for another's wallet
			return out, false
		}
	case connect.CodeResourceExhausted:
		if out.Reason == "rate_limited" || out.Reason == "too_many_attempts" {
			return out, false
		}
	default:
		return out, false
	}
	return out, out.Reason != ""
}

// note adds a decision to its equals, or to those to be written.
func (d *Decisions) note(one store.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := decisionKey{one.VideoID, one.Wallet, one.Reason, one.Outcome, one.Preview}
	if d.open[key] == nil && len(d.open) >= maxOpenDecisions {
		d.leaveOut(one.Outcome, 1)
		return
	}
	d.add(key, one, 1)
}

// add counts a decision so many times. d.mu is held.
func (d *Decisions) add(key decisionKey, one store.Decision, times int) {
	now := d.cfg.Now().UTC()
	o := d.open[key]
	if o != nil && o.over(now) {
		d.close(o)
		o = nil
	}
	if o == nil {
		one.ID, one.First = store.NewID(), now
		o = &openDecision{Decision: one, key: key}
		d.open[key] = o
	}
	o.Count += times
	o.Last, o.Client, o.Vaults = now, one.Client, one.Vaults
}

// over tells whether the next equal decision is another record.
func (o *openDecision) over(now time.Time) bool {
	equal := decisionsEqual
	if o.Outcome == store.DecisionLeftOut {
		equal = leftOutEqual
	}
	return now.Sub(o.First) >= equal
}

// close adds no more to a record. d.mu is held.
func (d *Decisions) close(o *openDecision) {
	delete(d.open, o.key)
	if o.Count == o.written {
		return
	}
	if len(d.closed) >= maxOpenDecisions { // the store has failed for a while
		d.leaveOut(o.Outcome, o.Count-o.written)
		return
	}
	d.closed = append(d.closed, o)
}

// leaveOut counts what is not kept. d.mu is held.
func (d *Decisions) leaveOut(outcome store.DecisionOutcome, times int) {
	if outcome == store.DecisionLeftOut {
		return
	}
	d.add(decisionKey{reason: string(outcome), outcome: store.DecisionLeftOut}, store.Decision{
		Outcome: store.DecisionLeftOut, Reason: string(outcome), Why: "More came at once than are kept one by one.",
	}, times)
}

// DecisionQuery narrows and pages the list of decisions.
type DecisionQuery struct {
	VideoID string
	Wallet  string // in any case
	Outcome store.DecisionOutcome
	Cursor  string
	Limit   int
}

// decisionsLookedAt is how many decisions a page about one wallet looks through:
// there is no index of those.
const decisionsLookedAt = 4000

// List returns decisions, newest first, and the cursor of the next page. A page
// about one wallet may be longer than its limit, or shorter, even empty, with more
// to come. Scope: operator; invalid_cursor.
func (d *Decisions) List(ctx context.Context, q DecisionQuery) (found []store.Decision, next string, err error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, "", err
	}
	page := store.Query{Parent: q.VideoID, State: string(q.Outcome), Cursor: q.Cursor, Limit: q.Limit}
	if q.Wallet != "" {
		page.Limit = store.MaxLimit
	}
	for looked := 0; ; looked += page.Limit {
		recs, next, err := d.cfg.Catalog.Decisions.List(ctx, page)
		if errors.Is(err, store.ErrCursor) {
			return nil, "", rpc.Invalid("invalid_cursor", "The cursor is none of this list; begin at its first page.")
		}
		if err != nil {
			return nil, "", fmt.Errorf("list decisions: %w", err)
		}
		if q.Wallet == "" {
			return recs, next, nil
		}
		for _, rec := range recs {
			if strings.EqualFold(rec.Wallet, q.Wallet) {
				found = append(found, rec)
			}
		}
		if next == "" || len(found) >= q.Limit || looked >= decisionsLookedAt {
			return found, next, nil
		}
		page.Cursor = next
	}
}

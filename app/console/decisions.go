package console

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"streamgate/app/rpc"
)

// keptDecisions is how many decisions are remembered.
const keptDecisions = 200

// Decision is whether somebody who asked for a session was admitted, and why.
type Decision struct {
	At      time.Time
	VideoID string
	Wallet  string // EIP-55, or ""
	Key     bool   // a key or a person of the console asked: a preview
	Client  string
	Admit   bool
	Reason  string // stable word, "" if admitted
	Why     string // for people
}

// Decisions remembers the last of them, since this node was started. Safe for
// concurrent use.
type Decisions struct {
	mu   sync.Mutex
	list []Decision // the oldest first
}

// Last returns them, newest first.
func (d *Decisions) Last() []Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := slices.Clone(d.list)
	slices.Reverse(out)
	return out
}

func (d *Decisions) add(one Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) >= keptDecisions {
		d.list = slices.Delete(d.list, 0, len(d.list)-keptDecisions+1)
	}
	d.list = append(d.list, one)
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
	who := rpc.Caller(ctx)
	one := Decision{
		At: time.Now().UTC(), VideoID: clip(req.VideoId, 40), Wallet: who.Wallet, Key: who.Scope != rpc.ScopeNone,
		Client: who.Client, Admit: err == nil,
	}
	if req.Wallet != "" {
		one.Wallet = clip(req.Wallet, 42)
	}
	if err != nil {
		if one.Reason, _ = rpc.Reason(err); one.Reason == "" {
			return out, err // no decision
		}
		_, one.Why, _ = strings.Cut(err.Error(), ": ") // without Connect's code
	}
	w.decisions.add(one)
	return out, err
}

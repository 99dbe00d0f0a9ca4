package sessions

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/access/rules"
	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	maxCodes = 1000 // of one CreateCodes
	codeLen  = 16   // letters and digits: 80 random bits

	maxCounted = 20000 // codes that ListCodes looks at
)

// CreateCodes implements rpc.AccessHandler.
func (m *Manager) CreateCodes(ctx context.Context, req *rpc.CreateCodesRequest) (*rpc.Codes, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if !rules.ValidName(req.Pool) {
		return nil, rpc.Invalid("invalid_pool", "The pool is %.64q; it must be %s.", req.Pool, rules.NameForm)
	}
	if req.Count < 0 || req.Count > maxCodes {
		return nil, rpc.Invalid("invalid_count", "The count is %d; it must be 1 to %d.", req.Count, maxCodes)
	}
	out := &rpc.Codes{Pool: req.Pool}
	for range max(1, req.Count) {
		code := rand.Text()[:codeLen]
		err := m.Catalog.Codes.Create(ctx, store.Code{ID: codeID(code), Pool: req.Pool, Created: time.Now().UTC()})
		if err != nil {
			return nil, fmt.Errorf("create a code: %w", err)
		}
		out.Codes = append(out.Codes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
	}
	m.Log.InfoContext(ctx, "codes created", "pool", req.Pool, "count", len(out.Codes))
	return out, nil
}

// ListCodes implements rpc.AccessHandler.
func (m *Manager) ListCodes(ctx context.Context, _ *rpc.ListCodesRequest) (*rpc.ListCodesResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	out := &rpc.ListCodesResponse{}
	pools := map[string]*rpc.CodePool{}
	counted := 0
	for code, err := range store.All(ctx, m.Catalog.Codes, store.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("list the codes: %w", err)
		}
		if counted++; counted > maxCounted {
			out.More = true
			break
		}
		pool := pools[code.Pool]
		if pool == nil {
			pool = &rpc.CodePool{Pool: code.Pool}
			pools[code.Pool] = pool
			out.Pools = append(out.Pools, pool)
		}
		count(pool, code)
	}
	slices.SortFunc(out.Pools, func(a, b *rpc.CodePool) int { return strings.Compare(a.Pool, b.Pool) })
	return out, nil
}

// count adds a code to its pool.
func count(pool *rpc.CodePool, code store.Code) {
	pool.Codes++
	if code.Used > 0 {
		pool.Used++
	}
	if pool.CreatedAt == nil || code.Created.After(pool.CreatedAt.AsTime()) {
		pool.CreatedAt = timestamppb.New(code.Created)
	}
}

// DeleteCodes implements rpc.AccessHandler.
func (m *Manager) DeleteCodes(ctx context.Context, req *rpc.DeleteCodesRequest) (*rpc.DeleteCodesResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	n := 0
	for code, err := range store.All(ctx, m.Catalog.Codes, store.Query{Parent: req.Pool}) {
		if err == nil {
			err = m.Catalog.Codes.Delete(ctx, code.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("delete the codes of pool %s: %w", req.Pool, err)
		}
		n++
	}
	if n == 0 {
		return nil, rpc.NotFound(store.ErrNotFound, "pool", req.Pool)
	}
	if err := m.withdraw(ctx, req.Pool); err != nil {
		return nil, fmt.Errorf("end the sessions of pool %s: %w", req.Pool, err)
	}
	m.Log.InfoContext(ctx, "codes deleted", "pool", req.Pool, "count", n)
	return &rpc.DeleteCodesResponse{}, nil
}

// codeID is what is kept of a code. People type them: case, spaces and dashes
// do not matter.
func codeID(code string) string {
	plain := strings.Map(func(c rune) rune {
		if c == ' ' || c == '-' {
			return -1
		}
		return c
	}, strings.ToUpper(code))
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:])
}

// maxCodeText is the longest text that is looked up as a code, bytes.
const maxCodeText = 64

// checkCode tells what a code proves to each ticket leaf of an expanded rule.
// Nothing is used up yet.
func (m *Manager) checkCode(ctx context.Context, rule *rules.Rule, text string) (map[string]rules.Proof, error) {
	var code store.Code
	if len(text) <= maxCodeText {
		var err error
		if code, err = m.Catalog.Codes.Get(ctx, codeID(text)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("look up a code: %w", err)
		}
	}
	proofs := map[string]rules.Proof{}
	rule.Leaves(func(leaf *rules.Rule) {
		if leaf.Ticket != nil { // of two leaves of a pool, the easier counts for both
			addProofs(proofs, map[string]rules.Proof{leaf.Ticket.ProofKey(): proofOf(code, leaf.Ticket)})
		}
	})
	return proofs, nil
}

func proofOf(code store.Code, ask *rules.TicketCode) rules.Proof {
	switch {
	case code.Pool != ask.Pool:
		return rules.ProofWrong
	case code.Used >= ask.Uses:
		return rules.ProofUsed
	default:
		return rules.ProofGood
	}
}

// errUsed: another viewer was quicker.
var errUsed = errors.New("the code has no use left")

// redeem uses a code up once for the leaf of its pool; errUsed.
func (m *Manager) redeem(ctx context.Context, rule *rules.Rule, text string) error {
	_, err := m.Catalog.Codes.Update(ctx, codeID(text), func(code *store.Code) error {
		uses := 0
		rule.Leaves(func(leaf *rules.Rule) {
			if leaf.Ticket != nil && leaf.Ticket.Pool == code.Pool {
				uses = max(uses, leaf.Ticket.Uses)
			}
		})
		if code.Used >= uses {
			return errUsed
		}
		code.Used++
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return errUsed // deleted meanwhile
	}
	return err
}

// refund gives back the use of a code that brought nothing.
func (m *Manager) refund(ctx context.Context, text string) error {
	if text == "" {
		return nil
	}
	_, err := m.Catalog.Codes.Update(ctx, codeID(text), func(code *store.Code) error {
		code.Used = max(0, code.Used-1)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// withdraw ends the sessions that a pool's codes have opened, and takes from
// those that are past what they have proved.
func (m *Manager) withdraw(ctx context.Context, pool string) error {
	key := (&rules.TicketCode{Pool: pool}).ProofKey()
	for rec, err := range store.All(ctx, m.Catalog.Sessions, store.Query{}) {
		if err != nil {
			return err
		}
		if rec.Proofs[key] == "" {
			continue
		}
		if rec.State == store.SessionLive {
			err = m.end(ctx, rec.ID, &store.Failure{Code: reasonCodes, Message: "The ticket code has been withdrawn."})
		} else {
			_, err = m.Catalog.Sessions.Update(ctx, rec.ID, func(rec *store.Session) error {
				delete(rec.Proofs, key)
				return nil
			})
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

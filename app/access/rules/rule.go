// Package rules is the language in which an owner says who may watch a video:
// it reads rules, and decides by them from facts, with reasons for people.
//
// # What
//
//   - A rule is a tree (rule.go), read strictly from JSON (json.go, parse.go,
//     struct.go; rule.schema.json says the same as a JSON Schema), with the named
//     rules it refers to put in their places (expand.go), and checked (check.go).
//   - Questions lists what must be known of a viewer (question.go); Decide makes a
//     decision of the answers (decide.go), with a stable reason (reason.go), a
//     sentence, and what would admit the viewer (sentence.go).
//   - Passwords in rules are kept as slow hashes (password.go).
//
// # Usage
//
//	rule, err := rules.Parse(data)            // *rules.Error names the place
//	rule, err = rule.Expand(lookup)
//	needs := rules.Questions(rule, viewer)    // to be read from chains
//	d := rules.Decide(rule, viewer, facts, policy, now)
//
// # Guarantees
//
// There is no I/O: the same input gives the same decision. What is unknown never
// admits, under not either. A password is printed nowhere.
//
// # Testing
//
// Tables of rules and decisions, random rules with properties that must hold of
// each decision, and a fuzz target for the parser.
package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"streamgate/app/access/eth"
	"time"
)

// The limits of a rule, so that saving, showing and deciding stay cheap.
const (
	MaxBytes      = 64 << 10
	MaxDepth      = 8   // nodes from the root to the deepest leaf
	MaxNodes      = 64  // of one rule
	MaxTokenIDs   = 256 // of one rule: each is a question for each of a viewer's wallets
	MaxWallets    = 1000
	MaxPasswords  = 4 // passwords in one rule: each costs a slow hash to check
	MaxTicketUses = 1_000_000
)

// maxExpanded is how many times the nodes, tokens and wallets of one rule it
// may have together with those it refers to.
const maxExpanded = 4

// Kind is what a node of a rule is: the one key of its JSON object.
type Kind string

// The kinds of node.
const (
	KindAll        Kind = "all"
	KindAny        Kind = "any"
	KindNot        Kind = "not"
	KindERC721     Kind = "erc721"
	KindERC1155    Kind = "erc1155"
	KindERC20      Kind = "erc20"
	KindNative     Kind = "native"
	KindWallets    Kind = "wallets"
	KindPassword   Kind = "password"
	KindTicketCode Kind = "ticket_code"
	KindTimeWindow Kind = "time_window"
	KindPublic     Kind = "public"
	KindRule       Kind = "rule"
)

// Rule is a node of a rule tree. Only the fields that its Kind names are set.
type Rule struct {
	Kind Kind

	Parts    []Rule        // all, any: one or more; not: exactly one
	Holding  *Holding      // erc721, erc1155, erc20, native
	Wallets  []eth.Address // wallets
	Password *Password     // password
	Ticket   *TicketCode
	Window   *TimeWindow

	// Ref is the named rule that a rule node stands for; Parts has it, alone,
	// once Expand has looked it up.
	Ref string
}

// Public admits everybody.
func Public() *Rule { return &Rule{Kind: KindPublic} }

// Holding is what a wallet must have on a chain.
type Holding struct {
	Chain    uint64      // EIP-155
	Contract eth.Address // zero for native
	IDs      []*big.Int  // erc721: any of these (none: any token at all); erc1155: exactly one
	Min      *big.Int    // ≥ 1: tokens for erc721, base units otherwise
}

// TicketCode asks for a code that was issued for a pool.
type TicketCode struct {
	Pool string
	Uses int // how often a code issued for this rule may be redeemed
}

// TimeWindow is [From, Until); a zero time is open.
type TimeWindow struct {
	From, Until time.Time
}

// Error says what is wrong with a rule, and where: At is a JSON pointer
// (RFC 6901) into the document, "" for its root.
type Error struct {
	At      string
	Problem string
}

// Error implements error.
func (e *Error) Error() string {
	if e.At == "" {
		return "the rule: " + e.Problem
	}
	return e.At + ": " + e.Problem
}

func errorf(at, format string, args ...any) error {
	return &Error{At: at, Problem: fmt.Sprintf(format, args...)}
}

// ErrUnsealed means that the rule has a password which Seal has not hashed yet.
var ErrUnsealed = errors.New("the rule's passwords are not hashed yet")

// MarshalJSON shows the rule in its one canonical form, without any secret: a
// password is {"password":{}}.
func (r Rule) MarshalJSON() ([]byte, error) { return r.encode(false) }

// Stored returns the canonical form with the hashes of passwords, which only
// the store may see. Load reads it. ErrUnsealed.
func (r Rule) Stored() ([]byte, error) { return r.encode(true) }

// encode writes a one-key object.
func (r Rule) encode(secrets bool) ([]byte, error) {
	value, err := r.value(secrets)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "{%q:%s}", string(r.Kind), data), nil
}

// value is what stands behind the key.
func (r Rule) value(secrets bool) (any, error) {
	switch r.Kind {
	case KindAll, KindAny, KindNot:
		parts := make([]json.RawMessage, len(r.Parts))
		for i, part := range r.Parts {
			data, err := part.encode(secrets)
			if err != nil {
				return nil, err
			}
			parts[i] = data
		}
		if r.Kind == KindNot && len(parts) == 1 {
			return parts[0], nil
		}
		return parts, nil
	case KindERC721, KindERC1155, KindERC20, KindNative:
		return r.holdingValue(), nil
	case KindWallets:
		return r.Wallets, nil
	case KindPassword:
		if !secrets {
			return struct{}{}, nil
		}
		if r.Password.hash == "" {
			return nil, ErrUnsealed
		}
		return map[string]string{"hash": r.Password.hash}, nil
	case KindTicketCode:
		return ticketValue{r.Ticket.Pool, r.Ticket.Uses}, nil
	case KindTimeWindow:
		return windowValue{r.Window.From, r.Window.Until}, nil
	case KindPublic:
		return true, nil
	case KindRule:
		return r.Ref, nil
	}
	return nil, fmt.Errorf("there is no rule %q", r.Kind)
}

// The canonical forms of the leaves. Their field order is the documents'.
type (
	erc721Value struct {
		Chain      uint64      `json:"chain"`
		Contract   eth.Address `json:"contract"`
		TokenIDs   []string    `json:"token_ids,omitempty"`
		MinBalance uint64      `json:"min_balance"`
	}
	erc1155Value struct {
		Chain    uint64      `json:"chain"`
		Contract eth.Address `json:"contract"`
		ID       string      `json:"id"`
		Min      string      `json:"min"`
	}
	erc20Value struct {
		Chain    uint64      `json:"chain"`
		Contract eth.Address `json:"contract"`
		Min      string      `json:"min"`
	}
	nativeValue struct {
		Chain uint64 `json:"chain"`
		Min   string `json:"min"`
	}
	ticketValue struct {
		Pool string `json:"pool"`
		Uses int    `json:"uses"`
	}
	windowValue struct {
		From  time.Time `json:"from,omitzero"`
		Until time.Time `json:"until,omitzero"`
	}
)

func (r Rule) holdingValue() any {
	h := r.Holding
	switch r.Kind {
	case KindERC721:
		v := erc721Value{Chain: h.Chain, Contract: h.Contract, MinBalance: h.Min.Uint64()}
		for _, id := range h.IDs {
			v.TokenIDs = append(v.TokenIDs, id.String())
		}
		return v
	case KindERC1155:
		return erc1155Value{h.Chain, h.Contract, h.IDs[0].String(), h.Min.String()}
	case KindERC20:
		return erc20Value{h.Chain, h.Contract, h.Min.String()}
	default:
		return nativeValue{h.Chain, h.Min.String()}
	}
}

// tokenIDs are the tokens that a node names.
func (r *Rule) tokenIDs() []*big.Int {
	if r.Holding == nil {
		return nil
	}
	return r.Holding.IDs
}

// Leaves calls visit for every node without parts of its own, in order.
func (r *Rule) Leaves(visit func(*Rule)) {
	if len(r.Parts) == 0 {
		visit(r)
	}
	for i := range r.Parts {
		r.Parts[i].Leaves(visit)
	}
}

// Chains lists the chains that an expanded rule names.
func (r *Rule) Chains() (list []uint64) {
	r.Leaves(func(leaf *Rule) {
		if leaf.Holding != nil {
			list = append(list, leaf.Holding.Chain)
		}
	})
	return list
}

// Contracts lists the contracts that an expanded rule names on each chain,
// once each: what a watcher must follow.
func (r *Rule) Contracts() map[uint64][]eth.Address {
	out := map[uint64][]eth.Address{}
	seen := map[chainContract]bool{}
	r.Leaves(func(leaf *Rule) {
		h := leaf.Holding
		if h == nil || h.Contract.IsZero() || seen[chainContract{h.Chain, h.Contract}] {
			return
		}
		seen[chainContract{h.Chain, h.Contract}] = true
		out[h.Chain] = append(out[h.Chain], h.Contract)
	})
	return out
}

type chainContract struct {
	chain    uint64
	contract eth.Address
}

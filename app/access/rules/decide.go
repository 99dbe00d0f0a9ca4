package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"streamgate/app/access/eth"
	"time"
)

// Result is what a node of a rule comes to, in Kleene's logic of three values:
// what is unknown is never a pass, and neither is its negation.
type Result string

// The results.
const (
	Pass    Result = "pass"
	Fail    Result = "fail"
	Unknown Result = "unknown"
)

// Policy is how a deployment decides.
type Policy struct {
	// Grace is how long what was read of a chain stands for viewers already
	// admitted while the chain cannot be reached; nil or 0: not at all.
	Grace func(chain uint64) time.Duration
	// ChainName names a chain in sentences; nil: "chain 1".
	ChainName func(chain uint64) string
	// NoLogs tells of a chain whose endpoints list no logs, which explanations
	// then say; nil: of none.
	NoLogs func(chain uint64) bool
}

func (p Policy) grace(chain uint64) time.Duration {
	if p.Grace == nil {
		return 0
	}
	return p.Grace(chain)
}

// Chain names a chain in sentences.
func (p Policy) Chain(id uint64) string {
	if p.ChainName != nil {
		if name := p.ChainName(id); name != "" {
			return name
		}
	}
	return "chain " + strconv.FormatUint(id, 10)
}

// Decision is whether a viewer is admitted, and why.
type Decision struct {
	Admit    bool
	Reason   Reason // "" if admitted
	Sentence string // for people
	// Admits is what would admit the viewer: each entry suffices, the
	// smallest first. Empty if admitted, or if nothing would.
	Admits []string
	Tree   Explanation
	// Memory is what the viewer's next decision may stand on when a chain
	// cannot be reached (Viewer.Earlier); nil unless admitted.
	Memory map[string]Earlier
	// Until is when time alone may change the decision; zero if it cannot.
	Until time.Time
}

// Earlier is a result that was once read from a chain.
type Earlier struct {
	Result Result    `json:"result"` // pass or fail
	Block  uint64    `json:"block"`
	Read   time.Time `json:"read"`
}

// Explanation mirrors a node of the rule.
type Explanation struct {
	Kind     Kind
	At       string // JSON pointer into the rule
	Result   Result
	Reason   Reason // "" if passed
	Sentence string // "" if passed
	Wants    string // a leaf's wish, such as "at least 1 token of 0x… on chain 1"

	// Of what was read from a chain: the oldest of it.
	Have    *big.Int // the most that one of the viewer's wallets has; nil if unknown
	Block   uint64
	Read    time.Time
	Age     time.Duration
	Source  string
	Problem string // what a contract or a chain did wrong
	Grace   bool   // the result is an earlier one, and stands for a while

	Parts []Explanation

	rule *Rule
}

// Decide says whether a viewer is admitted by an expanded rule, from the facts
// alone: it does no I/O, and the same input gives the same decision.
func Decide(rule *Rule, viewer Viewer, facts Facts, policy Policy, now time.Time) Decision {
	e := evaluation{
		viewer: viewer, holders: viewer.Holders(), facts: facts, policy: policy, now: now,
		memory: map[string]Earlier{},
	}
	d := Decision{Tree: e.node(rule, "")}
	d.Admit = d.Tree.Result == Pass
	d.Until = e.until
	if d.Admit {
		d.Memory = e.memory
		return d
	}
	d.Reason, d.Sentence = d.Tree.Reason, d.Tree.Sentence
	d.Admits = e.admits(&d.Tree)
	return d
}

// evaluation is one run of Decide.
type evaluation struct {
	viewer  Viewer
	holders []eth.Address
	facts   Facts
	policy  Policy
	now     time.Time

	memory map[string]Earlier
	until  time.Time
}

func (e *evaluation) node(r *Rule, at string) Explanation {
	place := at + "/" + string(r.Kind)
	x := Explanation{Kind: r.Kind, At: place, rule: r}
	switch r.Kind {
	case KindAll, KindAny, KindNot, KindRule:
		for i := range r.Parts {
			x.Parts = append(x.Parts, e.node(&r.Parts[i], partPlace(r.Kind, place, i)))
		}
		combine(&x)
	case KindERC721, KindERC1155, KindERC20, KindNative:
		e.holding(&x)
	case KindWallets:
		e.wallets(&x)
	case KindPassword:
		e.proof(&x, r.Password.ProofKey(), ReasonPasswordRequired, ReasonPasswordWrong)
	case KindTicketCode:
		e.proof(&x, r.Ticket.ProofKey(), ReasonTicketRequired, ReasonTicketWrong)
	case KindTimeWindow:
		e.window(&x)
	case KindPublic:
		x.Result = Pass
	default:
		x.Result, x.Reason = Unknown, ReasonNoRule
	}
	if x.Result != Pass && x.Sentence == "" {
		x.Sentence = e.sentence(&x)
	}
	return x
}

// combine gives a node the result and the reason of its parts.
func combine(x *Explanation) {
	switch x.Kind {
	case KindAll:
		x.Result = kleene(x.Parts, Fail, Pass)
	case KindAny:
		x.Result = kleene(x.Parts, Pass, Fail)
	default: // not, rule: one part
		if len(x.Parts) != 1 {
			x.Result, x.Reason = Unknown, ReasonNoRule
			return
		}
		x.Result = x.Parts[0].Result
		if x.Kind == KindNot {
			x.Result = x.Result.not()
		}
	}
	if x.Result == Pass {
		return
	}
	if x.Kind == KindNot && x.Result == Fail {
		x.Reason = ReasonExcluded
		return
	}
	if part := decisive(x.Kind, x.Result, x.Parts); part != nil {
		x.Reason, x.Sentence = part.Reason, part.Sentence
	}
}

// kleene is strong if any part is, else unknown if any part is, else weak. No
// parts at all are unknown: a rule never has such a node.
func kleene(parts []Explanation, strong, weak Result) Result {
	result := weak
	if len(parts) == 0 {
		result = Unknown
	}
	for i := range parts {
		switch parts[i].Result {
		case strong:
			return strong
		case Unknown:
			result = Unknown
		}
	}
	return result
}

func (r Result) not() Result {
	switch r {
	case Pass:
		return Fail
	case Fail:
		return Pass
	}
	return Unknown
}

func (e *evaluation) wallets(x *Explanation) {
	switch {
	case e.viewer.Wallet.IsZero():
		x.Result, x.Reason = Unknown, ReasonNotSignedIn
	case slices.Contains(x.rule.Wallets, e.viewer.Wallet):
		x.Result = Pass
	default:
		x.Result, x.Reason = Fail, ReasonNotListed
	}
}

// proof judges a password or a code. One that was not entered is unknown, just
// as a wallet is that has not signed in.
func (e *evaluation) proof(x *Explanation, key string, required, wrong Reason) {
	switch e.viewer.Proofs[key] {
	case ProofGood:
		x.Result = Pass
	case ProofWrong:
		x.Result, x.Reason = Fail, wrong
	case ProofUsed:
		x.Result, x.Reason = Fail, ReasonTicketUsed
	default:
		x.Result, x.Reason = Unknown, required
	}
}

func (e *evaluation) window(x *Explanation) {
	w := x.rule.Window
	x.Result = Pass
	if e.now.Before(w.From) || !w.Until.IsZero() && !e.now.Before(w.Until) {
		x.Result, x.Reason = Fail, ReasonOutsideWindow
	}
	for _, border := range []time.Time{w.From, w.Until} {
		if border.After(e.now) && (e.until.IsZero() || border.Before(e.until)) {
			e.until = border
		}
	}
}

// holding judges what the viewer's wallets have on a chain: one of them must
// have it all.
func (e *evaluation) holding(x *Explanation) {
	x.Wants = wants(x.rule, e.policy)
	if len(e.holders) == 0 {
		x.Result, x.Reason = Unknown, ReasonNotSignedIn
		return
	}
	x.Result, x.Reason = Fail, ReasonNotHolder
	for _, holder := range e.holders {
		result, reason := e.holder(x, holder)
		if result == Pass {
			x.Result, x.Reason = Pass, ""
			break
		}
		// A problem of the viewer's own wallet is named before a vault's.
		if result == Unknown && x.Result != Unknown {
			x.Result, x.Reason = Unknown, reason
		}
	}
	if !x.Read.IsZero() {
		x.Age = max(0, e.now.Sub(x.Read))
	}
	if x.Problem == "" && e.policy.NoLogs != nil && e.policy.NoLogs(x.rule.Holding.Chain) {
		x.Problem = ProblemNoLogs
	}
	e.remember(x)
}

// remember applies the grace policy, and keeps what was read for later.
func (e *evaluation) remember(x *Explanation) {
	key := memoryKey(x.rule)
	if x.Result != Unknown {
		e.memory[key] = Earlier{x.Result, x.Block, x.Read}
		return
	}
	earlier, ok := e.viewer.Earlier[key]
	if x.Reason != ReasonChainUnreachable || !ok || earlier.Result != Pass && earlier.Result != Fail {
		return
	}
	age := e.now.Sub(earlier.Read)
	if age < 0 || age > e.policy.grace(x.rule.Holding.Chain) || e.policy.grace(x.rule.Holding.Chain) <= 0 {
		return
	}
	x.Result, x.Reason, x.Grace = earlier.Result, "", true
	if x.Result == Fail {
		x.Reason = ReasonNotHolder
	}
	x.Block, x.Read, x.Age = earlier.Block, earlier.Read, age
	e.memory[key] = earlier // the grace is counted from what was read, not from now
}

// holder judges one of the viewer's wallets.
func (e *evaluation) holder(x *Explanation, holder eth.Address) (Result, Reason) {
	chain := x.rule.Holding.Chain
	delegated, why := Pass, Reason("")
	if holder != e.viewer.Wallet {
		var amount *big.Int
		amount, delegated, why = e.fact(x, chain, delegation(x.rule.Holding, holder, e.viewer.Wallet))
		if delegated == Pass && amount.Sign() <= 0 {
			return Fail, ReasonNotHolder
		}
	}
	result, reason := e.amount(x, holder, delegated == Pass)
	if result == Pass && delegated != Pass {
		return delegated, why
	}
	return result, reason
}

// amount compares what holder has with what the leaf wants: tokens by id are
// counted, anything else is one number.
func (e *evaluation) amount(x *Explanation, holder eth.Address, counts bool) (Result, Reason) {
	have, open := new(big.Int), new(big.Int)
	var why Reason
	for _, need := range x.rule.amounts(holder) {
		amount, result, reason := e.fact(x, x.rule.Holding.Chain, need.Question)
		switch {
		case result != Pass:
			why = worse(why, reason)
			if need.Fact == eth.FactOwner {
				open.Add(open, one())
			} else {
				open = nil // may be any amount
			}
		case need.Fact == eth.FactOwner:
			if amount.Sign() > 0 {
				have.Add(have, one())
			}
		default:
			have.Set(amount)
		}
		if open == nil {
			return Unknown, why
		}
	}
	if counts && (x.Have == nil || have.Cmp(x.Have) > 0) {
		x.Have = have
	}
	minimum := x.rule.Holding.Min
	switch {
	case have.Cmp(minimum) >= 0:
		return Pass, ""
	case open.Add(open, have).Cmp(minimum) >= 0:
		return Unknown, why
	}
	return Fail, ReasonNotHolder
}

// ProblemNoLogs stands beside facts of a chain whose endpoints list no logs.
const ProblemNoLogs = "the chain's endpoints list no logs (eth_getLogs), so that a sale is noticed only when the viewer's holdings are read again, at each new block"

// worse picks between two reasons why a fact is unknown: the one that does not
// pass by itself, so that no grace is given for a contract's misbehaviour.
func worse(a, b Reason) Reason {
	if a == "" || b.rank() < a.rank() {
		return b
	}
	return a
}

// revertedProblem is what Chains says of a call that reverted.
const revertedProblem = "reverted"

// fact looks up a fact and notes in x where it is from. Result is Pass if the
// amount is known, else Unknown.
func (e *evaluation) fact(x *Explanation, chain uint64, q eth.Question) (*big.Int, Result, Reason) {
	value, ok := e.facts[KeyOf(chain, q)]
	if !ok || value.Err != nil || value.Amount == nil {
		reason := ReasonChainUnreachable
		if ok && errors.Is(value.Err, eth.ErrChainUnknown) {
			reason = ReasonChainUnknown
		}
		x.Problem = string(reason)
		return nil, Unknown, reason
	}
	if x.Read.IsZero() || value.Read.Before(x.Read) {
		x.Block, x.Read, x.Source = value.Block, value.Read, value.Source
	}
	if value.Problem == "" {
		return value.Amount, Pass, ""
	}
	x.Problem = value.Problem
	// ERC-721 has ownerOf revert for a token that does not exist: a plain no.
	if q.Fact == eth.FactOwner && value.Problem == revertedProblem {
		return new(big.Int), Pass, ""
	}
	return nil, Unknown, ReasonContractProblem
}

// memoryKey names a holding leaf by what it asks for, wherever it stands.
func memoryKey(r *Rule) string {
	h := r.Holding
	b := make([]byte, 0, 128)
	b = append(b, r.Kind...)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint64(b, h.Chain)
	b = append(b, h.Contract[:]...)
	for _, n := range append([]*big.Int{h.Min}, h.IDs...) {
		b = append(b, byte(len(n.Bytes())))
		b = append(b, n.Bytes()...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// Graced returns a chain whose earlier answer stands in the explanation.
func (x *Explanation) Graced() (chain uint64, ok bool) {
	if x.Grace {
		return x.rule.Holding.Chain, true
	}
	for i := range x.Parts {
		if chain, ok = x.Parts[i].Graced(); ok {
			return chain, true
		}
	}
	return 0, false
}

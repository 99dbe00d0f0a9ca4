package rules

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// wants says what a holding leaf asks for, to stand after "hold" or "holds".
func wants(r *Rule, policy Policy) string {
	h := r.Holding
	chain := policy.Chain(h.Chain)
	switch {
	case r.Kind == KindNative:
		return fmt.Sprintf("at least %s on %s", coins(h.Min), chain)
	case r.Kind == KindERC20:
		return fmt.Sprintf("at least %s base units of the token %s on %s", h.Min, h.Contract, chain)
	case r.Kind == KindERC1155:
		return fmt.Sprintf("at least %s of token %s of %s on %s", h.Min, h.IDs[0], h.Contract, chain)
	case len(h.IDs) == 1:
		return fmt.Sprintf("token %s of %s on %s", h.IDs[0], h.Contract, chain)
	case len(h.IDs) > 1:
		return fmt.Sprintf("%s of the tokens %s of %s on %s", h.Min, idList(h.IDs), h.Contract, chain)
	case h.Min.IsUint64() && h.Min.Uint64() == 1:
		return fmt.Sprintf("a token of %s on %s", h.Contract, chain)
	}
	return fmt.Sprintf("at least %s tokens of %s on %s", h.Min, h.Contract, chain)
}

// coins writes an amount of a chain's own coin, which has 18 decimals on every
// EVM chain; a dust of it in its base unit.
func coins(wei *big.Int) string {
	const decimals, shown = 18, 6
	digits := fmt.Sprintf("%0*d", decimals+1, wei)
	whole, part := digits[:len(digits)-decimals], strings.TrimRight(digits[len(digits)-decimals:], "0")
	switch {
	case len(part) > shown:
		return wei.String() + " wei"
	case part == "" && whole == "1":
		return "1 coin"
	case part == "":
		return whole + " coins"
	}
	return whole + "." + part + " coins"
}

// idList shows a few ids, and how many more there are.
func idList(ids []*big.Int) string {
	const shown = 5
	var b strings.Builder
	for i, id := range ids[:min(shown, len(ids))] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(id.String())
	}
	if n := len(ids) - shown; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return b.String()
}

// sentence explains a node that is not passed and has no sentence from a part.
func (e *evaluation) sentence(x *Explanation) string {
	switch x.Reason {
	case ReasonNotSignedIn:
		return "Sign in with your wallet to watch."
	case ReasonNotHolder:
		return fmt.Sprintf("The wallet %s does not hold %s.", e.viewer.Wallet, x.Wants)
	case ReasonChainUnreachable:
		return fmt.Sprintf("What the wallet holds cannot be checked now, because %s cannot be reached.", e.policy.Chain(x.rule.Holding.Chain))
	case ReasonChainUnknown:
		return fmt.Sprintf("The rule names %s, which is not configured here.", e.policy.Chain(x.rule.Holding.Chain))
	case ReasonContractProblem:
		return fmt.Sprintf("The contract %s on %s gives no usable answer.", x.rule.Holding.Contract, e.policy.Chain(x.rule.Holding.Chain))
	case ReasonNotListed:
		return fmt.Sprintf("The wallet %s is not on the list of those who may watch.", e.viewer.Wallet)
	case ReasonExcluded:
		return "The viewer has what this rule excludes."
	case ReasonPasswordRequired:
		return "A password is needed to watch."
	case ReasonPasswordWrong:
		return "The password is wrong."
	case ReasonTicketRequired:
		return "A ticket code is needed to watch."
	case ReasonTicketWrong:
		return "There is no such ticket code."
	case ReasonTicketUsed:
		return "The ticket code has been used already."
	case ReasonOutsideWindow:
		return windowSentence(x.rule.Window, e.now)
	case ReasonNoRule:
		if x.rule.Ref == "" {
			return "The rule can no longer be used, because one that it refers to was changed: its owner must save it again."
		}
		return fmt.Sprintf("The rule refers to another, %q, which does not exist.", x.rule.Ref)
	}
	return "The rule does not admit this viewer."
}

func windowSentence(w *TimeWindow, now time.Time) string {
	if now.Before(w.From) {
		return fmt.Sprintf("This can be watched from %s on.", w.From.Format(time.RFC3339))
	}
	return fmt.Sprintf("This could be watched until %s.", w.Until.Format(time.RFC3339))
}

// maxAdmits bounds how many ways in are listed.
const maxAdmits = 8

// step is one thing to do. A wallet's steps are told in one breath.
type step struct {
	wallet bool // text goes on from "a wallet that"
	text   string
}

// path is what together suffices.
type path []step

// admits lists the ways in.
func (e *evaluation) admits(x *Explanation) []string {
	var out []string
	for _, p := range e.paths(x, Pass) {
		if s := e.compose(p); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// paths returns the ways to bring a node to pass, or to fail: one empty path
// if it is there already, none if there is no way. The shortest come first,
// and only maxAdmits are kept.
func (e *evaluation) paths(x *Explanation, want Result) []path {
	if x.Result == want {
		return []path{{}}
	}
	switch {
	case x.Kind == KindNot:
		want = want.not()
		fallthrough
	case x.Kind == KindRule:
		if len(x.Parts) != 1 {
			return nil
		}
		return e.paths(&x.Parts[0], want)
	case x.Kind == KindAll && want == Pass, x.Kind == KindAny && want == Fail:
		out := []path{{}}
		for i := range x.Parts {
			out = join(out, e.paths(&x.Parts[i], want))
		}
		return out
	case x.Kind == KindAll, x.Kind == KindAny:
		var out []path
		for i := range x.Parts {
			out = append(out, e.paths(&x.Parts[i], want)...)
		}
		return shortest(out)
	}
	if s, ok := e.step(x, want); ok {
		return []path{{s}}
	}
	return nil
}

// join returns every path of a followed by every one of b.
func join(a, b []path) []path {
	var out []path
	for _, p := range a {
		for _, q := range b {
			both := slices.Clone(p)
			for _, s := range q {
				if !slices.Contains(both, s) {
					both = append(both, s)
				}
			}
			out = append(out, both)
		}
	}
	return shortest(out)
}

func shortest(paths []path) []path {
	slices.SortStableFunc(paths, func(a, b path) int { return len(a) - len(b) })
	return paths[:min(len(paths), maxAdmits)]
}

// step is what brings a leaf to pass or to fail, if anything does.
func (e *evaluation) step(x *Explanation, want Result) (step, bool) {
	r := x.rule
	switch r.Kind {
	case KindERC721, KindERC1155, KindERC20, KindNative:
		switch {
		case x.Reason == ReasonChainUnreachable:
			return step{text: "try again when " + e.policy.Chain(r.Holding.Chain) + " can be reached"}, true
		case x.Reason == ReasonChainUnknown, x.Reason == ReasonContractProblem:
			return step{}, false
		case want == Pass:
			return step{wallet: true, text: "holds " + x.Wants}, true
		}
		return step{wallet: true, text: "does not hold " + x.Wants}, true
	case KindWallets:
		if want == Pass {
			return step{wallet: true, text: "is on the list of those who may watch"}, true
		}
		return step{wallet: true, text: "is not on the list of those shut out"}, true
	case KindPassword:
		return step{text: "enter the password"}, want == Pass
	case KindTicketCode:
		return step{text: "enter a ticket code that is not used up"}, want == Pass
	case KindTimeWindow:
		return e.waiting(r.Window, want)
	}
	return step{}, false
}

// waiting is when to come back; there may be no such time.
func (e *evaluation) waiting(w *TimeWindow, want Result) (step, bool) {
	at := w.Until // to be outside
	if want == Pass {
		at = w.From
	}
	return step{text: "come back at " + at.Format(time.RFC3339)}, at.After(e.now)
}

// compose writes a path as one sentence.
func (e *evaluation) compose(p path) string {
	var wallet, parts []string
	for _, s := range p {
		if s.wallet {
			wallet = append(wallet, s.text)
		} else {
			parts = append(parts, s.text)
		}
	}
	if len(wallet) > 0 {
		verb := "sign in with a wallet that "
		if !e.viewer.Wallet.IsZero() {
			verb = "use a wallet that "
		}
		parts = append([]string{verb + strings.Join(wallet, " and ")}, parts...)
	}
	if len(parts) == 0 {
		return ""
	}
	s := strings.Join(parts, ", and ")
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

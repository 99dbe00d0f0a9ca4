package rules

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrNoRule means that a rule refers to a named rule which does not exist.
var ErrNoRule = errors.New("no such rule")

// Expand returns the rule with every reference looked up, at any depth:
// lookup returns a named rule, or ErrNoRule. A reference to a missing rule
// stays without parts, and Decide treats it as unknown. What refers to itself
// or grows over the limits is a *Error.
func (r *Rule) Expand(lookup func(name string) (*Rule, error)) (*Rule, error) {
	e := expander{lookup: lookup}
	out, err := e.expand(*r, "", nil)
	if err != nil {
		return nil, err
	}
	if err := checkNegation(&out, "", false); err != nil {
		return nil, err
	}
	return &out, nil
}

type expander struct {
	lookup                              func(string) (*Rule, error)
	nodes, tokenIDs, wallets, passwords int
}

// count adds a node to what the whole expanded rule has.
func (e *expander) count(r *Rule, at string) error {
	e.nodes++
	e.tokenIDs += len(r.tokenIDs())
	e.wallets += len(r.Wallets)
	if r.Password != nil {
		e.passwords++
	}
	if e.nodes > maxExpanded*MaxNodes || e.tokenIDs > maxExpanded*MaxTokenIDs ||
		e.wallets > maxExpanded*MaxWallets || e.passwords > MaxPasswords {
		return errorf(at, "with the rules it refers to, the rule is too large")
	}
	return nil
}

// expand copies a node; open are the references on the way to it.
func (e *expander) expand(r Rule, at string, open []string) (Rule, error) {
	if err := e.count(&r, at); err != nil {
		return Rule{}, err
	}
	place := at + "/" + string(r.Kind)
	inner := r.Parts
	if r.Kind == KindRule {
		for _, name := range open {
			if name == r.Ref {
				return Rule{}, errorf(place, "rule %s refers to itself", r.Ref)
			}
		}
		if len(open) >= MaxDepth {
			return Rule{}, errorf(place, "rules refer to each other deeper than %d levels", MaxDepth)
		}
		open = append(open[:len(open):len(open)], r.Ref)
		named, err := e.lookup(r.Ref)
		switch {
		case errors.Is(err, ErrNoRule):
			inner = nil
		case err != nil:
			return Rule{}, fmt.Errorf("look up rule %s: %w", r.Ref, err)
		default:
			inner = []Rule{*named}
		}
	}
	r.Parts = nil
	for i, part := range inner {
		out, err := e.expand(part, partPlace(r.Kind, place, i), open)
		if err != nil {
			return Rule{}, err
		}
		r.Parts = append(r.Parts, out)
	}
	return r, nil
}

// partPlace is the JSON pointer of a node's part. What a reference stands for
// is shown as if it stood there.
func partPlace(kind Kind, place string, i int) string {
	if kind == KindAll || kind == KindAny {
		return place + "/" + strconv.Itoa(i)
	}
	return place
}

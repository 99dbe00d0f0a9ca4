package rules

import (
	"fmt"
	"slices"
)

// Check refuses an expanded rule that refers to what is not there, a named rule
// or a chain, or asks for more than one viewer can enter. *Error.
func (r *Rule) Check(chains []uint64) error {
	if err := r.possible(chains, ""); err != nil {
		return err
	}
	if passwords, pools := r.asks(); passwords > 1 || pools > 1 {
		return errorf("", "nobody could be admitted: a viewer enters one password and one code, but the rule asks for more of them at once")
	}
	return nil
}

// asks counts the passwords and the pools of codes that a viewer needs at once.
func (r *Rule) asks() (passwords, pools int) {
	switch r.Kind {
	case KindPassword:
		return 1, 0
	case KindTicketCode:
		return 0, 1
	}
	codes := map[string]bool{}
	for i := range r.Parts {
		part := &r.Parts[i]
		pw, pl := part.asks()
		switch {
		case r.Kind == KindAny && i > 0:
			passwords, pools = min(passwords, pw), min(pools, pl)
			continue
		case part.Kind == KindTicketCode && codes[part.Ticket.Pool]:
			pl = 0 // the same code serves
		case part.Kind == KindTicketCode:
			codes[part.Ticket.Pool] = true
		}
		passwords, pools = passwords+pw, pools+pl
	}
	return passwords, pools
}

// possible refuses a rule that names what is not there.
func (r *Rule) possible(chains []uint64, at string) error {
	place := at + "/" + string(r.Kind)
	if r.Kind == KindRule && len(r.Parts) == 0 {
		return errorf(place, "there is no rule %s", r.Ref)
	}
	if r.Holding != nil && !slices.Contains(chains, r.Holding.Chain) {
		return errorf(place+"/chain", "chain %d is not configured here; %s", r.Holding.Chain, thereAre(chains))
	}
	for i := range r.Parts {
		if err := r.Parts[i].possible(chains, partPlace(r.Kind, place, i)); err != nil {
			return err
		}
	}
	return nil
}

// thereAre says which chains there are.
func thereAre(chains []uint64) string {
	if len(chains) == 0 {
		return "none is: name it under chains in the configuration"
	}
	return fmt.Sprintf("there are %v", chains)
}

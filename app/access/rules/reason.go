package rules

import "slices"

// Reason is the stable code of why a viewer is not admitted.
type Reason string

// The reasons; "" stands beside an admission.
const (
	ReasonNoRule           Reason = "rule_missing"        // it refers to a named rule that is gone
	ReasonOutsideWindow    Reason = "outside_time_window" // too early or too late
	ReasonNotListed        Reason = "wallet_not_listed"   // by a wallet list
	ReasonExcluded         Reason = "excluded"            // the viewer has what the rule shuts out
	ReasonNotHolder        Reason = "not_a_holder"        // of what the rule asks for
	ReasonChainUnknown     Reason = "chain_unknown"       // the rule names a chain that is not configured
	ReasonContractProblem  Reason = "contract_problem"    // the contract reverts, answers rubbish or is not there
	ReasonChainUnreachable Reason = "chain_unreachable"   // no trustworthy answer now
	ReasonNotSignedIn      Reason = "not_signed_in"       // a wallet is needed
	ReasonTicketUsed       Reason = "ticket_used"         // the code has no use left
	ReasonTicketWrong      Reason = "ticket_wrong"        // there is no such code
	ReasonPasswordWrong    Reason = "password_wrong"
	ReasonTicketRequired   Reason = "ticket_required"
	ReasonPasswordRequired Reason = "password_required"
)

// reasonOrder goes from what a viewer can do least about to what is done
// soonest.
var reasonOrder = [...]Reason{
	ReasonNoRule, ReasonOutsideWindow, ReasonNotListed, ReasonExcluded, ReasonNotHolder, ReasonChainUnknown,
	ReasonContractProblem, ReasonChainUnreachable, ReasonNotSignedIn, ReasonTicketUsed, ReasonTicketWrong,
	ReasonPasswordWrong, ReasonTicketRequired, ReasonPasswordRequired,
}

// Reasons lists all of them.
func Reasons() []Reason { return slices.Clone(reasonOrder[:]) }

func (r Reason) rank() int { return slices.Index(reasonOrder[:], r) }

// tried tells of an attempt that the viewer has just made: whatever else is
// open, that is what they want to hear of.
func (r Reason) tried() bool {
	return r == ReasonTicketUsed || r == ReasonTicketWrong || r == ReasonPasswordWrong
}

// decisive picks the part whose reason speaks for a node that is not passed.
// It has the node's own result, so that the reason explains it. Of all, the
// hardest obstacle counts; of any, the easiest, or what was just tried.
func decisive(kind Kind, result Result, parts []Explanation) *Explanation {
	var best *Explanation
	for i := range parts {
		part := &parts[i]
		if kind == KindAny && part.Reason.tried() {
			return part
		}
		if part.Result != result {
			continue
		}
		if best == nil || kind == KindAny && part.Reason.rank() > best.Reason.rank() ||
			kind != KindAny && part.Reason.rank() < best.Reason.rank() {
			best = part
		}
	}
	return best
}

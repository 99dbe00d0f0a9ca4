package console

import (
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
)

// tryView is what a rule, saved or not, says of one wallet.
type tryView struct {
	Wallet string
	Done   bool
	Admit  bool
	Why    string
	Parts  []tryRow
}

// tryRow is one condition of a rule.
type tryRow struct{ State, Word, Wants, Says string }

// tryRule asks what a rule would answer to a wallet, or to nobody in particular.
func (v *visit) tryRule(rule *structpb.Struct, wallet string) (tryView, error) {
	decision, err := v.Access.SimulateRule(v.ctx, &rpc.SimulateRuleRequest{Rule: rule, Wallet: wallet})
	if err != nil {
		return tryView{}, err
	}
	return tryView{
		Wallet: printable(wallet), Done: true, Admit: decision.Admit, Why: printable(decision.Sentence),
		Parts: tryRows(nil, decision.Tree),
	}, nil
}

// tryRows are the conditions of a rule, without what joins them.
func tryRows(rows []tryRow, r *rpc.RuleResult) []tryRow {
	for _, part := range r.GetParts() {
		rows = tryRows(rows, part)
	}
	if wants := printable(r.GetWants()); wants != "" && len(r.GetParts()) == 0 {
		row := tryRow{State: "warn", Word: "unknown", Wants: wants, Says: printable(r.Sentence)}
		switch r.Result {
		case "pass":
			row.State, row.Word = "ready", "met"
		case "fail":
			row.State, row.Word = "failed", "not met"
		}
		rows = append(rows, row)
	}
	return rows
}

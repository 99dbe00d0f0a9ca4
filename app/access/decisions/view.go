package decisions

import (
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/access/eth"
	"streamgate/app/access/rules"
	"streamgate/app/rpc"
)

// ParseViewer reads the wallets of a request.
func ParseViewer(wallet string, vaults []string) (rules.Viewer, error) {
	var v rules.Viewer
	if len(vaults) > rules.MaxVaults {
		return v, rpc.Invalid("too_many_vaults", "There are %d vaults; at most %d count.", len(vaults), rules.MaxVaults)
	}
	if wallet != "" {
		a, err := eth.ParseAddress(wallet)
		if err != nil {
			return v, rpc.Invalid("invalid_wallet", "The wallet: %s.", err)
		}
		v.Wallet = a
	}
	for i, vault := range vaults {
		a, err := eth.ParseAddress(vault)
		if err != nil {
			return v, rpc.Invalid("invalid_vault", "Vault %d: %s.", i+1, err)
		}
		v.Vaults = append(v.Vaults, a)
	}
	return v, nil
}

// chainRetryAfter is after how long it is worth asking again about a chain that
// could not be reached.
const chainRetryAfter = 5 * time.Second

// Refusal is what a viewer who is not admitted is told.
func Refusal(d rules.Decision, viewer rules.Viewer) error {
	code := connect.CodePermissionDenied
	switch d.Reason {
	case rules.ReasonNotSignedIn, rules.ReasonPasswordRequired, rules.ReasonTicketRequired:
		code = connect.CodeUnauthenticated
	case rules.ReasonChainUnreachable:
		code = connect.CodeUnavailable
	}
	err := rpc.Errorf(code, string(d.Reason), "%s", d.Sentence)
	if code == connect.CodeUnavailable {
		err = rpc.RetryErrorf(chainRetryAfter, code, string(d.Reason), "%s", d.Sentence)
	}
	return rpc.WithDecision(err, View(d, viewer))
}

// View is a decision as the API shows it.
func View(d rules.Decision, viewer rules.Viewer) *rpc.Decision {
	out := &rpc.Decision{
		Admit: d.Admit, Reason: string(d.Reason), Sentence: d.Sentence, Admits: d.Admits, Tree: viewResult(&d.Tree),
	}
	if !viewer.Wallet.IsZero() {
		out.Wallet = viewer.Wallet.String()
	}
	return out
}

func viewResult(x *rules.Explanation) *rpc.RuleResult {
	out := &rpc.RuleResult{
		Kind: string(x.Kind), At: x.At, Result: string(x.Result), Reason: string(x.Reason), Sentence: x.Sentence,
		Wants: x.Wants, Source: x.Source, Problem: x.Problem, Grace: x.Grace,
	}
	if x.Have != nil {
		out.Have = x.Have.String()
	}
	if !x.Read.IsZero() {
		out.Block, out.ReadAt, out.AgeSeconds = float64(x.Block), timestamppb.New(x.Read), x.Age.Seconds()
	}
	for i := range x.Parts {
		out.Parts = append(out.Parts, viewResult(&x.Parts[i]))
	}
	return out
}

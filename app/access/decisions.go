package access

import (
	"context"

	"streamgate/app/access/decisions"
	"streamgate/app/rpc"
)

// CheckAccess implements rpc.AccessHandler.
func (s *Service) CheckAccess(ctx context.Context, req *rpc.CheckAccessRequest) (*rpc.Decision, error) {
	who := rpc.Caller(ctx)
	wallet := req.Wallet
	if wallet == "" {
		wallet = who.Wallet
	}
	viewer, err := decisions.ParseViewer(wallet, req.Vaults)
	if err != nil {
		return nil, err
	}
	if viewer.Wallet.String() != who.Wallet && !viewer.Wallet.IsZero() {
		err = rpc.Require(ctx, rpc.ScopeRead)
	} else {
		err = s.limits.Question(ctx)
	}
	if err != nil {
		return nil, err
	}
	rule, err := s.decider.RuleOf(ctx, req.VideoId)
	if err != nil {
		return nil, err
	}
	return decisions.View(s.decider.Decide(ctx, rule, viewer), viewer), nil
}

// SimulateRule implements rpc.AccessHandler.
func (s *Service) SimulateRule(ctx context.Context, req *rpc.SimulateRuleRequest) (*rpc.Decision, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	viewer, err := decisions.ParseViewer(req.Wallet, req.Vaults)
	if err != nil {
		return nil, err
	}
	rule, err := s.readRule(ctx, req.Rule)
	if err != nil {
		return nil, err
	}
	expanded, err := s.expand(rule, s.named(ctx))
	if err != nil {
		return nil, err
	}
	return decisions.View(s.decider.Decide(ctx, expanded, viewer), viewer), nil
}

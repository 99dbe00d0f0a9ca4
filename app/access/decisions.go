package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// decide says whether a viewer is admitted by an expanded rule, reading what is
// not known of the chains.
func (s *Service) decide(ctx context.Context, rule *Rule, viewer Viewer) Decision {
	facts := s.facts.Facts(ctx, Questions(rule, viewer))
	d := Decide(rule, viewer, facts, s.Policy, time.Now())
	s.metrics.decided(&d)
	return d
}

// public is the rule of a video that anybody may watch.
func public() *Rule { return &Rule{Kind: KindPublic} }

// ruleOf returns the rule that decides about viewers of a video:
// video_not_found, or session_required if none admits viewers.
func (s *Service) ruleOf(ctx context.Context, videoID string) (*Rule, error) {
	e, err := s.book.get(ctx, videoID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, rpc.NotFound(store.ErrNotFound, "video", videoID)
	case err != nil:
		return nil, err
	case e.public:
		return public(), nil
	case e.rule == nil:
		return nil, rpc.Errorf(connect.CodePermissionDenied, reasonPrivate, "%s", sentencePrivate)
	}
	return e.rule, nil
}

// A video without a rule.
const (
	reasonPrivate   = "private"
	sentencePrivate = "This video is private: ask its owner for a link that lets you watch it."
)

// CheckAccess implements rpc.AccessHandler.
func (s *Service) CheckAccess(ctx context.Context, req *rpc.CheckAccessRequest) (*rpc.Decision, error) {
	who := rpc.Caller(ctx)
	wallet := req.Wallet
	if wallet == "" {
		wallet = who.Wallet
	}
	viewer, err := parseViewer(wallet, req.Vaults)
	if err != nil {
		return nil, err
	}
	if viewer.Wallet.String() != who.Wallet && !viewer.Wallet.IsZero() {
		err = rpc.Require(ctx, rpc.ScopeRead)
	} else {
		err = s.question(ctx)
	}
	if err != nil {
		return nil, err
	}
	rule, err := s.ruleOf(ctx, req.VideoId)
	if err != nil {
		return nil, err
	}
	return viewDecision(s.decide(ctx, rule, viewer), viewer), nil
}

// SimulateRule implements rpc.AccessHandler.
func (s *Service) SimulateRule(ctx context.Context, req *rpc.SimulateRuleRequest) (*rpc.Decision, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	viewer, err := parseViewer(req.Wallet, req.Vaults)
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
	return viewDecision(s.decide(ctx, expanded, viewer), viewer), nil
}

// parseViewer reads the wallets of a request.
func parseViewer(wallet string, vaults []string) (Viewer, error) {
	var v Viewer
	if len(vaults) > MaxVaults {
		return v, rpc.Invalid("too_many_vaults", "There are %d vaults; at most %d count.", len(vaults), MaxVaults)
	}
	if wallet != "" {
		a, err := ParseAddress(wallet)
		if err != nil {
			return v, rpc.Invalid("invalid_wallet", "The wallet: %s.", err)
		}
		v.Wallet = a
	}
	for i, vault := range vaults {
		a, err := ParseAddress(vault)
		if err != nil {
			return v, rpc.Invalid("invalid_vault", "Vault %d: %s.", i+1, err)
		}
		v.Vaults = append(v.Vaults, a)
	}
	return v, nil
}

// chainReturns is after how long it is worth asking again about a chain that
// could not be reached.
const chainReturns = 5 * time.Second

// refusal is what a viewer who is not admitted is told.
func refusal(d Decision, viewer Viewer) error {
	code := connect.CodePermissionDenied
	switch d.Reason {
	case ReasonNotSignedIn, ReasonPasswordRequired, ReasonTicketRequired:
		code = connect.CodeUnauthenticated
	case ReasonChainUnreachable:
		code = connect.CodeUnavailable
	}
	err := rpc.Errorf(code, string(d.Reason), "%s", d.Sentence)
	if code == connect.CodeUnavailable {
		err = rpc.RetryErrorf(chainReturns, code, string(d.Reason), "%s", d.Sentence)
	}
	return rpc.WithDecision(err, viewDecision(d, viewer))
}

func viewDecision(d Decision, viewer Viewer) *rpc.Decision {
	out := &rpc.Decision{
		Admit: d.Admit, Reason: string(d.Reason), Sentence: d.Sentence, Admits: d.Admits, Tree: viewResult(&d.Tree),
	}
	if !viewer.Wallet.IsZero() {
		out.Wallet = viewer.Wallet.String()
	}
	return out
}

func viewResult(x *Explanation) *rpc.RuleResult {
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

// failureOf is why a decision ends a session.
func failureOf(d *Decision) *store.Failure {
	return &store.Failure{
		Code: string(d.Reason), Message: fmt.Sprintf("Your access has ended. %s", d.Sentence), Admits: d.Admits,
	}
}

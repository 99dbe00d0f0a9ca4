package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/access/decisions"
	"streamgate/app/access/eth"
	"streamgate/app/access/rules"
	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// SetVideoRule implements rpc.AccessHandler.
func (s *Service) SetVideoRule(ctx context.Context, req *rpc.SetVideoRuleRequest) (*rpc.VideoRule, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	video, err := s.Catalog.Videos.Get(ctx, req.VideoId)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.VideoId)
	}
	rule, stored, err := s.prepare(ctx, req.Rule, video.Rule, s.named(ctx))
	if err != nil {
		return nil, err
	}
	if err := s.setVideoRule(ctx, req.VideoId, stored); err != nil {
		return nil, err
	}
	return viewVideoRule(req.VideoId, rule)
}

// GetVideoRule implements rpc.AccessHandler.
func (s *Service) GetVideoRule(ctx context.Context, req *rpc.GetVideoRuleRequest) (*rpc.VideoRule, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	video, err := s.Catalog.Videos.Get(ctx, req.VideoId)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.VideoId)
	}
	if len(video.Rule) == 0 {
		return nil, rpc.Errorf(connect.CodeNotFound, "rule_not_found", "The video %q has no rule.", req.VideoId)
	}
	rule, err := rules.Load(video.Rule)
	if err != nil {
		return nil, fmt.Errorf("rule of video %s: %w", video.ID, err)
	}
	return viewVideoRule(video.ID, rule)
}

// DeleteVideoRule implements rpc.AccessHandler.
func (s *Service) DeleteVideoRule(ctx context.Context, req *rpc.DeleteVideoRuleRequest) (*rpc.DeleteVideoRuleResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	return &rpc.DeleteVideoRuleResponse{}, s.setVideoRule(ctx, req.VideoId, nil)
}

// setVideoRule stores a video's rule, and has its sessions asked again.
func (s *Service) setVideoRule(ctx context.Context, videoID string, stored []byte) error {
	video, err := s.Catalog.Videos.Update(ctx, videoID, func(v *store.Video) error {
		v.Rule, v.Updated = stored, time.Now().UTC()
		if stored != nil {
			v.Public = false // whoever sets a rule does not want everybody
		}
		return nil
	})
	if err != nil {
		return rpc.NotFound(err, "video", videoID)
	}
	s.Log.InfoContext(ctx, "rule changed", "video", videoID, "gated", stored != nil)
	s.Changed(videoID)
	events.VideoChanged.Announce(s.Bus, s.Log, events.Video{VideoID: videoID, State: string(video.State)})
	return nil
}

// PutRule implements rpc.AccessHandler.
func (s *Service) PutRule(ctx context.Context, req *rpc.PutRuleRequest) (*rpc.Rule, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if !rules.ValidName(req.Name) {
		return nil, rpc.Invalid("invalid_name", "The name is %.64q; it must be %s.", req.Name, rules.NameForm)
	}
	rec, err := s.Catalog.Rules.Get(ctx, req.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read rule %s: %w", req.Name, err)
	}
	// A reference to the name, from wherever, would lead back here.
	lookup := func(name string) (*rules.Rule, error) {
		if name == req.Name {
			return &rules.Rule{Kind: rules.KindRule, Ref: name}, nil
		}
		return s.decider.Rules.Named(ctx, name)
	}
	rule, stored, err := s.prepare(ctx, req.Rule, rec.Rule, lookup)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	rec = store.Rule{Name: req.Name, Rule: stored, Created: now, Updated: now}
	if err = s.Catalog.Rules.Create(ctx, rec); errors.Is(err, store.ErrExists) {
		rec, err = s.Catalog.Rules.Update(ctx, req.Name, func(r *store.Rule) error {
			r.Rule, r.Updated = stored, now
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("save rule %s: %w", req.Name, err)
	}
	s.rulesChanged(ctx, req.Name)
	return viewRule(rec, rule)
}

// GetRule implements rpc.AccessHandler.
func (s *Service) GetRule(ctx context.Context, req *rpc.GetRuleRequest) (*rpc.Rule, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	rec, err := s.Catalog.Rules.Get(ctx, req.Name)
	if err != nil {
		return nil, rpc.NotFound(err, "rule", req.Name)
	}
	return loadView(rec)
}

// ListRules implements rpc.AccessHandler.
func (s *Service) ListRules(ctx context.Context, req *rpc.ListRulesRequest) (*rpc.ListRulesResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	q, err := rpc.Page(req.Limit, req.Cursor)
	if err != nil {
		return nil, err
	}
	recs, next, err := s.Catalog.Rules.List(ctx, q)
	if err != nil {
		return nil, rpc.ListError(err, "rules")
	}
	out := &rpc.ListRulesResponse{NextCursor: next}
	for _, rec := range recs {
		rule, err := loadView(rec)
		if err != nil {
			return nil, err
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

// DeleteRule implements rpc.AccessHandler.
func (s *Service) DeleteRule(ctx context.Context, req *rpc.DeleteRuleRequest) (*rpc.DeleteRuleResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if err := s.Catalog.Rules.Delete(ctx, req.Name); err != nil {
		return nil, rpc.NotFound(err, "rule", req.Name)
	}
	s.rulesChanged(ctx, req.Name)
	return &rpc.DeleteRuleResponse{}, nil
}

// rulesChanged has every session asked again: which of them a named rule
// concerns takes as long to find out.
func (s *Service) rulesChanged(ctx context.Context, name string) {
	s.Log.InfoContext(ctx, "named rule changed", "rule", name)
	s.Changed(decisions.EveryVideo)
	events.RulesChanged.Announce(s.Bus, s.Log, events.Rules{Name: name})
}

// lookup returns a named rule; ErrNoRule.
type lookup = func(name string) (*rules.Rule, error)

func (s *Service) named(ctx context.Context) lookup {
	return func(name string) (*rules.Rule, error) { return s.decider.Rules.Named(ctx, name) }
}

// prepare reads a rule that comes from outside and makes it fit to be stored:
// before is what it replaces. Its errors name the place.
func (s *Service) prepare(ctx context.Context, given *structpb.Struct, before []byte, find lookup) (*rules.Rule, []byte, error) {
	rule, err := s.readRule(ctx, given)
	if err != nil {
		return nil, nil, err
	}
	var old *rules.Rule
	if len(before) > 0 {
		old, _ = rules.Load(before) // one that cannot be read has no password to keep
	}
	if err := rule.Keep(old); err != nil {
		return nil, nil, ruleError(err)
	}
	if err := s.passwords.Seal(ctx, rule); err != nil {
		return nil, nil, err
	}
	if _, err := s.expand(rule, find); err != nil {
		return nil, nil, err
	}
	stored, err := rule.Stored()
	return rule, stored, err
}

// expand looks up what a rule from outside refers to, and refuses what cannot
// be there: a missing rule, a chain that is not configured.
func (s *Service) expand(rule *rules.Rule, find lookup) (*rules.Rule, error) {
	expanded, err := rule.Expand(find)
	if err != nil {
		return nil, ruleError(err)
	}
	if err := expanded.Check(s.Chains.IDs()); err != nil {
		return nil, ruleError(err)
	}
	return expanded, nil
}

// readRule parses a rule as it came over the API.
func (s *Service) readRule(ctx context.Context, given *structpb.Struct) (*rules.Rule, error) {
	if given == nil {
		return nil, rpc.Invalid("invalid_rule", "The rule is missing: give one, such as {\"public\": true}.")
	}
	rule, err := rules.FromStruct(given, s.Chains.IDs(), func(chain uint64, contract eth.Address) (rules.Kind, error) {
		return s.contractKind(ctx, chain, contract)
	})
	return rule, ruleError(err)
}

// contractKind asks a contract whether it is an erc721 or an erc1155.
func (s *Service) contractKind(ctx context.Context, chain uint64, contract eth.Address) (rules.Kind, error) {
	kind, err := s.decider.Facts.Kind(ctx, chain, contract)
	if errors.Is(err, eth.ErrChainUnreachable) {
		return "", rpc.Errorf(connect.CodeUnavailable, "chain_unreachable",
			"%s cannot be reached to ask what %s is: write erc721 or erc1155, or try again.", s.Policy.Chain(chain), contract)
	}
	return kind, err
}

// ruleError is a *rules.Error as the API shows it; other errors pass.
func ruleError(err error) error {
	var bad *rules.Error
	if errors.As(err, &bad) {
		return rpc.Invalid("invalid_rule", "%s.", bad)
	}
	return err
}

func viewVideoRule(videoID string, rule *rules.Rule) (*rpc.VideoRule, error) {
	shown, err := shownRule(rule)
	return &rpc.VideoRule{VideoId: videoID, Rule: shown}, err
}

func loadView(rec store.Rule) (*rpc.Rule, error) {
	rule, err := rules.Load(rec.Rule)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", rec.Name, err)
	}
	return viewRule(rec, rule)
}

func viewRule(rec store.Rule, rule *rules.Rule) (*rpc.Rule, error) {
	shown, err := shownRule(rule)
	return &rpc.Rule{
		Name: rec.Name, Rule: shown, CreatedAt: timestamppb.New(rec.Created), UpdatedAt: timestamppb.New(rec.Updated),
	}, err
}

// shownRule is a rule without its secrets.
func shownRule(rule *rules.Rule) (*structpb.Struct, error) {
	data, err := rule.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("show a rule: %w", err)
	}
	out := &structpb.Struct{}
	return out, protojson.Unmarshal(data, out)
}

package access

import (
	"context"
	"errors"
	"maps"
	"math/big"
	"slices"
	"time"

	"streamgate/store"
)

const (
	// recheckBatch is how many sessions share one reading of the chains.
	recheckBatch = 500
	// recheckNeeds is how many facts of one chain are asked at once.
	recheckNeeds = 1500
	// secondTry is how soon a chain that gave no answer is asked once more
	// before sessions end for it.
	secondTry = 250 * time.Millisecond
)

// recheck asks the rules of sessions again and ends those that are no longer
// admitted. ended is called for each of them, after it has ended; it may be nil.
func (s *Service) recheck(ctx context.Context, list []*playing, ended func(*playing)) {
	for part := range slices.Chunk(list, recheckBatch) {
		why, err := s.ask(ctx, part)
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Error("sessions could not be checked; they are asked again", "count", len(part), "err", err)
			}
			continue
		}
		for p, failure := range why {
			if err := s.end(ctx, p.id, failure); err != nil {
				s.Log.Error("a session could not be ended; it is asked again", "session", p.id, "err", err)
				continue
			}
			if ended != nil {
				ended(p)
			}
		}
	}
}

// ask decides about live sessions: why has those that must end.
func (s *Service) ask(ctx context.Context, list []*playing) (why map[*playing]*store.Failure, err error) {
	why, unsure, err := s.askOnce(ctx, list)
	if err != nil || len(unsure) == 0 {
		return why, err
	}
	select { // the chain may only have stumbled
	case <-time.After(secondTry):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	again, _, err := s.askOnce(ctx, unsure)
	if err != nil {
		return nil, err
	}
	for _, p := range unsure {
		delete(why, p)
	}
	maps.Copy(why, again)
	return why, nil
}

// askOnce is ask; unsure are those of why whose chain gave no answer.
func (s *Service) askOnce(ctx context.Context, list []*playing) (why map[*playing]*store.Failure, unsure []*playing, err error) {
	why = map[*playing]*store.Failure{}
	rules := map[*playing]*Rule{}
	for _, p := range list {
		rule, failure, err := s.ruleFor(ctx, p)
		switch {
		case err != nil:
			return nil, nil, err
		case failure != nil:
			why[p] = failure
		default:
			rules[p] = rule
		}
	}
	facts := s.factsFor(ctx, rules)
	now := time.Now()
	for p, rule := range rules {
		d := Decide(rule, s.roster.viewerOf(p), facts, s.Policy, now)
		s.metrics.decided(&d)
		if d.Admit {
			s.roster.decided(p, d.Memory, s.nextCheck(&d, now))
			continue
		}
		why[p] = failureOf(&d)
		if d.Reason == ReasonChainUnreachable {
			unsure = append(unsure, p)
		}
	}
	return why, unsure, nil
}

// nextCheck is when a decision is to be made again, if nothing happens before.
func (s *Service) nextCheck(d *Decision, now time.Time) time.Time {
	due := now.Add(s.Recheck)
	if !d.Until.IsZero() && d.Until.Before(due) {
		due = d.Until
	}
	return due
}

// ruleFor returns the rule by which a session goes on, or why it cannot.
func (s *Service) ruleFor(ctx context.Context, p *playing) (*Rule, *store.Failure, error) {
	e, err := s.book.get(ctx, p.videoID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &store.Failure{Code: "video_deleted", Message: "The video has been removed."}, nil
	case err != nil:
		return nil, nil, err
	case e.public || p.preview:
		return public(), nil, nil
	case e.rule == nil:
		return nil, &store.Failure{Code: reasonPrivate, Message: "The video has been made private."}, nil
	}
	return e.rule, nil, nil
}

// factsFor reads what the decisions need, each fact once, all chains at once.
func (s *Service) factsFor(ctx context.Context, rules map[*playing]*Rule) Facts {
	needs := map[FactKey]Need{}
	for p, rule := range rules {
		for chain, list := range Questions(rule, s.roster.viewerOf(p)) {
			for _, need := range list {
				key := keyOf(chain, need.Question)
				if known, ok := needs[key]; !ok || need.Min.Cmp(known.Min) > 0 {
					needs[key] = need
				}
			}
		}
	}
	facts := Facts{}
	for part := range slices.Chunk(slices.Collect(maps.Keys(needs)), recheckNeeds) {
		byChain := map[uint64][]Need{}
		for _, key := range part {
			byChain[key.Chain] = append(byChain[key.Chain], Need{needs[key].Question, new(big.Int).Set(needs[key].Min)})
		}
		maps.Copy(facts, s.facts.Facts(ctx, byChain))
	}
	return facts
}

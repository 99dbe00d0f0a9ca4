package access

import (
	"context"
	"errors"
	"maps"
	"math/big"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/store"
)

const (
	// recheckBatch is how many sessions share one reading of the chains.
	recheckBatch = 500
	// endsAtOnce is how many sessions are ended together, so that they share
	// the store's commits.
	endsAtOnce = 64
)

// tries are the pauses after which a chain that gave no answer is asked again
// before sessions end for it: an endpoint stumbles, or lags a block behind.
var tries = [...]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// verdict is why a session must end.
type verdict struct {
	failure  *store.Failure
	decision *Decision // nil if it was none
}

// recheck asks the rules of sessions again and ends those that are no longer
// admitted. ended is called for each of them, after it has ended and by many at
// once; it may be nil. It tells whether all of them could be asked; what could
// not be is logged.
func (s *Service) recheck(ctx context.Context, list []*playing, ended func(*playing)) bool {
	var failed atomic.Bool
	pauses := tries[:]
	for part := range slices.Chunk(list, recheckBatch) {
		why, unsure, err := s.ask(ctx, part, pauses)
		if unsure {
			pauses = nil // the others need not wait for the same chain
		}
		if err != nil {
			failed.Store(true)
			if ctx.Err() == nil {
				s.Log.Error("sessions could not be checked; they will be asked again", "count", len(part), "err", err)
			}
			continue
		}
		var ends errgroup.Group
		ends.SetLimit(endsAtOnce)
		for p, v := range why {
			ends.Go(func() error {
				if err := s.end(ctx, p.id, v.failure); err != nil {
					failed.Store(true)
					s.Log.Error("a session could not be ended; it will be asked again", "session", p.id, "err", err)
				} else if ended != nil {
					ended(p)
				}
				return nil
			})
		}
		_ = ends.Wait() // none fails
	}
	return !failed.Load()
}

// ask decides about live sessions: why has those that must end. Those whose
// chain gives no answer are asked again after each of the pauses; unsure tells
// that there are some to the end.
func (s *Service) ask(ctx context.Context, list []*playing, pauses []time.Duration) (why map[*playing]*verdict, unsure bool, err error) {
	why, open, err := s.askOnce(ctx, list)
	for i := 0; i < len(pauses) && err == nil && len(open) > 0; i++ {
		select {
		case <-time.After(pauses[i]):
		case <-ctx.Done():
			return nil, true, ctx.Err()
		}
		for _, p := range open {
			delete(why, p)
		}
		var again map[*playing]*verdict
		again, open, err = s.askOnce(ctx, open)
		maps.Copy(why, again)
	}
	return why, len(open) > 0, err
}

// askOnce is ask; unsure are those of why whose chain gave no answer.
func (s *Service) askOnce(ctx context.Context, list []*playing) (why map[*playing]*verdict, unsure []*playing, err error) {
	why = map[*playing]*verdict{}
	rules := map[*playing]*Rule{}
	for _, p := range list {
		rule, failure, err := s.ruleFor(ctx, p)
		switch {
		case err != nil:
			return nil, nil, err
		case failure != nil:
			why[p] = &verdict{failure: failure}
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
		why[p] = &verdict{failureOf(&d), &d}
		if d.Reason == ReasonChainUnreachable {
			unsure = append(unsure, p)
		}
	}
	return why, unsure, nil
}

// nextCheck is when a decision is to be made again, if nothing happens before:
// soon, if it stands on what a chain said before it could not be reached.
func (s *Service) nextCheck(d *Decision, now time.Time) time.Time {
	due := now.Add(s.Recheck)
	if !d.Until.IsZero() && d.Until.Before(due) {
		due = d.Until
	}
	if chain, ok := d.Tree.graced(); ok {
		if soon := now.Add(s.pollInterval(chain)); soon.Before(due) {
			due = soon
		}
	}
	return due
}

// graced returns a chain whose earlier answer stands in the explanation.
func (x *Explanation) graced() (chain uint64, ok bool) {
	if x.Grace {
		return x.rule.Holding.Chain, true
	}
	for i := range x.Parts {
		if chain, ok = x.Parts[i].graced(); ok {
			return chain, true
		}
	}
	return 0, false
}

// ruleFor returns the rule by which a session goes on, or why it cannot.
func (s *Service) ruleFor(ctx context.Context, p *playing) (*Rule, *store.Failure, error) {
	e, err := s.book.get(ctx, p.videoID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &store.Failure{Code: reasonDeleted, Message: "The video has been removed."}, nil
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
	needs, at := map[uint64][]Need{}, map[FactKey]int{}
	for p, rule := range rules {
		for chain, list := range Questions(rule, s.roster.viewerOf(p)) {
			for _, need := range list {
				key := keyOf(chain, need.Question)
				i, known := at[key]
				if !known {
					at[key] = len(needs[chain])
					needs[chain] = append(needs[chain], need)
				} else if need.Min.Cmp(needs[chain][i].Min) > 0 {
					needs[chain][i].Min = new(big.Int).Set(need.Min)
				}
			}
		}
	}
	return s.facts.Facts(ctx, needs)
}

// concerned lists the sessions whose rules name a chain.
func (s *Service) concerned(ctx context.Context, chain uint64) []*playing {
	var list []*playing
	for _, p := range s.roster.all() {
		e, err := s.book.get(ctx, p.videoID)
		if err != nil || e.rule != nil && slices.Contains(e.rule.chains(), chain) {
			list = append(list, p)
		}
	}
	return list
}

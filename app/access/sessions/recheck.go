package sessions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/app/access/decisions"
	"streamgate/app/access/rules"
	"streamgate/store"
)

const (
	// recheckBatch is how many sessions share one reading of the chains.
	recheckBatch = 500
	// endsAtOnce is how many sessions are ended together, so that they share
	// the store's commits.
	endsAtOnce = 64
)

// retryPauses are the pauses after which a chain that gave no answer is asked again
// before sessions end for it: an endpoint stumbles, or lags a block behind.
var retryPauses = [...]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// outcome is why a session must end.
type outcome struct {
	failure  *store.Failure
	decision *rules.Decision // nil if it was none
}

// recheck asks the rules of sessions again and ends those that are no longer
// admitted. ended is called for each of them, after it has ended and by many at
// once; it may be nil. It tells whether all of them could be asked; what could
// not be is logged.
func (m *Manager) recheck(ctx context.Context, list []*liveSession, ended func(*liveSession)) bool {
	var failed atomic.Bool
	pauses := retryPauses[:]
	for part := range slices.Chunk(list, recheckBatch) {
		why, unsure, err := m.ask(ctx, part, pauses)
		if unsure {
			pauses = nil // the others need not wait for the same chain
		}
		if err != nil {
			failed.Store(true)
			if ctx.Err() == nil {
				m.Log.Error("sessions could not be checked; they will be asked again", "count", len(part), "err", err)
			}
			continue
		}
		var ends errgroup.Group
		ends.SetLimit(endsAtOnce)
		for p, v := range why {
			ends.Go(func() error {
				if err := m.end(ctx, p.id, v.failure); err != nil {
					failed.Store(true)
					m.Log.Error("a session could not be ended; it will be asked again", "session", p.id, "err", err)
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
func (m *Manager) ask(ctx context.Context, list []*liveSession, pauses []time.Duration) (why map[*liveSession]*outcome, unsure bool, err error) {
	why, open, err := m.askOnce(ctx, list)
	for i := 0; i < len(pauses) && err == nil && len(open) > 0; i++ {
		select {
		case <-time.After(pauses[i]):
		case <-ctx.Done():
			return nil, true, ctx.Err()
		}
		for _, p := range open {
			delete(why, p)
		}
		var again map[*liveSession]*outcome
		again, open, err = m.askOnce(ctx, open)
		maps.Copy(why, again)
	}
	return why, len(open) > 0, err
}

// askOnce is ask; unsure are those of why whose chain gave no answer.
func (m *Manager) askOnce(ctx context.Context, list []*liveSession) (why map[*liveSession]*outcome, unsure []*liveSession, err error) {
	why = map[*liveSession]*outcome{}
	ruleOf := map[*liveSession]*rules.Rule{}
	keys := keyReader{m.Catalog.Keys, map[string]bool{}}
	for _, p := range list {
		rule, failure, err := m.ruleFor(ctx, p, keys)
		switch {
		case err != nil:
			return nil, nil, err
		case failure != nil:
			why[p] = &outcome{failure: failure}
		default:
			ruleOf[p] = rule
		}
	}
	facts := m.factsFor(ctx, ruleOf)
	now := m.now()
	for p, rule := range ruleOf {
		d := m.Decider.FromFacts(rule, m.live.viewerOf(p), facts, now)
		if d.Admit {
			m.live.decided(p, d.Memory, m.nextCheck(&d, now))
			continue
		}
		why[p] = &outcome{failureOf(&d), &d}
		if d.Reason == rules.ReasonChainUnreachable {
			unsure = append(unsure, p)
		}
	}
	return why, unsure, nil
}

// nextCheck is when a decision is to be made again, if nothing happens before:
// soon, if it stands on what a chain said before it could not be reached.
func (m *Manager) nextCheck(d *rules.Decision, now time.Time) time.Time {
	due := now.Add(m.Recheck)
	if !d.Until.IsZero() && d.Until.Before(due) {
		due = d.Until
	}
	if chain, ok := d.Tree.Graced(); ok {
		if soon := now.Add(m.pollInterval(chain)); soon.Before(due) {
			due = soon
		}
	}
	return due
}

// ruleFor returns the rule by which a session goes on, or why it cannot.
func (m *Manager) ruleFor(ctx context.Context, p *liveSession, keys keyReader) (*rules.Rule, *store.Failure, error) {
	if counts, err := keys.counts(ctx, p.keyID); err != nil || !counts {
		return nil, keyRevoked(), err
	}
	e, err := m.Decider.Rules.Of(ctx, p.videoID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &store.Failure{Code: reasonDeleted, Message: "The video has been removed."}, nil
	case err != nil:
		return nil, nil, err
	case e.Public || p.preview:
		return rules.Public(), nil, nil
	case e.Rule == nil:
		return nil, &store.Failure{Code: decisions.ReasonPrivate, Message: "The video has been made private."}, nil
	}
	return e.Rule, nil, nil
}

// factsFor reads what the decisions need, each fact once, all chains at once.
func (m *Manager) factsFor(ctx context.Context, ruleOf map[*liveSession]*rules.Rule) rules.Facts {
	needs, at := map[uint64][]rules.Need{}, map[rules.FactKey]int{}
	for p, rule := range ruleOf {
		for chain, list := range rules.Questions(rule, m.live.viewerOf(p)) {
			for _, need := range list {
				key := rules.KeyOf(chain, need.Question)
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
	return m.Decider.Facts.Facts(ctx, needs)
}

// concerned lists the sessions whose rules name a chain.
func (m *Manager) concerned(ctx context.Context, chain uint64) []*liveSession {
	var list []*liveSession
	for _, p := range m.live.all() {
		e, err := m.Decider.Rules.Of(ctx, p.videoID)
		if err != nil || e.Rule != nil && slices.Contains(e.Rule.Chains(), chain) {
			list = append(list, p)
		}
	}
	return list
}

// failureOf is why a decision ends a session.
func failureOf(d *rules.Decision) *store.Failure {
	return &store.Failure{
		Code: string(d.Reason), Message: fmt.Sprintf("Your access has ended. %s", d.Sentence), Admits: d.Admits,
	}
}

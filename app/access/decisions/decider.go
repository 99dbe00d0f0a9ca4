// Package decisions answers whether a viewer may watch a video now: it looks up
// the rule in force, reads what the rule asks for from the chains, and decides.
//
// # What
//
// Decider has a RuleCache (the rules of videos, expanded) and a FactReader (what
// chains said, kept for a while; branch.go notices when a block that was read is
// undone). What it decides is shown to callers by View and Refusal.
//
// # Guarantees
//
// In doubt the gate stays shut: what could not be read is unknown, and nothing
// unknown admits. An answer from before a change that is known of is refused.
// Those who need the same fact at the same time share one reading.
//
// # Testing
//
// Against a table of balances that can fail, stall and lag (eth/ethtest).
package decisions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/access/rules"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Config is what a Decider needs.
type Config struct {
	Catalog store.Catalog
	Policy  rules.Policy // NoLogs is set by the decider
	Facts   FactReaderConfig
	Metrics prometheus.Registerer // nil: no metrics
}

// Decider decides about viewers, by the rules in force and what chains say. Its
// methods are safe for concurrent use.
type Decider struct {
	Facts *FactReader
	Rules *RuleCache

	policy  rules.Policy
	noLogs  *noLogs
	metrics *prometheus.CounterVec
}

// New returns a decider that knows nothing yet.
func New(cfg Config) (*Decider, error) {
	d := &Decider{
		Facts: NewFactReader(cfg.Facts), Rules: NewRuleCache(cfg.Catalog), policy: cfg.Policy, noLogs: newNoLogs(),
		metrics: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Subsystem: "access",
			Name: "decisions_total", Help: "Decisions about viewers, by reason; admitted for those let in."}, []string{"reason"}),
	}
	d.policy.NoLogs = d.noLogs.has
	if cfg.Metrics == nil {
		return d, nil
	}
	for _, c := range []prometheus.Collector{d.metrics, d.noLogs.listed} {
		if err := cfg.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("metrics of decisions: %w", err)
		}
	}
	return d, nil
}

// Decide says whether a viewer is admitted by an expanded rule, reading what is
// not known of the chains.
func (d *Decider) Decide(ctx context.Context, rule *rules.Rule, viewer rules.Viewer) rules.Decision {
	return d.FromFacts(rule, viewer, d.Facts.Facts(ctx, rules.Questions(rule, viewer)), time.Now())
}

// FromFacts decides from facts that the caller has read, perhaps for many viewers
// together. It does no I/O.
func (d *Decider) FromFacts(rule *rules.Rule, viewer rules.Viewer, facts rules.Facts, now time.Time) rules.Decision {
	decision := rules.Decide(rule, viewer, facts, d.policy, now)
	reason := "admitted"
	if !decision.Admit {
		reason = string(decision.Reason)
	}
	d.metrics.WithLabelValues(reason).Inc()
	return decision
}

// ReasonPrivate is the code of a video without a rule, which only sessions that a
// key has made may play.
const ReasonPrivate = "private"

// RuleOf returns the rule that decides about viewers of a video: the coded error
// video_not_found, or private if none admits viewers.
func (d *Decider) RuleOf(ctx context.Context, videoID string) (*rules.Rule, error) {
	now, err := d.Rules.Of(ctx, videoID)
	return inForce(now, videoID, err)
}

// RuleOfVideo is RuleOf a video that the caller has just read.
func (d *Decider) RuleOfVideo(ctx context.Context, video *store.Video) (*rules.Rule, error) {
	now, err := d.Rules.OfVideo(ctx, video)
	return inForce(now, video.ID, err)
}

func inForce(now InForce, videoID string, err error) (*rules.Rule, error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, rpc.NotFound(store.ErrNotFound, "video", videoID)
	case err != nil:
		return nil, err
	case now.Public:
		return rules.Public(), nil
	case now.Rule == nil:
		return nil, rpc.Errorf(connect.CodePermissionDenied, ReasonPrivate,
			"This video is private: ask its owner for a link that lets you watch it.")
	}
	return now.Rule, nil
}

// SetNoLogs notes whether a chain's endpoints list no logs, which decisions then
// say, and tells whether that is new.
func (d *Decider) SetNoLogs(chain uint64, none bool) (changed bool) { return d.noLogs.set(chain, none) }

// NoLogs tells whether a chain's endpoints list no logs.
func (d *Decider) NoLogs(chain uint64) bool { return d.noLogs.has(chain) }

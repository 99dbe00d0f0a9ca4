package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/store"
)

const (
	decisionsKept  = 7 * 24 * time.Hour
	decisionsSwept = time.Hour
	// mostDecisions is how many of an outcome a sweep leaves: more than the bounds
	// let in, unless nodes that count for themselves are started again and again.
	mostDecisions = 30_000
	// decisionWriters is how many records are written at the same time, to share
	// a commit.
	decisionWriters = 32
	decisionsEnd    = 5 * time.Second // for the last ones, when the node stops
)

// decisionBound is how many decisions of one outcome are kept: so many at once, then
// so many an hour.
type decisionBound struct {
	burst   int
	perHour float64
}

// The bounds, of all decisions of an outcome, of those about one video and of
// those about one wallet. In a week at most 2 × (1000 + 168 × 150) = 52,400
// records are kept.
var (
	allDecisions    = decisionBound{1000, 150}
	videoDecisions  = decisionBound{300, 60}
	walletDecisions = decisionBound{60, 12}
)

// Run writes what is decided, and removes what is older than a week, until ctx
// ends.
func (d *Decisions) Run(ctx context.Context) error {
	write, sweep := time.NewTicker(decisionsWritten), time.NewTicker(decisionsSwept)
	defer write.Stop()
	defer sweep.Stop()
	d.try(ctx, "remove old decisions", d.sweep)
	for {
		select {
		case <-ctx.Done():
			d.finish(context.WithoutCancel(ctx))
			return nil
		case <-write.C:
			d.try(ctx, "keep decisions", func(ctx context.Context) error { return d.write(ctx, false) })
		case <-sweep.C:
			d.try(ctx, "remove old decisions", d.sweep)
		}
	}
}

// finish writes all that is not written: what is left out then, too.
func (d *Decisions) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, decisionsEnd)
	defer cancel()
	for range 2 {
		d.try(ctx, "keep decisions", func(ctx context.Context) error { return d.write(ctx, true) })
	}
}

// try logs what fails: it is tried again at the next turn.
func (d *Decisions) try(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); err != nil && ctx.Err() == nil {
		d.cfg.Log.WarnContext(ctx, what, "err", err)
	}
}

// write stores the decisions that are new, and the counts of those to which no
// more are added; at the end of the node, of all.
func (d *Decisions) write(ctx context.Context, all bool) error {
	var group errgroup.Group
	group.SetLimit(decisionWriters)
	for _, w := range d.due(all) {
		group.Go(func() error { return d.writeOne(ctx, w) })
	}
	return group.Wait()
}

// decisionWrite is a record as it is to be written now.
type decisionWrite struct {
	of    *openDecision
	rec   store.Decision
	first bool // it is not in the store yet
}

// due are the records to be written.
func (d *Decisions) due(all bool) (out []decisionWrite) {
	d.mu.Lock()
	defer d.mu.Unlock()
	add := func(o *openDecision) { out = append(out, decisionWrite{o, o.Decision, o.written == 0}) }
	now := d.cfg.Now()
	for _, o := range d.open {
		switch {
		case all || o.over(now):
			d.close(o)
		case o.written == 0:
			add(o)
		}
	}
	d.closed = slices.DeleteFunc(d.closed, func(o *openDecision) bool { return o.Count == o.written })
	for _, o := range d.closed {
		add(o)
	}
	return out
}

func (d *Decisions) writeOne(ctx context.Context, w decisionWrite) error {
	if w.first {
		room, err := d.room(ctx, w.rec)
		if err != nil {
			return err
		}
		if !room {
			d.refuse(w.of)
			return nil
		}
	}
	if err := d.put(ctx, w); err != nil {
		return fmt.Errorf("decision about video %s: %w", w.rec.VideoID, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w.of.written = w.rec.Count
	return nil
}

func (d *Decisions) put(ctx context.Context, w decisionWrite) error {
	table, count := d.cfg.Catalog.Decisions, func(rec *store.Decision) error {
		rec.Count, rec.Last, rec.Client, rec.Vaults = w.rec.Count, w.rec.Last, w.rec.Client, w.rec.Vaults
		return nil
	}
	if w.first {
		err := table.Create(ctx, w.rec)
		if !errors.Is(err, store.ErrExists) { // else the answer to the last try was lost
			return err
		}
	}
	_, err := table.Update(ctx, w.rec.ID, count)
	if errors.Is(err, store.ErrNotFound) { // it was a week old
		return nil
	}
	return err
}

// refuse counts a record for which there is no room among those that are left
// out.
func (d *Decisions) refuse(o *openDecision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.written = o.Count
	if d.open[o.key] == o {
		delete(d.open, o.key)
	}
	d.leaveOut(o.Outcome, o.Count)
}

// room tells whether one more decision may be kept.
func (d *Decisions) room(ctx context.Context, rec store.Decision) (bool, error) {
	if rec.Outcome == store.DecisionLeftOut {
		return true, nil
	}
	of := "decisions/" + string(rec.Outcome)
	if rec.Wallet != "" {
		if ok, err := d.allow(ctx, of+"/wallet/"+rec.Wallet, walletDecisions); !ok || err != nil {
			return false, err
		}
	}
	if ok, err := d.allow(ctx, of+"/video/"+rec.VideoID, videoDecisions); !ok || err != nil {
		return false, err
	}
	return d.allow(ctx, of, allDecisions)
}

func (d *Decisions) allow(ctx context.Context, key string, b decisionBound) (bool, error) {
	got, err := d.cfg.Cache.Allow(ctx, key, b.perHour/3600, b.burst)
	if err != nil {
		return false, fmt.Errorf("count the decisions: %w", err)
	}
	return got.OK, nil
}

// sweep removes what is older than a week, or too much.
func (d *Decisions) sweep(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(decisionWriters)
	old, kept := d.cfg.Now().Add(-decisionsKept), map[store.DecisionOutcome]int{}
	for rec, err := range store.All(ctx, d.cfg.Catalog.Decisions, store.Query{}) { // the newest first
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		if kept[rec.Outcome] < mostDecisions && rec.Last.After(old) {
			kept[rec.Outcome]++
			continue
		}
		group.Go(func() error {
			err := d.cfg.Catalog.Decisions.Delete(ctx, rec.ID)
			if errors.Is(err, store.ErrNotFound) { // another node was faster
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

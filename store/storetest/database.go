package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"streamgate/store"
)

// Kept is a backend of which the suite of store.Database sees all.
type Kept interface {
	store.Database
	Catalog() store.Catalog
	Queue() store.Queue
}

// TestDatabase checks a store.Database. open returns an empty one that is closed by
// the test's cleanup; other opens one of another backend, or of the same.
func TestDatabase(t *testing.T, open, other func(t *testing.T) Kept) {
	t.Run("what is restored is what was dumped", func(t *testing.T) { databaseCopied(t, open(t), other(t)) })
	t.Run("and back again", func(t *testing.T) { databaseCopied(t, other(t), open(t)) })
	t.Run("restoring replaces", func(t *testing.T) { databaseReplaced(t, open(t), other(t)) })
	t.Run("a held database refuses writes", func(t *testing.T) { databaseHeld(t, open(t)) })
	t.Run("a hold that was lost leaves nothing", func(t *testing.T) { databaseHoldLost(t, open(t)) })
	t.Run("what was moved is not in use", func(t *testing.T) { databaseMoved(t, open(t)) })
}

// fill stores something of everything, and jobs in each state.
func fill(t *testing.T, db Kept) {
	t.Helper()
	c, q, ctx := db.Catalog(), db.Queue(), t.Context()
	testTables(t, c)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	plan := store.Plan{Timeline: store.Timeline{Timescale: 25, Bounds: []int64{0, 100, 200}}, Renditions: []store.Rendition{{Name: "720p", Kind: store.KindVideo, Init: []byte{0, 0xff}}}}
	check(t, c.Plans.SavePlan(ctx, "x", plan))
	check(t, c.Plans.SavePlan(ctx, "y", plan))
	_, err := c.Plans.UpdatePlan(ctx, "y", func(p *store.Plan) error {
		p.Retired = []store.Retired{{Rendition: store.Rendition{Name: "old"}, Until: at}}
		return nil
	})
	check(t, err)
	check(t, c.Plans.MarkCells(ctx, "x", store.Cell{Rendition: "720p", Segment: 9, Bytes: 1000}, store.Cell{Rendition: "720p", Segment: 0, Bytes: 7}, store.Cell{Rendition: "audio-en", Segment: 1, Bytes: 3}))
	_, err = c.Secrets.Secret(ctx, "tickets", func() []byte { return []byte{0, 1, 0xff} })
	check(t, err)
	_, err = c.Videos.Update(ctx, "x", func(v *store.Video) error { v.Title = "Line\u0000 & <b>"; return nil })
	check(t, err)
	check(t, q.Push(ctx,
		store.Job{ID: "leased", TaskID: "t", VideoID: "x", Kind: store.JobChunk, Rank: store.RankDemanded, Priority: 100, Created: at, From: 1, To: 2, Trace: "00-1"},
		store.Job{ID: "ready", TaskID: "t", VideoID: "x", Kind: store.JobChunk, Priority: 50, Created: at, Ordinal: 3},
		store.Job{ID: "later", TaskID: "t", VideoID: "x", Kind: store.JobAudio, Priority: 50, Created: at, Delay: time.Hour},
		store.Job{ID: "backlog", TaskID: "u", VideoID: "y", Kind: store.JobPlan, Created: at, Backlog: true},
		store.Job{ID: "paused", TaskID: "v", VideoID: "y", Kind: store.JobStills, Created: at},
		store.Job{ID: "done", TaskID: "t", VideoID: "x", Rank: store.RankDemanded, Priority: 101, Kind: store.JobPlan, Created: at},
	))
	req := store.LeaseRequest{Owner: store.Owner{Node: "n", Boot: "b", Worker: "w"}, MaxRank: store.RankDemanded, TTL: time.Hour}
	done, err := q.Lease(ctx, req)
	check(t, err)
	check(t, q.Finish(ctx, done[0].ID, done[0].Lease.Token, store.Outcome{Retry: true, Failure: &store.Failure{Code: "f", Message: "m"}, Log: "l"}))
	done, err = q.Lease(ctx, req)
	check(t, err)
	check(t, q.Finish(ctx, done[0].ID, done[0].Lease.Token, store.Outcome{}))
	_, err = q.Lease(ctx, req)
	check(t, err)
	_, err = q.PauseTask(ctx, "v")
	check(t, err)
	check(t, q.SetPaused(ctx, true))
}

// dumped are all entries, by table and id.
func dumped(t *testing.T, db store.Database) map[string]string {
	t.Helper()
	all := map[string]string{}
	table := ""
	for e, err := range db.Dump(t.Context()) {
		check(t, err)
		if e.Table != table {
			if slices.Index(store.Tables(), e.Table) <= slices.Index(store.Tables(), table) {
				t.Errorf("%s comes after %s", e.Table, table)
			}
			table = e.Table
		}
		name := e.Table + " " + e.ID
		if _, twice := all[name]; twice {
			t.Errorf("%s comes twice", name)
		}
		all[name] = string(e.Data)
	}
	return all
}

func wantDump(t *testing.T, db store.Database, want map[string]string) {
	t.Helper()
	got := dumped(t, db)
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s: %s, want %s", name, got[name], data)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
}

func arriving(t *testing.T, db store.Database) {
	t.Helper()
	check(t, db.SetStanding(t.Context(), store.Standing{State: store.StandingArriving, Deployment: "d", Other: "/o.yaml", At: time.Now().UTC()}))
}

func databaseCopied(t *testing.T, from, to Kept) {
	fill(t, from)
	ctx := t.Context()
	check(t, from.Hold(ctx, time.Minute))
	want := dumped(t, from)
	for _, table := range store.Tables() {
		if !slices.ContainsFunc(slices.Collect(keysOf(want)), func(name string) bool { return len(name) > len(table) && name[:len(table)+1] == table+" " }) {
			t.Errorf("nothing of %s is dumped", table)
		}
	}
	arriving(t, to)
	check(t, to.Restore(ctx, from.Dump(ctx)))
	check(t, to.SetStanding(ctx, store.Standing{}))
	wantDump(t, to, want)

	// All reads are the same, and what goes on goes on from there.
	for _, id := range []string{"leased", "ready", "later", "backlog", "paused", "done"} {
		was, err := from.Queue().Job(ctx, id)
		check(t, err)
		is, err := to.Queue().Job(ctx, id)
		check(t, err)
		if was.State == store.JobLeased {
			was.State, was.Progress, was.RunAt, was.Lease = store.JobReady, 0, time.Time{}, store.Lease{Token: was.Lease.Token}
		}
		same(t, "job "+id, is, was)
	}
	cells, err := to.Catalog().Plans.Cells(ctx, "x")
	check(t, err)
	wantCells, err := from.Catalog().Plans.Cells(ctx, "x")
	check(t, err)
	same(t, "cells", cells, wantCells)
	due, err := to.Catalog().Plans.RemovalsDue(ctx, time.Now().Add(time.Hour))
	check(t, err)
	same(t, "removals that are due", due, []string{"y"})
	list, _, err := to.Catalog().Sessions.List(ctx, store.Query{Parent: "x", State: string(store.SessionEnded)})
	check(t, err)
	same(t, "sessions by parent and state", len(list), 1)
	stats, err := to.Queue().Stats(ctx)
	check(t, err)
	same(t, "stats", fmt.Sprint(stats.Backlog, stats.Later, stats.Ready, stats.Leased, stats.Paused, stats.Done, stats.QueuePaused), "1 1 2 0 1 1 true")

	old, err := from.Queue().Job(ctx, "leased")
	check(t, err)
	check(t, to.Queue().SetPaused(ctx, false))
	leased, err := to.Queue().Lease(ctx, store.LeaseRequest{MaxRank: store.RankOrdinary, TTL: time.Minute})
	check(t, err)
	same(t, "first job", leased[0].ID, "leased")
	if leased[0].Lease.Token <= old.Lease.Token {
		t.Errorf("token %d is not above %d", leased[0].Lease.Token, old.Lease.Token)
	}
	wantErr(t, "finish by the old token", to.Queue().Finish(ctx, "leased", old.Lease.Token, store.Outcome{}), store.ErrLeaseLost)
}

func keysOf(m map[string]string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func databaseReplaced(t *testing.T, db, from Kept) {
	fill(t, from)
	ctx := t.Context()
	check(t, db.Catalog().Keys.Create(ctx, store.Key{ID: "mine"}))
	check(t, db.Catalog().Plans.MarkCells(ctx, "mine", store.Cell{Rendition: "r", Segment: 1, Bytes: 1}))
	check(t, db.Queue().Push(ctx, store.Job{ID: "mine", TaskID: "mine"}))
	if err := db.Restore(ctx, from.Dump(ctx)); err == nil {
		t.Fatal("a database in use was overwritten")
	}
	arriving(t, db)
	broken := errors.New("broken")
	err := db.Restore(ctx, func(yield func(store.Entry, error) bool) {
		for e, err := range from.Dump(ctx) {
			if !yield(e, err) {
				return
			}
		}
		yield(store.Entry{}, broken)
	})
	wantErr(t, "restore", err, broken)
	want := dumped(t, from)
	check(t, db.Restore(ctx, from.Dump(ctx)))
	wantDump(t, db, want)
	check(t, db.Restore(ctx, from.Dump(ctx)))
	wantDump(t, db, want)
}

func databaseHeld(t *testing.T, db Kept) {
	fill(t, db)
	ctx, c := t.Context(), db.Catalog()
	check(t, db.Hold(ctx, time.Minute))
	check(t, db.Hold(ctx, time.Minute))
	before := dumped(t, db)
	_, err := c.Keys.Update(ctx, "x", func(k *store.Key) error { k.Name = "New"; return nil })
	_, lease := db.Queue().Lease(ctx, store.LeaseRequest{MaxRank: store.RankOrdinary, TTL: time.Minute})
	_, secret := c.Secrets.Secret(ctx, "new", func() []byte { return []byte{1} })
	for what, err := range map[string]error{
		"create": c.Keys.Create(ctx, store.Key{ID: "new"}), "update": err, "delete": c.Keys.Delete(ctx, "x"), "lease": lease, "secret": secret,
		"push": db.Queue().Push(ctx, store.Job{ID: "new"}), "pause": db.Queue().SetPaused(ctx, false),
		"cells": c.Plans.MarkCells(ctx, "x", store.Cell{Rendition: "720p", Segment: 2}),
	} {
		wantErr(t, what, err, store.ErrReadOnly)
		wantErr(t, what, err, store.ErrUnavailable)
	}
	_, err = c.Keys.Get(ctx, "x")
	check(t, err)
	got, err := c.Secrets.Secret(ctx, "tickets", func() []byte { t.Error("made again"); return []byte{1} })
	check(t, err)
	same(t, "secret", got, []byte{0, 1, 0xff})
	wantDump(t, db, before)
	check(t, db.Release(ctx))
	check(t, db.Release(ctx))
	check(t, c.Keys.Create(ctx, store.Key{ID: "new"}))
}

func databaseHoldLost(t *testing.T, db Kept) {
	ctx := t.Context()
	wantErr(t, "leave without a hold", db.SetStanding(ctx, store.Standing{State: store.StandingMoved}), store.ErrHoldLost)
	check(t, db.Hold(ctx, time.Millisecond))
	for db.Catalog().Keys.Create(ctx, store.Key{ID: store.NewID()}) != nil { // until the hold has ended
		check(t, ctx.Err())
	}
	wantErr(t, "hold on", db.Hold(ctx, time.Minute), store.ErrHoldLost)
	wantErr(t, "leave", db.SetStanding(ctx, store.Standing{State: store.StandingMoved}), store.ErrHoldLost)
	check(t, db.Release(ctx))
	check(t, db.Hold(ctx, time.Minute))
	check(t, db.SetStanding(ctx, store.Standing{State: store.StandingMoved}))
}

func databaseMoved(t *testing.T, db Kept) {
	ctx := t.Context()
	fill(t, db)
	want := dumped(t, db)
	moved := store.Standing{State: store.StandingMoved, Deployment: "d", Other: "/o.yaml", At: time.Now().UTC()}
	check(t, db.Hold(ctx, time.Minute))
	check(t, db.SetStanding(ctx, moved))
	got, err := db.Standing(ctx)
	check(t, err)
	same(t, "standing", asJSON(t, got), asJSON(t, moved))
	check(t, db.Release(ctx))
	err = db.Catalog().Keys.Create(ctx, store.Key{ID: "new"})
	wantErr(t, "create", err, store.ErrMoved)
	wantErr(t, "create", err, store.ErrUnavailable)
	wantDump(t, db, want)
	check(t, db.SetStanding(ctx, store.Standing{}))
	check(t, db.Catalog().Keys.Create(ctx, store.Key{ID: "new"}))
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	check(t, err)
	return string(data)
}

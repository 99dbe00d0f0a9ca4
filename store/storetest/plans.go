package storetest

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"streamgate/store"
)

// TestPlans checks a store.Plans. open returns an empty one that is closed by
// the test's cleanup.
func TestPlans(t *testing.T, open func(t *testing.T) store.Plans) {
	for _, test := range []struct {
		name string
		run  func(*plansTest)
	}{
		{"a plan is kept whole", (*plansTest).keep},
		{"a plan is for ever", (*plansTest).forEver},
		{"an update raises the revision", (*plansTest).update},
		{"a failed update changes nothing", (*plansTest).updateFails},
		{"removals come due", (*plansTest).removalsDue},
		{"cells are marked once", (*plansTest).mark},
		{"cells that cannot be are refused", (*plansTest).markBad},
		{"the cells of a rendition are removed", (*plansTest).removeCells},
		{"delete", (*plansTest).delete},
		{"unknown videos", (*plansTest).unknown},
		{"what is returned are copies", (*plansTest).copies},
		{"a cancelled context changes nothing", (*plansTest).cancelledContext},
		{"of many saves one is kept", (*plansTest).manySave},
		{"no mark is lost among many", (*plansTest).manyMark},
		{"no update is lost among many", (*plansTest).manyUpdate},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&plansTest{t, open(t)}) })
	}
}

// plansTest is one subtest with its plans.
type plansTest struct {
	*testing.T
	plans store.Plans
}

func plan(object string) store.Plan {
	return store.Plan{
		Source: store.Source{Object: object, Format: "mov", AudioStream: -1, Start: -3, AudioStart: -0.021, FrameRate: 29.97},
		Timeline: store.Timeline{
			Timescale: 90000, Bounds: []int64{0, 360360, 720720, 1 << 40}, Frames: []int{0, 120, 240, 250},
		},
		Renditions: []store.Rendition{
			{Name: "720p", Kind: store.KindVideo, Codecs: "avc1.64001f", Init: []byte{0, 0xff, '<', '&'}, Width: 1280},
			{Name: "audio-en", Kind: store.KindAudio, Bounds: []int64{0, 1024}, SampleRate: 48000},
		},
	}
}

func (p *plansTest) markCells(video string, cells ...store.Cell) {
	p.Helper()
	check(p.T, p.plans.MarkCells(p.Context(), video, cells...))
}

func (p *plansTest) cells(video string) store.Cells {
	p.Helper()
	cells, err := p.plans.Cells(p.Context(), video)
	check(p.T, err)
	return cells
}

func (p *plansTest) keep() {
	want := plan("videos/v1/source")
	check(p.T, p.plans.SavePlan(p.Context(), "v1", want))
	got, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	same(p.T, "plan", got, want)
}

func (p *plansTest) forEver() {
	check(p.T, p.plans.SavePlan(p.Context(), "v1", plan("first")))
	p.markCells("v1", store.Cell{Rendition: "720p", Segment: 1, Bytes: 5})
	wantErr(p.T, "save again", p.plans.SavePlan(p.Context(), "v1", plan("second")), store.ErrExists)
	got, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	same(p.T, "plan", got, plan("first"))
	same(p.T, "cells", p.cells("v1")["720p"].Count, 1)
}

func (p *plansTest) update() {
	check(p.T, p.plans.SavePlan(p.Context(), "v1", plan("a")))
	for revision := 1; revision <= 2; revision++ {
		stored, err := p.plans.UpdatePlan(p.Context(), "v1", func(now *store.Plan) error {
			now.Profile, now.Revision = "small", 7 // the revision is the store's
			now.Next = &store.Edition{TaskID: "t1", Renditions: now.Renditions[:1]}
			return nil
		})
		check(p.T, err)
		want := plan("a")
		want.Profile, want.Revision = "small", revision
		want.Next = &store.Edition{TaskID: "t1", Renditions: want.Renditions[:1]}
		same(p.T, "returned", stored, want)
		got, err := p.plans.Plan(p.Context(), "v1")
		check(p.T, err)
		same(p.T, "stored", got, want)
	}
}

func (p *plansTest) updateFails() {
	check(p.T, p.plans.SavePlan(p.Context(), "v1", plan("a")))
	_, err := p.plans.UpdatePlan(p.Context(), "v1", func(now *store.Plan) error {
		now.Profile = "small"
		return store.ErrFull
	})
	wantErr(p.T, "update", err, store.ErrFull)
	_, err = p.plans.UpdatePlan(p.Context(), "nobody", func(*store.Plan) error {
		p.Error("called for a video without a plan")
		return nil
	})
	wantErr(p.T, "update of nothing", err, store.ErrNotFound)
	got, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	same(p.T, "plan", got, plan("a"))
}

func (p *plansTest) wantDue(at time.Time, want ...string) {
	p.Helper()
	due, err := p.plans.RemovalsDue(p.Context(), at)
	check(p.T, err)
	slices.Sort(due)
	same(p.T, "due", strings.Join(due, " "), strings.Join(want, " "))
}

func (p *plansTest) removalsDue() {
	now := NewClock().Now()
	for i, video := range []string{"v1", "v2", "v3"} {
		check(p.T, p.plans.SavePlan(p.Context(), video, plan(video)))
		_, err := p.plans.UpdatePlan(p.Context(), video, func(changed *store.Plan) error {
			for k := i; k < 2; k++ { // v1 has two, v3 none
				changed.Retired = append(changed.Retired, store.Retired{Until: now.Add(time.Duration(i+k) * time.Hour)})
			}
			return nil
		})
		check(p.T, err)
	}
	p.wantDue(now.Add(-time.Nanosecond))
	p.wantDue(now, "v1")
	p.wantDue(now.Add(2*time.Hour), "v1", "v2")
	_, err := p.plans.UpdatePlan(p.Context(), "v1", func(now *store.Plan) error { now.Retired = nil; return nil })
	check(p.T, err)
	p.wantDue(now.Add(24*time.Hour), "v2")
	check(p.T, p.plans.DeletePlan(p.Context(), "v2"))
	p.wantDue(now.Add(24 * time.Hour))
}

func (p *plansTest) removeCells() {
	for _, video := range []string{"v1", "v10"} {
		p.markCells(video, store.Cell{Rendition: "720p", Segment: 1}, store.Cell{Rendition: "720p-2", Segment: 1}, store.Cell{Rendition: "360p", Segment: 1})
	}
	check(p.T, p.plans.RemoveCells(p.Context(), "v1", "720p", "360p", "4k"))
	check(p.T, p.plans.RemoveCells(p.Context(), "nobody", "720p"))
	same(p.T, "removed", p.cells("v1").Has("720p", 1) || p.cells("v1").Has("360p", 1), false)
	same(p.T, "kept", p.cells("v1").Has("720p-2", 1), true)
	same(p.T, "renditions", [2]int{len(p.cells("v1")), len(p.cells("v10"))}, [2]int{1, 3})
	p.markCells("v1", store.Cell{Rendition: "720p", Segment: 0, Bytes: 3})
	same(p.T, "marked again", p.cells("v1")["720p"].Bytes, int64(3))
}

func (p *plansTest) mark() {
	p.markCells("v1")
	p.markCells("v1", store.Cell{Rendition: "720p", Segment: 2, Bytes: 10})
	p.markCells("v1",
		store.Cell{Rendition: "720p", Segment: 2, Bytes: 99},
		store.Cell{Rendition: "720p", Segment: 0, Bytes: 1},
		store.Cell{Rendition: "audio-en", Segment: 17, Bytes: 100},
		store.Cell{Rendition: "audio-en", Segment: 17, Bytes: 100})
	p.markCells("v10", store.Cell{Rendition: "720p", Segment: 1, Bytes: 1})

	cells := p.cells("v1")
	same(p.T, "720p", [2]int64{int64(cells["720p"].Count), cells["720p"].Bytes}, [2]int64{2, 11})
	same(p.T, "audio-en", [2]int64{int64(cells["audio-en"].Count), cells["audio-en"].Bytes}, [2]int64{1, 100})
	for _, want := range []struct {
		rendition string
		segment   int
		has       bool
	}{
		{"720p", 0, true}, {"720p", 1, false}, {"720p", 2, true}, {"720p", 17, false},
		{"audio-en", 17, true}, {"audio-en", 0, false}, {"source", 0, false},
	} {
		if cells.Has(want.rendition, want.segment) != want.has {
			p.Errorf("%s/%d: want %v", want.rendition, want.segment, want.has)
		}
	}
	same(p.T, "renditions", len(cells), 2)
}

func (p *plansTest) markBad() {
	for _, segment := range []int{-1, math.MaxInt32} {
		err := p.plans.MarkCells(p.Context(), "v1",
			store.Cell{Rendition: "720p", Segment: 0}, store.Cell{Rendition: "720p", Segment: segment})
		if err == nil {
			p.Errorf("segment %d was marked", segment)
		}
	}
	same(p.T, "cells", len(p.cells("v1")), 0)
}

func (p *plansTest) delete() {
	for _, video := range []string{"v1", "v10"} {
		check(p.T, p.plans.SavePlan(p.Context(), video, plan(video)))
		p.markCells(video, store.Cell{Rendition: "720p", Segment: 1}, store.Cell{Rendition: "360p", Segment: 1})
	}
	check(p.T, p.plans.DeletePlan(p.Context(), "v1"))
	check(p.T, p.plans.DeletePlan(p.Context(), "v1"))
	_, err := p.plans.Plan(p.Context(), "v1")
	wantErr(p.T, "plan", err, store.ErrNotFound)
	same(p.T, "cells", len(p.cells("v1")), 0)

	_, err = p.plans.Plan(p.Context(), "v10")
	check(p.T, err)
	same(p.T, "cells of the other", len(p.cells("v10")), 2)
	check(p.T, p.plans.SavePlan(p.Context(), "v1", plan("again")))
}

func (p *plansTest) unknown() {
	_, err := p.plans.Plan(p.Context(), "nobody")
	wantErr(p.T, "plan", err, store.ErrNotFound)
	same(p.T, "cells", len(p.cells("nobody")), 0)
	check(p.T, p.plans.DeletePlan(p.Context(), "nobody"))
}

func (p *plansTest) copies() {
	given := plan("a")
	check(p.T, p.plans.SavePlan(p.Context(), "v1", given))
	p.markCells("v1", store.Cell{Rendition: "720p", Segment: 0})
	given.Timeline.Bounds[0] = 1
	got, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	got.Renditions[0].Init[0] = 1
	p.cells("v1")["720p"].Bits[0] = 0

	again, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	same(p.T, "plan", again, plan("a"))
	same(p.T, "cell", p.cells("v1").Has("720p", 0), true)
}

func (p *plansTest) cancelledContext() {
	check(p.T, p.plans.SavePlan(p.Context(), "v1", plan("a")))
	ctx := cancelled(p.T)
	for name, call := range map[string]func() error{
		"save":  func() error { return p.plans.SavePlan(ctx, "v2", plan("a")) },
		"plan":  func() error { _, err := p.plans.Plan(ctx, "v1"); return err },
		"mark":  func() error { return p.plans.MarkCells(ctx, "v1", store.Cell{Rendition: "720p"}) },
		"cells": func() error { _, err := p.plans.Cells(ctx, "v1"); return err },
		"update": func() error {
			_, err := p.plans.UpdatePlan(ctx, "v1", func(now *store.Plan) error { now.Profile = "b"; return nil })
			return err
		},
		"due":          func() error { _, err := p.plans.RemovalsDue(ctx, time.Now()); return err },
		"remove cells": func() error { return p.plans.RemoveCells(ctx, "v1", "720p") },
		"delete":       func() error { return p.plans.DeletePlan(ctx, "v1") },
	} {
		wantErr(p.T, name, call(), context.Canceled)
	}
	kept, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	same(p.T, "plan", kept, plan("a"))
	_, err = p.plans.Plan(p.Context(), "v2")
	wantErr(p.T, "plan", err, store.ErrNotFound)
	same(p.T, "cells", len(p.cells("v1")), 0)
}

func (p *plansTest) manySave() {
	const callers = 8
	errs := make([]error, callers)
	together(callers, func(i int) {
		errs[i] = p.plans.SavePlan(p.Context(), "v1", plan(string(rune('a'+i))))
	})
	got, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	for i, err := range errs {
		if mine := got.Source.Object == string(rune('a'+i)); mine {
			check(p.T, err)
		} else {
			wantErr(p.T, "a loser", err, store.ErrExists)
		}
	}
}

func (p *plansTest) manyMark() {
	const segments = 64
	together(16, func(i int) {
		for segment := range segments {
			if segment%8 != i%8 { // so that two mark each cell
				continue
			}
			if err := p.plans.MarkCells(p.Context(), "v1", store.Cell{Rendition: "720p", Segment: segment, Bytes: 3}); err != nil {
				p.Errorf("mark: %v", err)
			}
		}
	})
	set := p.cells("v1")["720p"]
	same(p.T, "count", set.Count, segments)
	same(p.T, "bytes", set.Bytes, int64(3*segments))
	for segment := range segments {
		if !p.cells("v1").Has("720p", segment) {
			p.Errorf("segment %d is not marked", segment)
		}
	}
}

func (p *plansTest) manyUpdate() {
	check(p.T, p.plans.SavePlan(p.Context(), "v1", plan("a")))
	const callers = 16
	together(callers, func(i int) {
		_, err := p.plans.UpdatePlan(p.Context(), "v1", func(now *store.Plan) error {
			now.Names = append(now.Names, string(rune('a'+i)))
			return nil
		})
		if err != nil {
			p.Errorf("update: %v", err)
		}
	})
	got, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
	same(p.T, "revision and names", [2]int{got.Revision, len(got.Names)}, [2]int{callers, callers})
}

package storetest

import (
	"context"
	"math"
	"testing"

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
		{"cells are marked once", (*plansTest).mark},
		{"cells that cannot be are refused", (*plansTest).markBad},
		{"delete", (*plansTest).delete},
		{"unknown videos", (*plansTest).unknown},
		{"what is returned are copies", (*plansTest).copies},
		{"a cancelled context changes nothing", (*plansTest).cancelledContext},
		{"of many saves one is kept", (*plansTest).manySave},
		{"no mark is lost among many", (*plansTest).manyMark},
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
		"save":   func() error { return p.plans.SavePlan(ctx, "v2", plan("a")) },
		"plan":   func() error { _, err := p.plans.Plan(ctx, "v1"); return err },
		"mark":   func() error { return p.plans.MarkCells(ctx, "v1", store.Cell{Rendition: "720p"}) },
		"cells":  func() error { _, err := p.plans.Cells(ctx, "v1"); return err },
		"delete": func() error { return p.plans.DeletePlan(ctx, "v1") },
	} {
		wantErr(p.T, name, call(), context.Canceled)
	}
	_, err := p.plans.Plan(p.Context(), "v1")
	check(p.T, err)
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

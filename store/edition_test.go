package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"streamgate/store"
)

func named(names string) (rs []store.Rendition) {
	for name := range strings.FieldsSeq(names) {
		rs = append(rs, store.Rendition{Name: name, Copy: strings.HasPrefix(name, "source")})
	}
	return rs
}

func namesOf(rs []store.Rendition) string {
	var names []string
	for _, r := range rs {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

// wantPlan checks the sets of a plan; next is "-" if there is none, and what is
// being removed is in brackets.
func wantPlan(t *testing.T, p *store.Plan, shown, next, retired string) {
	t.Helper()
	gotNext := "-"
	if p.Next != nil {
		gotNext = namesOf(p.Next.Renditions)
	}
	var gone []string
	for _, r := range p.Retired {
		name := r.Name
		if r.Removing {
			name = "(" + name + ")"
		}
		gone = append(gone, name)
	}
	if got := namesOf(p.Renditions); got != shown || gotNext != next || strings.Join(gone, " ") != retired {
		t.Errorf("shown %q, next %q, retired %q; want %q, %q, %q", got, gotNext, strings.Join(gone, " "), shown, next, retired)
	}
}

// The life of a video's renditions, from the first edition through a dropped
// one and back.
func TestEditions(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	soon, late := now.Add(time.Minute), now.Add(24*time.Hour)
	p := &store.Plan{Renditions: named("source 720p audio"), Profile: "a"}

	p.Begin(store.Edition{TaskID: "t2", Profile: "b", Renditions: named("720p 720p-2 audio-2")}, soon)
	wantPlan(t, p, "source 720p audio", "720p 720p-2 audio-2", "")
	if got := namesOf(p.MadeBy("t1")) + "|" + namesOf(p.MadeBy("t2")); got != "source 720p audio|720p 720p-2 audio-2" {
		t.Errorf("the tasks make %s", got)
	}

	// A third profile: what was begun and is not in it goes, soon.
	p.Begin(store.Edition{TaskID: "t3", Profile: "c", Renditions: named("720p-2 audio")}, soon)
	wantPlan(t, p, "source 720p audio", "720p-2 audio", "audio-2")
	if due := p.RemovalDue(); !due.Equal(soon) {
		t.Errorf("due %v, want %v", due, soon)
	}
	for _, tt := range []struct{ name, fresh string }{{"720p", "720p-3"}, {"audio", "audio-3"}, {"480p", "480p"}, {"180p", "180p-2"}} {
		if got := p.FreshName(tt.name, named("180p")); got != tt.fresh {
			t.Errorf("a fresh name for %s is %s, want %s", tt.name, got, tt.fresh)
		}
	}

	p.Show(late)
	wantPlan(t, p, "720p-2 audio", "-", "audio-2 source 720p")
	if _, ok := p.Rendition("720p"); !ok || p.Profile != "c" {
		t.Errorf("profile %q; a retired rendition is there: %v", p.Profile, ok)
	}
	if got := p.RemoveRetired(soon); !slices.Equal(got, []string{"audio-2"}) {
		t.Errorf("to be removed: %v", got)
	}
	if _, ok := p.Rendition("audio-2"); ok || !slices.Equal(p.RemoveRetired(now), []string{"audio-2"}) {
		t.Error("what is being removed is there still, or its removal would not be finished after a crash")
	}
	p.Removed([]string{"audio-2", "720p"}) // the second is not being removed
	wantPlan(t, p, "720p-2 audio", "-", "source 720p")
	if got := p.FreshName("audio", nil); got != "audio-3" {
		t.Errorf("a fresh name is %s: that of a removed rendition came back", got)
	}

	// Back to the first profile: what is retired is there still.
	p.Begin(store.Edition{TaskID: "t4", Profile: "a", Renditions: named("source 720p audio")}, soon)
	wantPlan(t, p, "720p-2 audio", "source 720p audio", "")
	p.Show(late)
	wantPlan(t, p, "source 720p audio", "-", "720p-2")

	// What comes to the same as is shown has no edition.
	p.Begin(store.Edition{TaskID: "t5", Profile: "d", Renditions: named("source 720p audio")}, soon)
	wantPlan(t, p, "source 720p audio", "-", "720p-2")
	if p.Profile != "d" {
		t.Errorf("profile %q", p.Profile)
	}

	// The record of a copy outlives its cells.
	p.Begin(store.Edition{TaskID: "t6", Renditions: named("720p audio")}, soon)
	p.Show(late)
	names := p.RemoveRetired(late)
	p.Removed(names)
	wantPlan(t, p, "720p audio", "-", "(source)")
	if due := p.RemovalDue(); !due.IsZero() || len(p.RemoveRetired(late)) > 0 {
		t.Errorf("something is due at %v, after %v was removed", due, names)
	}
	if got := p.FreshName("source", nil); got != "source-2" {
		t.Errorf("the copy would be made again as %s", got)
	}
}

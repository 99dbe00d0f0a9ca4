package store

import (
	"slices"
	"strconv"
	"time"
)

// Edition is a set of renditions on a plan's timeline, made with another
// profile while those that are shown go on playing. A rendition of it may be
// one that is shown already: then its cells are, too.
type Edition struct {
	// TaskID is the task that makes it.
	TaskID     string      `json:"task_id"`
	Profile    string      `json:"profile"`
	Renditions []Rendition `json:"renditions"`
}

// Retired is a rendition that is not shown any more.
type Retired struct {
	Rendition
	// Until is when its cells may be removed; zero when they are. What is left
	// then is the record of a stream copy, which only the first plan could make.
	Until time.Time `json:"until,omitzero"`
	// Removing tells that its cells are being removed, or are: there is no such
	// rendition any more.
	Removing bool `json:"removing,omitempty"`
}

// Rendition returns the rendition of that name, whether it is shown, being
// made, or retired with its cells still there.
func (p *Plan) Rendition(name string) (*Rendition, bool) {
	for r := range p.all {
		if r.Name == name {
			return r, true
		}
	}
	return nil, false
}

// Existing are copies of all renditions that Rendition finds, those that are
// shown first, each once.
func (p *Plan) Existing() (out []Rendition) {
	for r := range p.all {
		if !slices.ContainsFunc(out, func(o Rendition) bool { return o.Name == r.Name }) {
			out = append(out, *r)
		}
	}
	return out
}

// all yields the renditions that there are, those that are shown first; one may
// come twice.
func (p *Plan) all(yield func(*Rendition) bool) {
	for i := range p.Renditions {
		if !yield(&p.Renditions[i]) {
			return
		}
	}
	if p.Next != nil {
		for i := range p.Next.Renditions {
			if !yield(&p.Next.Renditions[i]) {
				return
			}
		}
	}
	for i := range p.Retired {
		if r := &p.Retired[i]; !r.Removing && !yield(&r.Rendition) {
			return
		}
	}
}

// Encoded notes whose work renditions are from now on: another encoder has proved
// to write the same headers.
func (p *Plan) Encoded(by string, names ...string) {
	for r := range p.all {
		if slices.Contains(names, r.Name) {
			r.Encoder = by
		}
	}
}

// MadeBy are the renditions that a task makes: those of the next edition if it
// is that one's, else those that are shown.
func (p *Plan) MadeBy(taskID string) []Rendition {
	if p.Next != nil && p.Next.TaskID == taskID {
		return p.Next.Renditions
	}
	return p.Renditions
}

// FreshName is the name, or the name with the first number from 2 on that no
// rendition of the video has ever had; others are taken besides.
func (p *Plan) FreshName(name string, others []Rendition) string {
	taken := func(name string) bool {
		is := func(r Rendition) bool { return r.Name == name }
		return slices.Contains(p.Names, name) || slices.ContainsFunc(p.Renditions, is) || slices.ContainsFunc(others, is) ||
			p.Next != nil && slices.ContainsFunc(p.Next.Renditions, is) ||
			slices.ContainsFunc(p.Retired, func(r Retired) bool { return r.Name == name })
	}
	fresh := name
	for n := 2; taken(fresh); n++ {
		fresh = name + "-" + strconv.Itoa(n)
	}
	return fresh
}

// Begin makes e the next edition instead of what was it. If e is what is shown
// already, there is no next one. What nothing uses any more is retired, and
// removed after until.
func (p *Plan) Begin(e Edition, until time.Time) {
	was := p.Next
	p.Next = &e
	p.Retired = slices.DeleteFunc(p.Retired, func(r Retired) bool { return !r.Removing && e.has(r.Name) })
	if same := slices.EqualFunc(e.Renditions, p.Renditions, func(a, b Rendition) bool { return a.Name == b.Name }); same {
		p.Next, p.Profile = nil, e.Profile
	}
	if was != nil {
		p.retire(was.Renditions, until)
	}
}

// Show makes the next edition the one that is shown. What was shown is retired,
// and removed after until.
func (p *Plan) Show(until time.Time) {
	if p.Next == nil {
		return
	}
	was := p.Renditions
	p.Renditions, p.Profile, p.Next = p.Next.Renditions, p.Next.Profile, nil
	p.retire(was, until)
}

// retire keeps, until then, those of the renditions that are not in use.
func (p *Plan) retire(renditions []Rendition, until time.Time) {
	for _, r := range renditions {
		if _, used := p.Rendition(r.Name); !used {
			p.Retired = append(p.Retired, Retired{Rendition: r, Until: until})
		}
	}
}

// RemoveRetired marks the retired renditions whose time has come, and returns
// their names: their cells are to be removed now. Those that somebody began to
// remove and left are among them.
func (p *Plan) RemoveRetired(now time.Time) (names []string) {
	for i := range p.Retired {
		r := &p.Retired[i]
		if !r.Until.IsZero() && (r.Removing || !now.Before(r.Until)) {
			r.Removing = true
			names = append(names, r.Name)
		}
	}
	return names
}

// Removed forgets retired renditions whose cells are gone, but for their names
// and for the records of copies.
func (p *Plan) Removed(names []string) {
	p.Retired = slices.DeleteFunc(p.Retired, func(r Retired) bool {
		if gone := r.Removing && slices.Contains(names, r.Name); !gone || r.Copy {
			return false
		}
		p.Names = append(p.Names, r.Name)
		return true
	})
	for i := range p.Retired {
		if r := &p.Retired[i]; r.Removing && slices.Contains(names, r.Name) {
			r.Until = time.Time{}
		}
	}
}

// RemovalDue is when the first of the retired renditions may be removed; zero if
// there is none.
func (p *Plan) RemovalDue() (due time.Time) {
	for _, r := range p.Retired {
		if !r.Until.IsZero() && (due.IsZero() || r.Until.Before(due)) {
			due = r.Until
		}
	}
	return due
}

func (e *Edition) has(name string) bool {
	return slices.ContainsFunc(e.Renditions, func(r Rendition) bool { return r.Name == name })
}

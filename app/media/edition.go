package media

import (
	"context"
	"fmt"
	"slices"

	"streamgate/store"
)

// EditionInput says what to plan on a timeline that there is.
type EditionInput struct {
	Source  string // the source that the plan names, as in EncodeInput
	Plan    *store.Plan
	Frames  Frames // empty without video
	Profile Profile
	// Foreign are renditions that this encoder cannot go on with: not taken up.
	Foreign []string
}

// Edition decides which renditions a profile makes of a video that is planned
// already, on the timeline that it has: of the profile, the lengths of segments
// have no effect. A rendition that exists with the same parameters is taken as
// it is; another gets a name that the video has never had, and an init. A
// stream copy is possible only where the timeline was cut for one.
func (t Tools) Edition(ctx context.Context, in EditionInput) ([]store.Rendition, error) {
	wanted := in.Profile.edition(in.Plan, in.Frames)
	fresh := store.Plan{Source: in.Plan.Source, Timeline: in.Plan.Timeline}
	existing := slices.DeleteFunc(in.Plan.Existing(), func(r store.Rendition) bool { return slices.Contains(in.Foreign, r.Name) })
	at := make([]int, 0, len(wanted)) // where the fresh ones belong
	for i, w := range wanted {
		if same := slices.IndexFunc(existing, func(r store.Rendition) bool { return sameRendition(&r, &w) }); same >= 0 {
			wanted[i] = existing[same]
			continue
		}
		w.Name = in.Plan.FreshName(w.Name, wanted[:i])
		fresh.Renditions, at = append(fresh.Renditions, w), append(at, i)
		wanted[i] = w
	}
	if len(fresh.Renditions) == 0 {
		return wanted, nil
	}
	t, err := t.reading(ctx, in.Source)
	if err != nil {
		return nil, err
	}
	if _, err := t.freeze(ctx, in.Source, &fresh, in.Frames); err != nil {
		return nil, fmt.Errorf("freeze the renditions: %w", refuseDecode(err))
	}
	for k, i := range at {
		wanted[i] = fresh.Renditions[k]
	}
	return wanted, nil
}

// edition is Edition without names and inits.
func (profile Profile) edition(p *store.Plan, frames Frames) (rs []store.Rendition) {
	known := p.Existing()
	for _, r := range p.Retired {
		if r.Removing {
			known = append(known, r.Rendition)
		}
	}
	find := func(kind store.RenditionKind, copied bool) (store.Rendition, bool) {
		i := slices.IndexFunc(known, func(r store.Rendition) bool { return r.Kind == kind && (r.Copy || !copied) })
		if i < 0 {
			return store.Rendition{}, false
		}
		return known[i], true
	}
	source, copied := find(store.KindVideo, true)
	if copied = copied && profile.Copy; copied {
		source.Name = copyName
		rs = append(rs, source)
	}
	if p.Source.VideoStream >= 0 {
		delay := encodedDelay(shown{Frames: frames}, p.Timeline.Frames)
		if other, ok := find(store.KindVideo, false); ok {
			delay = other.Delay
		}
		encodes := profile.encodes(p, copied)
		for i := range encodes {
			encodes[i].Timescale, encodes[i].Delay = p.Timeline.Timescale, delay
		}
		rs = append(rs, encodes...)
		setIFrames(p, rs, known, frames)
	}
	if other, ok := find(store.KindAudio, false); ok {
		r, copies := find(store.KindAudio, true)
		r.Name = sound(other.Language, other.Channels).Name
		if !copied || !copies {
			r = profile.encodedSound(sound(other.Language, other.Channels), &p.Timeline)
			r.Delay = rescale(other.Delay, other.Timescale, r.Timescale)
		}
		rs = append(rs, r)
	}
	return rs
}

// setIFrames gives the smallest of an edition's renditions, if it is encoded,
// the key frames of the I-frame playlist: those of the others before it, which
// depend on the timeline alone.
func setIFrames(p *store.Plan, rs, known []store.Rendition, frames Frames) {
	small, ok := smallest(rs)
	if !ok || small.Copy {
		return
	}
	if i := slices.IndexFunc(known, func(r store.Rendition) bool { return len(r.IFrames) > 0 }); i >= 0 {
		small.IFrames = known[i].IFrames
		return
	}
	s := shown{Frames: frames, sure: make([]bool, len(frames.PTS))}
	for i := 1; i < len(s.sure); i++ {
		s.sure[i] = frames.PTS[i]-frames.PTS[i-1] > 1 // a time that was moved on is one tick later
	}
	small.IFrames = keyTimes(s, &p.Timeline, iframeSeconds*int64(p.Timeline.Timescale))
}

// sameRendition tells whether cells of a can stand for those of b: they were
// made with the same parameters. Where a has key frames for an I-frame playlist
// or lacks them, its playlist names what it has.
func sameRendition(a, b *store.Rendition) bool {
	if a.Kind != b.Kind || a.Copy != b.Copy || a.Timescale != b.Timescale || a.Delay != b.Delay {
		return false
	}
	if a.Kind == store.KindAudio {
		return a.SampleRate == b.SampleRate && a.Channels == b.Channels && a.BitRate == b.BitRate && a.Language == b.Language
	}
	return a.Width == b.Width && a.Height == b.Height && a.CRF == b.CRF &&
		a.MaxRate == b.MaxRate && a.BufSize == b.BufSize && a.Preset == b.Preset
}

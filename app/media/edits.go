package media

import "slices"

// shownPart is the part of a track that its edit list shows (ISO/IEC 14496-12
// §8.6.6): at most one edit, perhaps after an empty one that delays it. Times
// are in ticks of the media.
type shownPart struct {
	delay      int64 // of the presentation, by the empty edit
	begin, end int64 // presentation times
}

// shownPart reads the edit list; ok is false if there is none.
func (t *track) shownPart(movieTimescale int64) (p shownPart, ok bool, err error) {
	edits := t.edits
	if len(edits) == 0 {
		return p, false, nil
	}
	for _, e := range edits {
		if e.duration < 1 || e.duration > maxPTS/t.timescale || e.time < -1 || e.time > maxPTS {
			return p, false, unusual("an edit of %d ticks from %d on", e.duration, e.time)
		}
	}
	if edits[0].time == -1 && len(edits) > 1 {
		p.delay = rescale(edits[0].duration, movieTimescale, t.timescale)
		edits = edits[1:]
	}
	if len(edits) != 1 || edits[0].time < 0 {
		return p, false, unusual("several edits, or nothing but empty ones")
	}
	p.begin = edits[0].time
	p.end = p.begin + rescale(edits[0].duration, movieTimescale, t.timescale)
	return p, true, nil
}

// present applies the edit list as ffmpeg does: it leaves samples out that
// nothing shown needs, marks those that only the decoder needs, and moves
// decode times so that what is shown begins at 0, or at the delay. end is where
// the track ends then.
func (t *track) present(list []mediaSample, movieTimescale int64) (kept []mediaSample, end int64, err error) {
	last := list[len(list)-1].dts - list[0].dts + t.lastDuration()
	end = min(t.duration, last)
	part, ok, err := t.shownPart(movieTimescale)
	if err != nil || t.duration < 1 {
		return nil, 0, unusual("the duration of the media is %d: %v", t.duration, err)
	}
	if !ok {
		return list, end, nil
	}
	end = min(end, part.delay+part.end-part.begin)
	kept, earliest := t.move(list[t.firstNeeded(list, part.begin):], part, part.delay+list[0].dts)
	if kept == nil {
		return nil, 0, unusual("the edit shows nothing")
	}
	// Where no picture begins at the edit, the first one is moved there.
	if early := earliest - part.delay; t.handler == "vide" && early > 0 {
		for i := range kept {
			kept[i].dts -= early
		}
	}
	return kept, end, nil
}

// lastDuration is what stts says of the last sample.
func (t *track) lastDuration() (d int64) {
	c, entries, _ := t.table("stts", 8) // it was read before
	for range entries {
		c.skip(4)
		d = int64(c.u32())
	}
	return d
}

// firstNeeded is the sample to begin at so that what is shown from begin on can
// be decoded: the key frame before it, for sound the sample a second before.
func (t *track) firstNeeded(list []mediaSample, begin int64) int {
	if t.handler == "soun" {
		begin = max(begin-t.timescale, list[0].dts)
	}
	shift := -list[0].dts
	for i, s := range slices.Backward(list) {
		if s.key && s.dts <= begin-shift && s.dts+int64(s.offset) <= begin {
			return i
		}
	}
	return 0
}

// move is present for the samples from the first needed one on; clock is where
// their decode times begin. It tells when the earliest picture is shown, and
// returns nil if nothing is.
func (t *track) move(list []mediaSample, part shownPart, clock int64) (kept []mediaSample, earliest int64) {
	sound, reordered := t.handler == "soun", t.reordered()
	begun, keyBehind := false, false
	begin := func(i int) { // what lies ahead of the first one keeps its distance
		for k := 0; k < i && !begun; k++ {
			list[k].dts += clock - list[i].dts
		}
		begun = true
	}
	earliest = -1
	for i, s := range list {
		d := part.end - part.begin
		if i+1 < len(list) {
			d = list[i+1].dts - s.dts
		}
		at := s.dts + int64(s.offset)
		switch {
		case at >= part.begin && at < part.end:
			if when := clock + int64(s.offset); earliest < 0 || when < earliest {
				earliest = when
			}
			begin(i)
		case sound && at < part.begin && at+d > part.begin: // begins within this sample
			clock -= part.begin - at
			begin(i)
		default:
			list[i].discard = true
		}
		if begun {
			list[i].dts, clock = clock, clock+d
		}
		if at+d < part.end || !s.key {
			continue
		}
		// Pictures that are shown before this key frame may follow it.
		if !reordered || sound || keyBehind {
			list = list[:i+1]
			break
		}
		keyBehind = true
	}
	if !begun {
		return nil, 0
	}
	return list, earliest
}

package media

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"streamgate/store"
)

const (
	// MaxCopyGroup is the most that CopyGroupSeconds may be.
	MaxCopyGroup = 12.0
	// groupSlack is how much longer than CopyGroupSeconds a group may be: 150
	// frames at 29.97 per second are five seconds.
	groupSlack = 1.01
	// copySlack is how far beyond its target a copied segment may reach to
	// take one more group of pictures.
	copySlack = 1.25
	// tinySegment is the shortest last segment, seconds; a shorter one joins
	// the segment before it.
	tinySegment = 0.5
)

// shown is the frames of a source in display order.
type shown struct {
	Frames
	first int64 // pts of frame 0, ticks
	// sure[i] tells that frame i can be found by its time: its own timestamp
	// is later than every one before. A segment may begin only there.
	sure []bool
	// exact tells that every timestamp is the source's own.
	exact bool
}

var errNoTimes = errors.New("frames without timestamps")

// showFrames puts the packets into display order. Packets that only the
// decoder needs are left out, and so is what comes before the first key frame
// or would be shown before it: no decoder can show that. The key frame itself
// may be one that is not shown: a film that was cut without encoding it again
// begins in the middle of a group of pictures. Timestamps that repeat are moved
// one tick on, so that times strictly ascend; a segment never begins there. fps
// is used only where the last frame's duration is unknown.
func showFrames(packets []packet, timescale int64, fps float64) (shown, error) {
	key := slices.IndexFunc(packets, func(p packet) bool { return p.key })
	if key < 0 {
		return shown{}, nil
	}
	list := make([]packet, 0, len(packets)-key)
	for _, p := range packets[key:] {
		if p.pts == missing && !p.discard {
			return shown{}, errNoTimes
		}
		if !p.discard && (packets[key].discard || p.pts >= packets[key].pts) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return shown{}, nil
	}
	slices.SortStableFunc(list, func(a, b packet) int { return cmp.Compare(a.pts, b.pts) })

	s := shown{first: list[0].pts, exact: true, sure: make([]bool, len(list))}
	s.PTS = make([]int64, len(list))
	for i, p := range list {
		s.PTS[i], s.sure[i] = p.pts-s.first, true
		if i > 0 && s.PTS[i] <= s.PTS[i-1] {
			s.PTS[i], s.sure[i], s.exact = s.PTS[i-1]+1, false, false
		}
	}
	last := list[len(list)-1].duration
	if last <= 0 {
		last = usualDuration(s.PTS, timescale, fps)
	}
	s.End = s.PTS[len(s.PTS)-1] + last
	return s, nil
}

// usualDuration is the median distance of frames, else what the rate says.
func usualDuration(pts []int64, timescale int64, fps float64) int64 {
	if len(pts) > 1 {
		gaps := make([]int64, len(pts)-1)
		for i := range gaps {
			gaps[i] = pts[i+1] - pts[i]
		}
		slices.Sort(gaps)
		return gaps[len(gaps)/2]
	}
	if fps <= 0 {
		fps = 25
	}
	return max(1, int64(min(math.Round(float64(timescale)/fps), maxTicks)))
}

// pace is how long segments are meant to be, in ticks; longest is that of a
// copied group of pictures, which is a segment if it is longer than usual.
type pace struct{ early, usual, tiny, longest int64 }

func (p Profile) pace(timescale int64) pace {
	ticks := func(s float64) int64 { return max(1, int64(math.Round(s*float64(timescale)))) }
	return pace{
		early:   ticks(p.FirstSegmentSeconds),
		usual:   ticks(p.SegmentSeconds),
		tiny:    ticks(tinySegment),
		longest: ticks(groupSlack * p.CopyGroupSeconds),
	}
}

// target is the length that segment i is meant to have.
func (p pace) target(i int) int64 {
	if i < 2 {
		return p.early
	}
	return p.usual
}

// cutFrames divides frames that will be encoded: each segment ends with the
// first frame that fills its target, and at once after a frame that lasts
// longer than half a segment (so that reordering never spans a gap). A tiny
// rest joins the segment before it.
func cutFrames(s shown, p pace) []int {
	afterGap := func(i int) bool { return s.PTS[i]-s.PTS[i-1] > p.usual/2 }
	starts := []int{0}
	begin := 0 // the first frame of the last segment
	for i := 1; i < len(s.PTS); i++ {
		full := s.PTS[i]-s.PTS[begin] >= p.target(len(starts)-1)
		if s.sure[i] && (full || afterGap(i)) {
			starts, begin = append(starts, i), i
		}
	}
	if begin > 0 && s.End-s.PTS[begin] < p.tiny && !afterGap(begin) {
		starts = starts[:len(starts)-1]
	}
	return append(starts, len(s.PTS))
}

// cutKeys divides frames that will be copied: segments begin at key frames
// only (keys are frame numbers in display order, the first 0), and take as
// many groups of pictures as their target allows.
func cutKeys(s shown, keys []int, p pace) []int {
	starts := []int{0}
	begin := int64(0)
	for k := 1; k < len(keys); k++ {
		end := s.End // of the group that begins at this key
		if k+1 < len(keys) {
			end = s.PTS[keys[k+1]]
		}
		if float64(end-begin) <= copySlack*float64(p.target(len(starts)-1)) {
			continue // the group fits into the segment
		}
		at := s.PTS[keys[k]]
		if end == s.End && end-at < p.tiny && end-begin <= p.longest {
			continue
		}
		starts, begin = append(starts, keys[k]), at
	}
	return append(starts, len(s.PTS))
}

// keyTimes are the times of the key frames that the I-frame playlist names: at
// every border, and between two so many that they are about every ticks apart.
func keyTimes(s shown, t *store.Timeline, every int64) (times []int64) {
	for i := range t.Segments() {
		begin, end := t.Bounds[i], t.Bounds[i+1]
		times = append(times, begin)
		n := max(1, (end-begin+every/2)/every)
		for k := int64(1); k < n; k++ {
			// The nearest frame at or before the even division.
			f, found := slices.BinarySearch(s.PTS, begin+k*(end-begin)/n)
			if !found {
				f--
			}
			if at := s.PTS[f]; s.sure[f] && at > times[len(times)-1] {
				times = append(times, at)
			}
		}
	}
	return times
}

// timelineOf makes the timeline of frames divided at starts (which ends with
// the number of frames).
func timelineOf(s shown, starts []int, timescale uint32) store.Timeline {
	t := store.Timeline{Timescale: timescale, Frames: starts, Bounds: make([]int64, len(starts))}
	for i, f := range starts {
		t.Bounds[i] = s.End
		if f < len(s.PTS) {
			t.Bounds[i] = s.PTS[f]
		}
	}
	return t
}

// encodedDelay is the composition offset that encoded cells need: x264 with
// up to three B-frames in a pyramid moves a frame by two at most, never out of
// its segment.
func encodedDelay(s shown, starts []int) int64 {
	var d int64
	for i := range len(starts) - 1 {
		for f := starts[i]; f+2 < starts[i+1]; f++ {
			d = max(d, s.PTS[f+2]-s.PTS[f])
		}
	}
	return d
}

// copiedDelay is the composition offset that cells copied from the packets
// need: decoding times are the presentation times in ascending order, and no
// frame may be shown before it is decoded.
func copiedDelay(s shown, packets []packet) int64 {
	var d int64
	for i, p := range packets {
		d = max(d, s.PTS[i]-(p.pts-s.first))
	}
	return d
}

// audioBounds are the borders of audio cells: for each bound of the timeline
// the nearest one between AAC frames; the last covers the timeline's end.
func audioBounds(t *store.Timeline, sampleRate int) []int64 {
	grid := make([]int64, len(t.Bounds))
	frames := func(ticks int64) float64 {
		return float64(ticks) * float64(sampleRate) / float64(t.Timescale) / aacFrame
	}
	for i, b := range t.Bounds {
		grid[i] = int64(math.Round(frames(b)))
	}
	if n := len(grid) - 1; n > 0 {
		// A whole frame that float noise pushed up by a hair is that frame.
		grid[n] = max(int64(math.Ceil(frames(t.Bounds[n])-1e-6)), grid[n-1]+1)
	}
	for i := range grid {
		grid[i] *= aacFrame
	}
	return grid
}

// audioTimeline divides sound without pictures: bounds are samples, on the
// grid of AAC frames.
func audioTimeline(seconds float64, sampleRate int, p Profile) store.Timeline {
	grid := func(s float64) int64 { return max(1, int64(math.Round(s*float64(sampleRate)/aacFrame))) * aacFrame }
	end := max(1, int64(math.Ceil(seconds*float64(sampleRate)/aacFrame-1e-6))) * aacFrame
	early, usual, tiny := grid(p.FirstSegmentSeconds), grid(p.SegmentSeconds), grid(tinySegment)
	bounds := []int64{0}
	for at := early; end-at >= tiny; {
		bounds = append(bounds, at)
		if len(bounds) <= 2 {
			at += early
		} else {
			at += usual
		}
	}
	return store.Timeline{Timescale: uint32(sampleRate), Bounds: append(bounds, end)}
}

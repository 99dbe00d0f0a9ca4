package media

import (
	"io"
	"math"

	"streamgate/store"
)

// Rate is what a rendition takes, bit/s.
type Rate struct {
	Peak, Mean int
}

// Rates are measured rates by rendition; also of the I-frame playlist and of
// the storyboard, under IFramesName and StoryboardName. What is not there yet
// is declared as the plan estimates it, or left out.
type Rates map[string]Rate

// of returns the measured rate of a rendition, or the plan's.
func (rs Rates) of(r *store.Rendition) Rate {
	if rate, ok := rs[r.Name]; ok {
		return rate
	}
	return Rate{Peak: r.Bandwidth, Mean: r.AverageBandwidth}
}

// MeasureCells is the rate of a rendition whose cells have these sizes, bytes.
func MeasureCells(p *store.Plan, r *store.Rendition, sizes []int64) Rate {
	return measure(bounds(p, r), r.Timescale, sizes)
}

// MeasureIFrames is the rate of a rendition's I-frame playlist whose
// one-picture cells have these sizes, bytes.
func MeasureIFrames(p *store.Plan, r *store.Rendition, sizes []int64) Rate {
	return measure(iframeBounds(p, r), p.Timeline.Timescale, sizes)
}

// measure is the peak and the mean of segments: the peak is the highest rate
// of any run of segments that lasts 0.5 to 1.5 target durations (RFC 8216
// §4.3.4.2), or the mean where no run does.
func measure(bounds []int64, timescale uint32, sizes []int64) Rate {
	n := min(len(bounds)-1, len(sizes))
	if n < 1 || timescale == 0 {
		return Rate{}
	}
	seconds := func(from, to int) float64 { return float64(bounds[to]-bounds[from]) / float64(timescale) }
	target, total, peak := targetDuration(bounds, timescale), 0.0, 0.0
	for i := range n {
		total += 8 * float64(sizes[i])
		run := 0.0
		for j := i; j < n && seconds(i, j+1) <= 1.5*target; j++ {
			run += 8 * float64(sizes[j])
			if long := seconds(i, j+1); long >= 0.5*target {
				peak = max(peak, run/long)
			}
		}
	}
	mean := total / seconds(0, n)
	return Rate{Peak: int(math.Ceil(max(peak, mean))), Mean: int(math.Ceil(mean))}
}

// targetDuration is the longest segment, in whole seconds (RFC 8216
// §4.3.3.1).
func targetDuration(bounds []int64, timescale uint32) float64 {
	longest := int64(0)
	for i := range len(bounds) - 1 {
		longest = max(longest, bounds[i+1]-bounds[i])
	}
	return max(1, math.Round(float64(longest)/float64(timescale)))
}

// IFrameSizes reads the head of a video cell and returns the sizes of its
// one-picture cells, bytes. ErrCell.
func IFrameSizes(cell io.Reader) ([]int64, error) {
	r := newFragmentReader(cell)
	for {
		kind, n, err := r.header()
		switch {
		case err != nil:
			return nil, notCell(err)
		case kind != "moof":
			if _, err := r.r.Discard(n); err != nil {
				return nil, notCell(err)
			}
			continue
		}
		moof, err := r.body(nil, n)
		if err != nil {
			return nil, notCell(err)
		}
		var f fragment
		if err := f.parse(moof); err != nil {
			return nil, err
		}
		return f.iframeSizes(), nil
	}
}

// iframeSizes are the sizes of the key pictures of a fragment with the boxes
// that a cell of one takes, bytes.
func (f *fragment) iframeSizes() (sizes []int64) {
	for _, s := range f.samples {
		if s.sync {
			alone := fragment{samples: []sample{s}}
			sizes = append(sizes, int64(len(alone.marshal()))+int64(s.size))
		}
	}
	return sizes
}

package media

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// errGrid is the error of samples that do not fit the plan: the source is not
// the one that was planned, or ffmpeg did not cut where it was told to.
var errGrid = errors.New("samples do not fit the plan")

// grid says where the samples of a run of segments belong.
type grid struct {
	first  int     // the first segment
	bounds []int64 // borders of the segments, ticks; one more than segments
	times  []int64 // presentation time of each sample, ascending, ticks
	// origin is the tick of ffmpeg's clock that is 0 on the timeline.
	origin int64
	// slack is how far a sample may be from its time: 0 where times are
	// exact, half a frame where they are a grid of audio frames.
	slack int64
	delay int64 // the constant D, ticks
}

// find returns the sample that a time of ffmpeg's clock belongs to, -1 for
// one before the first, len(times) for one behind the last.
func (g *grid) find(pts int64) (int, error) {
	t := pts - g.origin
	switch {
	case t < g.bounds[0]-g.slack:
		return -1, nil
	case t >= g.bounds[len(g.bounds)-1]-g.slack:
		return len(g.times), nil
	}
	i, _ := slices.BinarySearch(g.times, t-g.slack+min(g.slack, 1))
	if i == len(g.times) || g.times[i] > t+g.slack {
		return 0, fmt.Errorf("%w: none is planned at tick %d", errGrid, t)
	}
	return i, nil
}

// at returns the segment, counted from the first, that a time is in.
func (g *grid) at(t int64) int {
	i, found := slices.BinarySearch(g.bounds, t)
	if !found {
		i--
	}
	return i
}

// splitter makes cells of the samples that come from ffmpeg, one rendition's.
//
// A sample is known by ffmpeg's presentation time, which must be one of the
// plan's: so a cell can never hold the wrong pictures. Pictures of a damaged
// source that could not be decoded are missing; the one before then lasts
// longer, and a segment without any is an error.
type splitter struct {
	grid
	emit func(segment int, cell []byte) error
	// foreign is why no cell of this stream may be used, nil normally.
	foreign error

	segment int // counted from the grid's first; len(bounds)-1 when all are done
	next    int // the first sample of the grid not yet in a cell
	last    int // the sample before, in decode order
	cell    fragment
	pts     []int64 // true presentation times of cell.samples
	dts     []int64
}

func newSplitter(g grid, emit func(segment int, cell []byte) error) *splitter {
	return &splitter{grid: g, emit: emit, last: -1}
}

// done tells whether every cell was emitted.
func (s *splitter) done() bool { return s.segment == len(s.bounds)-1 }

// split reads the fragments of a stream until every cell is emitted or the
// stream ends.
func (s *splitter) split(r *fragmentReader) error {
	var f fragment
	for !s.done() {
		err := r.next(&f)
		if errors.Is(err, io.EOF) {
			return nil // finish decides what it means
		}
		if err != nil {
			return err
		}
		if err := s.add(&f); err != nil {
			return err
		}
	}
	return nil
}

// add takes the samples of a fragment.
func (s *splitter) add(f *fragment) error {
	dts, at := f.start, 0
	for _, sm := range f.samples {
		data := f.data[at : at+int(sm.size)]
		if err := s.sample(dts+int64(sm.offset), sm.sync, data); err != nil {
			return err
		}
		dts += int64(sm.duration)
		at += int(sm.size)
	}
	return nil
}

// sample takes one sample; ffmpeg's clock says pts.
func (s *splitter) sample(pts int64, sync bool, data []byte) error {
	i, err := s.find(pts)
	if err != nil || i < 0 || s.done() {
		return err
	}
	if s.slack > 0 && i == s.last {
		i++ // two audio frames within one step of the grid
	}
	if i >= len(s.times) {
		return s.finish()
	}
	segment := s.at(s.times[i])
	for s.segment < segment {
		if err := s.flush(); err != nil {
			return err
		}
	}
	switch {
	case segment < s.segment:
		return fmt.Errorf("%w: a sample of segment %d behind its end", errGrid, s.first+segment)
	case len(s.pts) == 0 && !sync:
		return fmt.Errorf("%w: segment %d does not begin with a key frame", errGrid, s.first+segment)
	case len(s.cell.data)+len(data) > maxBox/2 || len(s.pts) == maxSamples:
		return fmt.Errorf("%w: segment %d is too large", errGrid, s.first+segment)
	}
	s.last = i
	s.pts = append(s.pts, s.times[i])
	s.cell.samples = append(s.cell.samples, sample{size: uint32(len(data)), sync: sync})
	s.cell.data = append(s.cell.data, data...)
	if s.next+len(s.pts) < len(s.times) && s.times[s.next+len(s.pts)] < s.bounds[s.segment+1] {
		return nil
	}
	return s.flush()
}

// finish emits what is left once ffmpeg has ended well.
func (s *splitter) finish() error {
	for !s.done() {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

// flush emits the cell of the current segment and turns to the next.
func (s *splitter) flush() error {
	segment := s.first + s.segment
	if len(s.pts) == 0 {
		return refuse(CodeDamaged, "The file is damaged: nothing can be decoded in segment %d.", segment)
	}
	if s.foreign != nil {
		return s.foreign
	}
	if err := s.retime(s.bounds[s.segment], s.bounds[s.segment+1]); err != nil {
		return fmt.Errorf("segment %d: %w", segment, err)
	}
	s.cell.sequence = uint32(segment + 1)
	cell := s.cell.marshal()

	s.segment++
	s.next, _ = slices.BinarySearch(s.times, s.bounds[s.segment])
	s.pts, s.cell.samples, s.cell.data = s.pts[:0], s.cell.samples[:0], s.cell.data[:0]
	return s.emit(segment, cell)
}

// retime gives the samples of a cell their decode times, durations and
// offsets, so that the cell fills [start, end) exactly. Sample i is decoded at
// the i-th smallest presentation time; where pictures are missing, earlier if
// that alone keeps its offset from being negative.
func (s *splitter) retime(start, end int64) error {
	n := len(s.pts)
	s.dts = append(s.dts[:0], s.pts...)
	slices.Sort(s.dts)
	s.pts[slices.Index(s.pts, s.dts[0])] = start
	s.dts[0] = start
	latest := int64(math.MaxInt64)
	for i, pts := range slices.Backward(s.pts) {
		latest = min(latest-1, pts+s.delay)
		s.dts[i] = min(s.dts[i], latest)
	}
	if s.dts[0] != start {
		return fmt.Errorf("%w: the delay %d is too small", errGrid, s.delay)
	}
	for i := range n {
		next := end
		if i+1 < n {
			next = s.dts[i+1]
		}
		duration, offset := next-s.dts[i], s.pts[i]-s.dts[i]+s.delay
		if duration <= 0 || duration > math.MaxUint32 || offset > math.MaxInt32 {
			return fmt.Errorf("%w: duration %d, offset %d", errGrid, duration, offset)
		}
		s.cell.samples[i].duration, s.cell.samples[i].offset = uint32(duration), int32(offset)
	}
	s.cell.start = start
	return nil
}

package media

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// taken is a cell as a test sees it: durations and presentation times (the
// delay taken off) in decode order.
type taken struct {
	segment   int
	start     int64
	durations []uint32
	times     []int64
}

func take(t *testing.T, segment int, cell []byte, delay int64) taken {
	t.Helper()
	fr := readCell(t, cell)
	got := taken{segment: segment, start: fr.start}
	at := fr.start
	for _, s := range fr.samples {
		got.durations = append(got.durations, s.duration)
		got.times = append(got.times, at+int64(s.offset)-delay)
		at += int64(s.duration)
	}
	return got
}

// shot is a sample as ffmpeg gives it; K marks key frames.
type shot struct {
	pts int64
	key bool
}

func TestSplitter(t *testing.T) {
	// Two segments of four frames, the second with a long frame.
	video := grid{first: 7, bounds: []int64{100, 140, 200}, origin: 1000, delay: 40,
		times: []int64{100, 110, 120, 130, 140, 150, 160, 190}}
	audio := grid{bounds: []int64{0, 3072}, times: []int64{0, 1024, 2048}, slack: 512}
	tight := grid{bounds: []int64{0, 3}, times: []int64{0, 1, 2}}
	for name, c := range map[string]struct {
		grid  grid
		shots []shot
		want  []taken
		err   string
	}{
		"reordered": {
			grid: video,
			shots: []shot{
				{1100, true}, {1130, false}, {1110, false}, {1120, false},
				{1140, true}, {1190, false}, {1160, false}, {1150, false},
			},
			want: []taken{
				{7, 100, []uint32{10, 10, 10, 10}, []int64{100, 130, 110, 120}},
				{8, 140, []uint32{10, 10, 30, 10}, []int64{140, 190, 160, 150}},
			},
		},
		"more than planned": {
			grid: video,
			shots: []shot{
				{1060, true}, {1090, false},
				{1100, true}, {1110, false}, {1120, false}, {1130, false},
				{1140, true}, {1150, false}, {1160, false}, {1190, false}, {1200, true},
			},
			want: []taken{
				{7, 100, []uint32{10, 10, 10, 10}, []int64{100, 110, 120, 130}},
				{8, 140, []uint32{10, 10, 30, 10}, []int64{140, 150, 160, 190}},
			},
		},
		"missing pictures": {
			grid:  video,
			shots: []shot{{1110, true}, {1130, false}, {1140, true}, {1190, false}},
			want: []taken{
				{7, 100, []uint32{30, 10}, []int64{100, 130}},
				{8, 140, []uint32{50, 10}, []int64{140, 190}},
			},
		},
		"loose audio": {
			grid:  audio,
			shots: []shot{{-1024, true}, {-300, true}, {700, true}, {2300, true}, {3072, true}},
			want:  []taken{{0, 0, []uint32{1024, 1024, 1024}, []int64{0, 1024, 2048}}},
		},
		"two audio frames in one step": {
			grid:  audio,
			shots: []shot{{100, true}, {400, true}, {2048, true}},
			want:  []taken{{0, 0, []uint32{1024, 1024, 1024}, []int64{0, 1024, 2048}}},
		},
		"nothing":        {grid: video, err: "damaged"},
		"empty segment":  {grid: video, shots: []shot{{1140, true}}, err: "damaged"},
		"unplanned time": {grid: video, shots: []shot{{1105, true}}, err: "none is planned"},
		"no key frame":   {grid: video, shots: []shot{{1100, false}}, err: "key frame"},
		"over a border":  {grid: video, shots: []shot{{1100, true}, {1140, true}, {1130, false}}, err: "behind its end"},
		"delay":          {grid: tight, shots: []shot{{0, true}, {2, false}, {1, false}}, err: "delay"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []taken
			s := newSplitter(c.grid, func(segment int, cell []byte) error {
				got = append(got, take(t, segment, cell, c.grid.delay))
				return nil
			})
			err := error(nil)
			for i, shot := range c.shots {
				if err == nil {
					err = s.sample(shot.pts, shot.key, []byte{byte(i)})
				}
			}
			if err == nil {
				err = s.finish()
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil || !s.done() {
				t.Fatalf("done %v, %v", s.done(), err)
			}
			if !slices.EqualFunc(got, c.want, func(a, b taken) bool {
				return a.segment == b.segment && a.start == b.start &&
					slices.Equal(a.durations, b.durations) && slices.Equal(a.times, b.times)
			}) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

// TestSplitterMissingReordered keeps offsets from going below zero where a
// missing picture makes others move further than the delay foresees.
func TestSplitterMissingReordered(t *testing.T) {
	g := grid{bounds: []int64{0, 80}, times: []int64{0, 10, 20, 30, 40, 50, 60, 70}, delay: 20}
	s := newSplitter(g, func(_ int, cell []byte) error {
		got := take(t, 0, cell, g.delay)
		if want := []int64{0, 70, 60, 10}; !slices.Equal(got.times, want) {
			t.Errorf("times %v, want %v", got.times, want)
		}
		return nil
	})
	for i, pts := range []int64{0, 70, 60, 10} {
		if err := s.sample(pts, i == 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
}

// TestSplitBoundsMemory refuses a segment that grows without end.
func TestSplitBoundsMemory(t *testing.T) {
	g := grid{bounds: []int64{0, 10}, times: []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}
	s := newSplitter(g, func(int, []byte) error { return nil })
	data := make([]byte, 20<<20)
	if err := s.sample(0, true, data); err != nil {
		t.Fatal(err)
	}
	if err := s.sample(1, false, data); !errors.Is(err, errGrid) {
		t.Fatalf("got %v", err)
	}
}

// BenchmarkSplit is the whole way of a cell's bytes through this process.
func BenchmarkSplit(b *testing.B) {
	g := grid{bounds: []int64{0}, delay: 2}
	var stream []byte
	for segment := range 8 {
		f := fragment{start: int64(segment * 96), data: make([]byte, 96*8000)}
		for i := range 96 {
			f.samples = append(f.samples, sample{size: 8000, duration: 1, sync: i == 0})
			g.times = append(g.times, int64(segment*96+i))
		}
		g.bounds = append(g.bounds, int64(segment+1)*96)
		stream = append(stream, f.marshal()...)
	}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		s := newSplitter(g, func(int, []byte) error { return nil })
		if err := s.split(newFragmentReader(bytes.NewReader(stream))); err != nil || !s.done() {
			b.Fatal(err)
		}
	}
}

// FuzzSplit feeds the splitter what ffmpeg never wrote.
func FuzzSplit(f *testing.F) {
	good := fragment{samples: []sample{{size: 2, duration: 10, sync: true}, {size: 1, duration: 10, offset: 3}}, data: []byte("abc")}
	f.Add(good.marshal())
	f.Add(slices.Concat(good.marshal(), good.marshal()[:40]))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := grid{bounds: []int64{0, 20, 40}, times: []int64{0, 10, 13, 20, 30}, delay: 10}
		next := 0
		s := newSplitter(g, func(segment int, cell []byte) error {
			got := take(t, segment, cell, g.delay)
			end := got.start
			for _, d := range got.durations {
				end += int64(d)
			}
			if segment != next || got.start != g.bounds[segment] || end != g.bounds[segment+1] {
				t.Fatalf("cell %d spans [%d, %d)", segment, got.start, end)
			}
			next++
			return nil
		})
		if err := s.split(newFragmentReader(bytes.NewReader(b))); err == nil {
			_ = s.finish()
		}
		_, _ = newFragmentReader(io.LimitReader(bytes.NewReader(b), 1<<20)).init()
	})
}

package media

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"streamgate/store"
)

func TestFragmentRoundTrip(t *testing.T) {
	for name, f := range map[string]fragment{
		"one":            {sequence: 1, samples: []sample{{size: 3, duration: 9, sync: true}}, data: []byte("abc")},
		"audio":          {sequence: 2, start: 1 << 40, samples: []sample{{1, 1024, 0, true}, {2, 1024, 0, true}}, data: []byte("abc")},
		"video":          {sequence: 3, start: 5, samples: []sample{{1, 4, 2, true}, {1, 5, 0, false}, {1, 4, 7, false}}, data: []byte("abc")},
		"keys within":    {samples: []sample{{1, 4, 0, true}, {1, 4, 0, false}, {1, 4, 0, true}}, data: []byte("abc")},
		"no key at all":  {samples: []sample{{1, 4, 0, false}, {2, 4, 0, false}}, data: []byte("abc")},
		"key at the end": {samples: []sample{{1, 4, 0, false}, {2, 4, 0, true}}, data: []byte("abc")},
	} {
		t.Run(name, func(t *testing.T) {
			b := f.marshal()
			if len(b) != cap(b) {
				t.Errorf("%d bytes of %d", len(b), cap(b))
			}
			r := newFragmentReader(bytes.NewReader(b))
			var got fragment
			if err := r.next(&got); err != nil || !reflect.DeepEqual(got, f) {
				t.Fatalf("got %+v, %v; want %+v", got, err, f)
			}
			if err := r.next(&got); !errors.Is(err, io.EOF) {
				t.Fatalf("at the end: %v", err)
			}
		})
	}
}

// TestFragmentCut has every cut but the one between fragments be errCut.
func TestFragmentCut(t *testing.T) {
	f := fragment{samples: []sample{{3, 9, 0, true}, {2, 8, 3, false}}, data: []byte("abcde")}
	whole := f.marshal()
	for n := 1; n < len(whole); n++ {
		if n == 24 {
			continue // after styp: as good as the end
		}
		if err := newFragmentReader(bytes.NewReader(whole[:n])).next(new(fragment)); !errors.Is(err, errCut) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestIFrameCell(t *testing.T) {
	f := fragment{sequence: 4, start: 700, data: []byte("abcdef"),
		samples: []sample{{3, 9, 5, true}, {2, 8, 3, false}, {1, 7, 5, false}}}
	got, err := IFrameCell(f.marshal(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := fragment{sequence: 4, start: 700, data: []byte("abc"), samples: []sample{{3, 24, 5, true}}}
	if !bytes.Equal(got, want.marshal()) {
		t.Errorf("got %+v, want %+v", readCell(t, got), want)
	}
	for name, b := range map[string][]byte{
		"nothing":   nil,
		"cut":       f.marshal()[:150],
		"two":       append(f.marshal(), f.marshal()...),
		"not a key": (&fragment{samples: []sample{{1, 1, 0, false}}, data: []byte("a")}).marshal(),
		"huge box":  []byte("\xff\xff\xff\xffmdat"),
	} {
		if _, err := IFrameCell(b, 0); !errors.Is(err, ErrCell) {
			t.Errorf("%s: %v; want ErrCell", name, err)
		}
	}
}

// A cell with several key pictures gives each, until the next; the sizes that
// its head tells are those of the cells.
func TestIFrameCellOfSeveral(t *testing.T) {
	f := fragment{start: 1000, sequence: 3, data: []byte("KEYpp!KEY2p")}
	for _, s := range []struct {
		size uint32
		sync bool
	}{{3, true}, {2, false}, {1, false}, {4, true}, {1, false}} {
		f.samples = append(f.samples, sample{size: s.size, duration: 10, offset: 20, sync: s.sync})
	}
	cell := f.marshal()
	sizes, err := IFrameSizes(bytes.NewReader(cell))
	if err != nil || len(sizes) != 2 {
		t.Fatalf("sizes %v, %v", sizes, err)
	}
	for key, want := range []struct {
		start    int64
		duration uint32
		data     string
	}{{1000, 30, "KEY"}, {1030, 20, "KEY2"}, {1030, 20, "KEY2"}} { // the last for one that is lost
		one, err := IFrameCell(cell, key)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(one)) != sizes[min(key, 1)] {
			t.Errorf("key %d: %d bytes, its size is said to be %d", key, len(one), sizes[min(key, 1)])
		}
		if g := readCell(t, one); g.start != want.start || string(g.data) != want.data || len(g.samples) != 1 || g.samples[0].duration != want.duration {
			t.Errorf("key %d: %+v, want %+v", key, g, want)
		}
	}
	p := &store.Plan{
		Timeline:   store.Timeline{Timescale: 25, Bounds: []int64{0, 50, 150}},
		Renditions: []store.Rendition{{Name: "a", Kind: store.KindVideo, Timescale: 25, IFrames: []int64{0, 50, 100}}},
	}
	for number, want := range [][2]int{{0, 0}, {1, 0}, {1, 1}} {
		if cell, key := IFrameAt(p, &p.Renditions[0], number); [2]int{cell, key} != want {
			t.Errorf("picture %d is key %d of cell %d, want %v", number, key, cell, want)
		}
	}
}

func FuzzIFrameCell(f *testing.F) {
	cell := fragment{samples: []sample{{3, 9, 5, true}, {2, 8, 3, false}}, data: []byte("abcde")}
	f.Add(cell.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := IFrameCell(b, 0)
		if err != nil {
			if !errors.Is(err, ErrCell) {
				t.Fatalf("not ErrCell: %v", err)
			}
			return
		}
		again, err := IFrameCell(key, 0)
		if err != nil || !bytes.Equal(key, again) {
			t.Fatalf("not the same again: %v", err)
		}
	})
}

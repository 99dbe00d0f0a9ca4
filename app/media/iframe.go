package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"streamgate/store"
)

// iframeBounds are the borders of the cells of a video rendition's I-frame
// playlist, ticks of the timeline.
func iframeBounds(p *store.Plan, r *store.Rendition) []int64 {
	if len(r.IFrames) > 0 {
		return append(slices.Clone(r.IFrames), p.Timeline.Ticks())
	}
	return bounds(p, r)
}

// IFrames is the number of cells of a rendition's I-frame playlist; 0 for
// sound.
func IFrames(p *store.Plan, r *store.Rendition) int {
	if r.Kind != store.KindVideo {
		return 0
	}
	return max(0, len(iframeBounds(p, r))-1)
}

// IFrameAt tells where a cell of a rendition's I-frame playlist is taken from:
// which key picture, counted from 0, of which cell.
func IFrameAt(p *store.Plan, r *store.Rendition, number int) (cell, key int) {
	if len(r.IFrames) == 0 {
		return number, 0
	}
	cell = p.Timeline.At(r.IFrames[number])
	first, _ := slices.BinarySearch(r.IFrames, p.Timeline.Bounds[cell])
	return cell, number - first
}

// IFrameCell makes a cell of a key picture of a video cell, counted from 0,
// which lasts until the next one: what an I-frame playlist names (RFC 8216
// §4.3.3.6). It fits the same init. Where a damaged source left the cell with
// fewer, it is the last. Anything but a cell of this package is ErrCell.
func IFrameCell(cell []byte, key int) ([]byte, error) {
	r := newFragmentReader(bytes.NewReader(cell))
	var f fragment
	if err := r.next(&f); err != nil {
		return nil, notCell(err)
	}
	if err := r.next(new(fragment)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one fragment", ErrCell)
	}
	if len(f.samples) == 0 || !f.samples[0].sync || f.samples[0].offset < 0 {
		return nil, fmt.Errorf("%w: it does not begin with a key frame", ErrCell)
	}
	if err := f.keep(key); err != nil {
		return nil, err
	}
	return f.marshal(), nil
}

// keep leaves one key picture of a fragment that begins with one.
func (f *fragment) keep(key int) error {
	var picture sample
	var data []byte
	length, start, at, seen := int64(0), f.start, 0, -1
	for _, s := range f.samples {
		if s.sync && seen < key {
			seen++
			picture, start, length = s, start+length, 0
			data = f.data[at : at+int(s.size)]
		} else if s.sync {
			break
		}
		length += int64(s.duration)
		at += int(s.size)
	}
	if length > math.MaxUint32 || picture.offset < 0 {
		return fmt.Errorf("%w: a picture of %d ticks, offset %d", ErrCell, length, picture.offset)
	}
	picture.duration = uint32(length)
	f.start, f.samples, f.data = start, []sample{picture}, data
	return nil
}

// notCell tells a cell that is cut short as ErrCell too.
func notCell(err error) error {
	if errors.Is(err, ErrCell) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCell, err)
}

package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// IFrameCell makes a cell of the first sample of a video cell, which lasts as
// long as the whole cell did: what an I-frame playlist names (RFC 8216
// §4.3.3.6). It fits the same init. Anything but a cell of this package is
// ErrCell.
func IFrameCell(cell []byte) ([]byte, error) {
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
	var length int64
	for _, s := range f.samples {
		length += int64(s.duration)
	}
	if length > math.MaxUint32 {
		return nil, fmt.Errorf("%w: %d ticks long", ErrCell, length)
	}
	key := f.samples[0]
	key.duration = uint32(length)
	f.samples, f.data = []sample{key}, f.data[:key.size]
	return f.marshal(), nil
}

// notCell tells a cell that is cut short as ErrCell too.
func notCell(err error) error {
	if errors.Is(err, ErrCell) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCell, err)
}

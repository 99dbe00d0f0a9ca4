package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Frames are the presentation times of every frame of the source, in display
// order: what cells take their times from.
type Frames struct {
	// PTS are in timeline ticks, strictly ascending; PTS[0] is 0.
	PTS []int64
	// End is where the last frame ends, in timeline ticks.
	End int64
}

// ErrFrames is the error of bytes that are not Frames.
var ErrFrames = errors.New("media: not a frame index")

// framesMagic begins a marshalled index; its last byte is the version.
const framesMagic = "SGF\x01"

// maxTicks bounds every time of an index, so that sums of a few never overflow.
const maxTicks = 1 << 60

// Marshal writes the magic, the number of frames, and each frame's duration,
// all numbers as unsigned varints: one or two bytes a frame.
func (f Frames) Marshal() []byte {
	b := make([]byte, 0, len(framesMagic)+binary.MaxVarintLen64+2*len(f.PTS))
	b = append(b, framesMagic...)
	b = binary.AppendUvarint(b, uint64(len(f.PTS)))
	for i := range f.PTS {
		b = binary.AppendUvarint(b, uint64(f.end(i)-f.PTS[i]))
	}
	return b
}

// end is where frame i ends: at the next one's start.
func (f Frames) end(i int) int64 {
	if i+1 < len(f.PTS) {
		return f.PTS[i+1]
	}
	return f.End
}

// ParseFrames reads what Marshal wrote. Its memory is at most eight times the
// input; anything but a whole index is ErrFrames.
func ParseFrames(b []byte) (Frames, error) {
	b, ok := bytes.CutPrefix(b, []byte(framesMagic))
	if !ok {
		return Frames{}, fmt.Errorf("%w: wrong magic", ErrFrames)
	}
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)-n) { // a frame takes a byte at least
		return Frames{}, fmt.Errorf("%w: wrong count", ErrFrames)
	}
	b = b[n:]
	f := Frames{PTS: make([]int64, count)}
	for i := range f.PTS {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 || d > uint64(maxTicks-f.End) {
			return Frames{}, fmt.Errorf("%w: wrong duration of frame %d", ErrFrames, i)
		}
		f.PTS[i] = f.End
		f.End += int64(d)
		b = b[n:]
	}
	if len(b) != 0 {
		return Frames{}, fmt.Errorf("%w: %d bytes too many", ErrFrames, len(b))
	}
	return f, nil
}

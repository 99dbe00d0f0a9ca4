package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrCell is the error of bytes that are not the fragments this package
// writes or asks ffmpeg for.
var ErrCell = errors.New("media: not a whole media fragment")

const (
	// maxBox bounds a box that is read, and a cell, bytes.
	maxBox = 64 << 20
	// maxSamples bounds the samples of a fragment and of a cell.
	maxSamples = 1 << 16
	// readStep is how much is read before more is allocated: a box's size is
	// only a claim.
	readStep = 1 << 20
)

// Box flags of ISO/IEC 14496-12 §8.8.7 (tfhd) and §8.8.8 (trun).
const (
	tfhdBaseDataOffset   = 0x000001
	tfhdDescriptionIndex = 0x000002
	tfhdDefaultDuration  = 0x000008
	tfhdDefaultSize      = 0x000010
	tfhdDefaultFlags     = 0x000020
	tfhdBaseIsMoof       = 0x020000

	trunDataOffset = 0x001
	trunFirstFlags = 0x004
	trunDuration   = 0x100
	trunSize       = 0x200
	trunFlags      = 0x400
	trunOffset     = 0x800

	sampleNonSync  = 0x00010000
	flagsSync      = 0x02000000 // depends on no other
	flagsDependent = 0x01000000 | sampleNonSync
)

// sample is one coded picture, or one audio frame.
type sample struct {
	size     uint32
	duration uint32 // ticks, in decode order
	offset   int32  // presentation − decode time, ticks
	sync     bool
}

// fragment is one moof and its mdat: samples of one track in decode order.
type fragment struct {
	sequence uint32
	start    int64 // decode time of the first sample, ticks
	samples  []sample
	data     []byte // the samples, one behind the other
}

// fragmentReader reads a fragmented MP4 stream of one track.
type fragmentReader struct {
	r    *bufio.Reader
	moof []byte
}

func newFragmentReader(r io.Reader) *fragmentReader {
	return &fragmentReader{r: bufio.NewReaderSize(r, 32<<10)}
}

// header reads a box header; io.EOF means that the stream ended before it.
func (r *fragmentReader) header() (kind string, body int, err error) {
	var h [8]byte
	if _, err := io.ReadFull(r.r, h[:]); errors.Is(err, io.EOF) {
		return "", 0, err
	} else if err != nil {
		return "", 0, unexpected(err)
	}
	size := binary.BigEndian.Uint32(h[:])
	if size < 8 || size > maxBox { // neither "to the end" nor 64 bit is ever needed
		return "", 0, fmt.Errorf("%w: box of %d bytes", ErrCell, size)
	}
	return string(h[4:]), int(size) - 8, nil
}

// body appends the next n bytes to b.
func (r *fragmentReader) body(b []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, readStep)
		at := len(b)
		b = slices.Grow(b, step)[:at+step]
		if _, err := io.ReadFull(r.r, b[at:]); err != nil {
			return b, unexpected(err)
		}
		n -= step
	}
	return b, nil
}

// unexpected turns an end of the stream into errCut.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}

// init reads up to the movie header and returns that box.
func (r *fragmentReader) init() ([]byte, error) {
	for {
		kind, n, err := r.header()
		if err != nil {
			return nil, unexpected(err)
		}
		if kind != "moov" {
			if _, err := r.r.Discard(n); err != nil {
				return nil, unexpected(err)
			}
			continue
		}
		moov := binary.BigEndian.AppendUint32(nil, uint32(n+8))
		return r.body(append(moov, kind...), n)
	}
}

// next reads the next fragment into f, whose memory it uses again. It returns
// io.EOF at the end of the stream.
func (r *fragmentReader) next(f *fragment) error {
	parsed := false
	for {
		kind, n, err := r.header()
		if err != nil {
			if parsed {
				err = unexpected(err)
			}
			return err
		}
		switch {
		case kind == "moof" && !parsed:
			if r.moof, err = r.body(r.moof[:0], n); err == nil {
				err = f.parse(r.moof)
			}
			parsed = true
		case kind == "mdat" && parsed:
			if f.data, err = r.body(f.data[:0], n); err != nil {
				return err
			}
			return f.check()
		case kind == "moof" || kind == "mdat":
			err = fmt.Errorf("%w: %s out of place", ErrCell, kind)
		default:
			_, err = r.r.Discard(n)
			err = unexpected(err)
		}
		if err != nil {
			return err
		}
	}
}

// check compares the samples with the data.
func (f *fragment) check() error {
	var sum int64
	for _, s := range f.samples {
		sum += int64(s.size)
	}
	if sum != int64(len(f.data)) {
		return fmt.Errorf("%w: samples of %d bytes in %d", ErrCell, sum, len(f.data))
	}
	return nil
}

// parse reads the body of a moof.
func (f *fragment) parse(moof []byte) error {
	f.sequence, f.start, f.samples = 0, 0, f.samples[:0]
	tracks := 0
	c := cursor{b: moof}
	for c.more() {
		kind, box := c.box()
		switch kind {
		case "mfhd":
			box.skip(4)
			f.sequence = box.u32()
			c.bad = c.bad || box.bad
		case "traf":
			tracks++
			if err := f.parseTrack(box, len(moof)+16); err != nil {
				return err
			}
		}
	}
	if c.bad || tracks != 1 {
		return fmt.Errorf("%w: bad moof", ErrCell)
	}
	return nil
}

// parseTrack reads the body of a traf whose first sample lies dataAt bytes
// behind the moof's first.
func (f *fragment) parseTrack(c cursor, dataAt int) error {
	var def defaults
	for c.more() {
		kind, box := c.box()
		switch kind {
		case "tfhd":
			def.parse(&box)
		case "tfdt":
			if box.u32()>>24 == 1 {
				f.start = int64(box.u64())
			} else {
				f.start = int64(box.u32())
			}
		case "trun":
			dataAt = f.parseRun(&box, def, dataAt)
		}
		c.bad = c.bad || box.bad
	}
	if c.bad || f.start > maxTicks || f.start < -maxTicks {
		return fmt.Errorf("%w: bad traf", ErrCell)
	}
	return nil
}

// defaults are what a tfhd says of every sample.
type defaults struct{ duration, size, flags uint32 }

func (d *defaults) parse(c *cursor) {
	flags := c.u32()
	c.skip(4) // track
	if flags&tfhdBaseDataOffset != 0 {
		c.bad = true
	}
	if flags&tfhdDescriptionIndex != 0 {
		c.skip(4)
	}
	d.duration = c.optional(flags&tfhdDefaultDuration != 0, 0)
	d.size = c.optional(flags&tfhdDefaultSize != 0, 0)
	d.flags = c.optional(flags&tfhdDefaultFlags != 0, 0)
}

// parseRun adds the samples of a trun, and returns where the next one's data
// must lie: samples that are not one behind the other mark the cursor bad.
func (f *fragment) parseRun(c *cursor, def defaults, dataAt int) int {
	flags := c.u32()
	count := int(c.u32())
	if at := c.optional(flags&trunDataOffset != 0, uint32(dataAt)); int64(at) != int64(dataAt) {
		c.bad = true
	}
	first := c.optional(flags&trunFirstFlags != 0, def.flags)
	if count > maxSamples-len(f.samples) {
		c.bad = true
	}
	for i := 0; i < count && !c.bad; i++ {
		s := sample{
			duration: c.optional(flags&trunDuration != 0, def.duration),
			size:     c.optional(flags&trunSize != 0, def.size),
		}
		usual := def.flags
		if i == 0 {
			usual = first
		}
		s.sync = c.optional(flags&trunFlags != 0, usual)&sampleNonSync == 0
		s.offset = int32(c.optional(flags&trunOffset != 0, 0))
		dataAt += int(min(s.size, maxBox))
		f.samples = append(f.samples, s)
	}
	return dataAt
}

// marshal writes the fragment as a CMAF chunk: styp, moof, mdat. Offsets must
// not be negative.
func (f *fragment) marshal() []byte {
	def, flags := f.shared()
	trun := 20 + 4*bit(flags, trunFirstFlags) +
		4*(1+bit(flags, trunDuration)+bit(flags, trunFlags)+bit(flags, trunOffset))*len(f.samples)
	traf := 8 + 24 + 20 + trun
	moof := 8 + 16 + traf
	b := make([]byte, 0, 24+moof+8+len(f.data))
	b = appendBox(b, 24, "styp")
	b = append(b, "msdh\x00\x00\x00\x00msdhcmfs"...)
	b = appendBox(b, moof, "moof")
	b = appendBox(b, 16, "mfhd")
	b = appendU32(b, 0, f.sequence)
	b = appendBox(b, traf, "traf")
	b = appendBox(b, 24, "tfhd")
	b = appendU32(b, tfhdBaseIsMoof|tfhdDefaultDuration|tfhdDefaultFlags, trackID, def.duration, def.flags)
	b = appendBox(b, 20, "tfdt")
	b = binary.BigEndian.AppendUint64(appendU32(b, 1<<24), uint64(f.start))
	b = appendBox(b, trun, "trun")
	b = appendU32(b, flags, uint32(len(f.samples)), uint32(moof+8))
	b = f.appendRun(b, flags)
	b = appendBox(b, 8+len(f.data), "mdat")
	return append(b, f.data...)
}

// shared finds what all samples share, which is said once, in tfhd; flags are
// what trun then says of each.
func (f *fragment) shared() (def defaults, flags uint32) {
	rest := f.samples[min(1, len(f.samples)-1):]
	def = defaults{duration: f.samples[0].duration, flags: sampleFlags(rest[0].sync)}
	flags = trunDataOffset | trunSize
	for i, s := range f.samples {
		if s.duration != def.duration {
			flags |= trunDuration
		}
		if s.offset != 0 {
			flags |= trunOffset
		}
		if s.sync != (def.flags == flagsSync) {
			flags |= trunFirstFlags
			if i > 0 {
				flags |= trunFlags
			}
		}
	}
	if flags&trunFlags != 0 {
		flags &^= trunFirstFlags
	}
	return def, flags
}

// appendRun writes the samples of a trun.
func (f *fragment) appendRun(b []byte, flags uint32) []byte {
	if flags&trunFirstFlags != 0 {
		b = appendU32(b, sampleFlags(f.samples[0].sync))
	}
	for _, s := range f.samples {
		if flags&trunDuration != 0 {
			b = appendU32(b, s.duration)
		}
		b = appendU32(b, s.size)
		if flags&trunFlags != 0 {
			b = appendU32(b, sampleFlags(s.sync))
		}
		if flags&trunOffset != 0 {
			b = appendU32(b, uint32(s.offset))
		}
	}
	return b
}

// trackID is the number of the only track of every init and cell.
const trackID = 1

func sampleFlags(sync bool) uint32 {
	if sync {
		return flagsSync
	}
	return flagsDependent
}

func bit(flags, flag uint32) int {
	if flags&flag != 0 {
		return 1
	}
	return 0
}

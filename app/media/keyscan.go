package media

import (
	"bytes"
	"context"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"
)

const (
	// idrUnit, spsUnit and ppsUnit are types of NAL units (ITU-T H.264 Table 7-1).
	idrUnit = 5
	spsUnit = 7
	ppsUnit = 8
	// maxSets bounds the parameter sets of a picture, unitWindow is how much is
	// read at a time, bytes.
	maxSets    = 64 << 10
	unitWindow = 4 << 10
)

// keyScanners is how many places of a source are looked at at a time: where it is
// not on this machine, each may take a request to another.
const keyScanners = 8

// scanKeys is Tools.scanKeys for a listed stream: of each key frame only the
// heads of its NAL units are read. errUnusual.
func (l *listing) scanKeys(ctx context.Context, v *stream, list listed) (keyScan, error) {
	width := list.track.lengthWidth()
	if v.codec != "h264" || !v.plain || width == 0 {
		return keyScan{}, unusual("key frames are not H.264, or come with more")
	}
	var keys []mediaSample
	for _, s := range list.samples {
		if s.key {
			keys = append(keys, s)
		}
	}
	var parts [keyScanners]partScan
	g, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		part := keys[i*len(keys)/keyScanners : (i+1)*len(keys)/keyScanners]
		g.Go(func() error { return parts[i].read(ctx, &unitReader{r: l.file, width: width}, part) })
	}
	if err := g.Wait(); err != nil {
		return keyScan{}, err
	}
	all := partScan{}
	for _, p := range parts {
		all.idrs += p.idrs
		all.changed = all.changed || p.changed
		all.see(p.sets)
	}
	return keyScan{idrs: all.idrs, steady: !all.changed}, nil
}

// partScan is what was found out about some of the key frames.
type partScan struct {
	idrs    int
	sets    []byte // the first parameter sets inside the stream
	changed bool   // others have come
}

// see notes parameter sets, if there are any.
func (p *partScan) see(sets []byte) {
	if p.sets == nil && len(sets) > 0 {
		p.sets = sets
	}
	p.changed = p.changed || len(sets) > 0 && !bytes.Equal(p.sets, sets)
}

// read looks at key frames. errUnusual.
func (p *partScan) read(ctx context.Context, units *unitReader, keys []mediaSample) error {
	for _, s := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		idr, sets, err := units.read(s.at, s.at+int64(s.size))
		if err != nil {
			return err
		}
		if idr {
			p.idrs++
		}
		p.see(sets)
	}
	return nil
}

// lengthWidth is how many bytes the length of a NAL unit takes, from the
// decoder configuration of an H.264 track (ISO/IEC 14496-15 §5.3.3.1); 0 if
// there is not exactly one.
func (t *track) lengthWidth() (width int) {
	entry, _ := t.entry()
	entry.skip(78) // VisualSampleEntry
	for entry.more() {
		kind, config := entry.box()
		if kind != "avcC" {
			continue
		}
		head := config.take(5)
		if width > 0 || config.bad || head[0] != 1 {
			return 0
		}
		width = int(head[4]&3) + 1
	}
	return width
}

// unitReader reads the heads of NAL units that lie behind their lengths.
type unitReader struct {
	r     io.ReaderAt
	width int // of a length, bytes
	buf   []byte
	at    int64 // where buf is in the file
}

// read looks at the units of the sample in [at, end): is an IDR picture among
// them, and which parameter sets.
func (u *unitReader) read(at, end int64) (idr bool, sets []byte, err error) {
	for at < end {
		head, err := u.bytes(at, min(int64(u.width)+1, end-at))
		if err != nil {
			return false, nil, err
		}
		if len(head) <= u.width {
			return false, nil, unusual("%d bytes behind the last NAL unit", len(head))
		}
		length := int64(0)
		for _, b := range head[:u.width] {
			length = length<<8 | int64(b)
		}
		kind := head[u.width] & 0x1f
		at += int64(u.width)
		if length < 1 || length > end-at {
			return false, nil, unusual("a NAL unit of %d bytes", length)
		}
		idr = idr || kind == idrUnit
		if kind == spsUnit || kind == ppsUnit {
			if int64(len(sets))+length > maxSets {
				return false, nil, unusual("parameter sets of %d bytes", length)
			}
			unit, err := u.bytes(at, length)
			if err != nil {
				return false, nil, err
			}
			sets = append(sets, unit...)
		}
		at += length
	}
	return idr, sets, nil
}

// bytes returns n bytes at a place, which are good until the next call.
func (u *unitReader) bytes(at, n int64) ([]byte, error) {
	if from := at - u.at; from >= 0 && from+n <= int64(len(u.buf)) {
		return u.buf[from : from+n], nil
	}
	size := int(max(n, unitWindow))
	u.buf = slices.Grow(u.buf[:0], size)[:size]
	got, err := u.r.ReadAt(u.buf, at)
	u.buf, u.at = u.buf[:got], at
	if int64(got) < n {
		return nil, unusual("read a NAL unit: %v", err)
	}
	return u.buf[:n], nil
}

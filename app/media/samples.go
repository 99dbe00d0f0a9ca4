package media

import "math"

// mediaSample is a sample of a track as its tables list it, in decoding order.
type mediaSample struct {
	at      int64 // where it is in the file
	dts     int64 // ticks
	offset  int32 // presentation − decode time, ticks
	size    int32 // bytes
	key     bool
	discard bool // outside of the edit list: for the decoder only
}

const (
	// maxListed bounds the samples of a track that are listed here: ten hours
	// at 60 frames per second.
	maxListed = 1 << 21
	// maxOffset bounds a composition offset, ticks.
	maxOffset = 1 << 28
	// maxSample bounds a sample, bytes.
	maxSample = 1<<30 - 1
)

// samples lists the samples of a track in a file of that size. Every one must
// lie in the file, all together must not be more than it, and the tables must
// agree. errUnusual.
func (t *track) samples(fileSize int64) ([]mediaSample, error) {
	list, err := t.sizes(fileSize)
	for _, fill := range []func([]mediaSample) error{t.times, t.offsets, t.keys} {
		if err == nil {
			err = fill(list)
		}
	}
	if err == nil {
		err = t.places(list, fileSize)
	}
	return list, err
}

// table returns the entries of a table behind its version and count, and how
// many there are; each has that many bytes.
func (t *track) table(kind string, width int) (c cursor, n int, err error) {
	c, ok := t.tables[kind]
	if !ok {
		return c, 0, nil
	}
	version, count := c.u32()>>24, int64(c.u32())
	if c.bad || version > 1 || count*int64(width) != int64(len(c.b)) {
		return c, 0, unusual("%s of %d entries in %d bytes", kind, count, len(c.b))
	}
	return c, int(count), nil
}

// sizes makes the list, from stsz (§8.7.3.2).
func (t *track) sizes(fileSize int64) ([]mediaSample, error) {
	c := t.tables["stsz"]
	c.skip(4)
	each, n := c.u32(), int64(c.u32())
	if c.bad || n < 1 || n > min(maxListed, fileSize) || each == 0 && n*4 != int64(len(c.b)) {
		return nil, unusual("%d samples", n)
	}
	list, total := make([]mediaSample, n), int64(0)
	for i := range list {
		size := each
		if each == 0 {
			size = c.u32()
		}
		if total += int64(size); size < 1 || size > maxSample || total > fileSize {
			return nil, unusual("sample %d of %d bytes", i, size)
		}
		list[i].size = int32(size)
	}
	return list, nil
}

// times sets when samples are decoded, from stts (§8.6.1.2). Samples without a
// duration are unusual, and so is sound whose samples are single values.
func (t *track) times(list []mediaSample) error {
	c, entries, err := t.table("stts", 8)
	if err != nil {
		return err
	}
	at, clock := 0, int64(0)
	for range entries {
		n, d := c.u32(), int64(c.u32())
		if n < 1 || int64(n) > int64(len(list)-at) || d < 1 || d > math.MaxInt32 || t.handler == "soun" && entries == 1 && d == 1 {
			return unusual("durations: %d of %d", n, d)
		}
		for range n {
			list[at].dts = clock
			at, clock = at+1, clock+d
		}
	}
	if at != len(list) || clock > maxPTS {
		return unusual("durations of %d of %d samples", at, len(list))
	}
	return nil
}

// steady returns the duration that all samples have, but perhaps for the last;
// 0 if there is none.
func (t *track) steady() int64 {
	c, entries, err := t.table("stts", 8)
	if err != nil || entries < 1 || entries > 2 {
		return 0
	}
	c.skip(4)
	d := int64(c.u32())
	if entries == 2 && c.u32() != 1 {
		return 0
	}
	return d
}

// offsets sets composition offsets, from ctts (§8.6.1.3). Whatever the
// version, they are read as signed, as ffmpeg does.
func (t *track) offsets(list []mediaSample) error {
	c, entries, err := t.table("ctts", 8)
	if err != nil {
		return err
	}
	if entries > 0 && t.handler == "soun" {
		return unusual("reordered sound")
	}
	at, shift := 0, int32(0)
	for i := range entries {
		n, offset := c.u32(), int32(c.u32())
		if n < 1 || int64(n) > int64(len(list)-at) || offset > maxOffset || offset < -maxOffset {
			return unusual("composition offsets: %d of %d", n, offset)
		}
		if i+2 < entries {
			shift = max(shift, -offset)
		}
		for range n {
			list[at].offset = offset
			at++
		}
	}
	if entries > 0 && at != len(list) {
		return unusual("composition offsets of %d of %d samples", at, len(list))
	}
	// Where offsets are negative, ffmpeg moves the decode times ahead instead.
	for i := range list {
		list[i].dts -= int64(shift)
		list[i].offset += shift
	}
	return nil
}

// reordered tells whether samples have composition offsets.
func (t *track) reordered() bool {
	_, entries, _ := t.table("ctts", 8)
	return entries > 0
}

// keys marks the key frames, from stss (§8.6.2). Without one all are.
func (t *track) keys(list []mediaSample) error {
	_, some := t.tables["stss"]
	c, entries, err := t.table("stss", 4)
	if err != nil || some && (entries == 0 || t.handler == "soun") {
		return unusual("key frames")
	}
	for i := range list {
		list[i].key = !some
	}
	last := uint32(0)
	for range entries {
		n := c.u32() // from 1 on
		if n <= last || int64(n) > int64(len(list)) {
			return unusual("key frame %d", n)
		}
		list[n-1].key, last = true, n
	}
	if !list[0].key {
		return unusual("the first frame is not a key frame")
	}
	return nil
}

// places sets where samples are, from stsc and stco or co64 (§8.7.4, §8.7.5).
func (t *track) places(list []mediaSample, fileSize int64) error {
	runs, entries, err := t.table("stsc", 12)
	if err != nil {
		return err
	}
	chunks, err := t.chunks()
	if err != nil {
		return err
	}
	at := 0
	for i := range entries {
		first, each, entry := runs.u32(), runs.u32(), runs.u32()
		end := uint32(len(chunks)) + 1
		if i+1 < entries {
			next := runs
			end = next.u32()
		}
		if i == 0 && first != 1 || first >= end || end > uint32(len(chunks))+1 || each < 1 || entry != 1 {
			return unusual("chunks from %d on", first)
		}
		for _, place := range chunks[first-1 : end-1] {
			if int64(each) > int64(len(list)-at) {
				return unusual("more chunks than samples")
			}
			for range each {
				if place < 0 || place > fileSize-int64(list[at].size) {
					return unusual("sample %d is outside of the file", at)
				}
				list[at].at = place
				place += int64(list[at].size)
				at++
			}
		}
	}
	if at != len(list) {
		return unusual("chunks of %d of %d samples", at, len(list))
	}
	return nil
}

// chunks is where chunks begin.
func (t *track) chunks() ([]int64, error) {
	_, short := t.tables["stco"]
	_, long := t.tables["co64"]
	if short == long {
		return nil, unusual("no list of chunks, or two")
	}
	kind, width := "stco", 4
	if long {
		kind, width = "co64", 8
	}
	c, n, err := t.table(kind, width)
	if err != nil {
		return nil, err
	}
	list := make([]int64, n)
	for i := range list {
		if long {
			list[i] = int64(c.u64())
		} else {
			list[i] = int64(c.u32())
		}
	}
	return list, nil
}

package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// movie is what the movie box of an MP4 or QuickTime file says of its tracks
// (ISO/IEC 14496-12 §8.2). Reading it costs a few milliseconds, where a run of
// ffprobe costs a hundred and reads every packet.
//
// Only what encoders and cameras usually write is read; of all else errUnusual
// is the answer, and ffprobe has the word, as it has about what a file is.
type movie struct {
	size      int64 // of the file, bytes
	timescale int64 // of the edits' durations
	tracks    []*track
}

// track is one track of a movie.
type track struct {
	id        int64
	handler   string // vide, soun or another
	timescale int64
	duration  int64 // of the media, ticks
	edits     []editEntry
	// tables are the boxes of the sample table, as bytes.
	tables map[string]cursor
}

// editEntry is an entry of an edit list (§8.6.6).
type editEntry struct {
	duration int64 // ticks of the movie
	time     int64 // ticks of the media; -1 if nothing is shown
}

// errUnusual is the error of a movie that is left to ffprobe.
var errUnusual = errors.New("unusual movie")

func unusual(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnusual, fmt.Sprintf(format, args...))
}

const (
	// maxRootBoxes bounds the boxes of a file, maxEdits those of an edit list.
	maxRootBoxes = 256
	maxEdits     = 2
)

// readMovie reads the movie box of a file of that size. errUnusual.
func readMovie(r io.ReaderAt, size int64) (*movie, error) {
	moov, err := findMovie(r, size)
	if err != nil {
		return nil, err
	}
	m := &movie{size: size}
	for moov.more() {
		kind, body := moov.box()
		switch kind {
		case "mvhd":
			_, m.timescale, _ = header64(body)
		case "trak":
			t := &track{tables: map[string]cursor{}}
			if err := t.read(body, kind, m.timescale); err != nil {
				return nil, err
			}
			m.tracks = append(m.tracks, t)
		case "mvex", "cmov":
			return nil, unusual("%s", kind)
		}
		if hidden(kind, body.b) {
			return nil, unusual("a movie in %s", kind)
		}
	}
	if moov.bad || m.timescale < 1 || len(m.tracks) > maxStreams {
		return nil, unusual("movie box")
	}
	return m, nil
}

// findMovie returns the body of the movie box. The boxes of the file must be
// whole, and be none but those of a plain movie.
func findMovie(r io.ReaderAt, size int64) (moov cursor, err error) {
	found := false
	for at, n := int64(0), 0; at < size; n++ {
		var h [16]byte
		if got, err := r.ReadAt(h[:], at); got < 8 || err != nil && !errors.Is(err, io.EOF) {
			return moov, unusual("the header of a box at byte %d", at)
		}
		kind, head, length := string(h[4:8]), int64(8), int64(binary.BigEndian.Uint32(h[:]))
		switch length {
		case 0: // to the end
			length = size - at
		case 1:
			head, length = 16, int64(binary.BigEndian.Uint64(h[8:]))
		}
		if length < head || length > size-at || n == maxRootBoxes {
			return moov, unusual("box %s of %d bytes at byte %d", kind, length, at)
		}
		switch kind {
		case "moov":
			if found || length > maxBox {
				return moov, unusual("a movie box of %d bytes", length)
			}
			found, moov.b = true, make([]byte, length-head)
			if _, err := r.ReadAt(moov.b, at+head); err != nil {
				return moov, unusual("read the movie box: %v", err)
			}
		case "ftyp", "mdat", "free", "skip", "wide", "uuid":
		default:
			return moov, unusual("box %s", kind)
		}
		if hidden(kind, h[8:]) {
			return moov, unusual("a movie in %s", kind)
		}
		at += length
	}
	if !found {
		return moov, unusual("no movie box")
	}
	return moov, nil
}

// hidden tells whether a free box has a movie in it, which ffmpeg finds.
func hidden(kind string, body []byte) bool {
	return kind == "free" && len(body) >= 8 && (string(body[4:8]) == "mvhd" || string(body[4:8]) == "cmov")
}

// tables are the boxes that samples follow from. Those that are false make
// them follow from more than this package knows.
var tables = map[string]bool{
	"stsd": true, "stts": true, "ctts": true, "stss": true, "stsz": true, "stsc": true, "stco": true, "co64": true,
	"stz2": false, "stps": false, "senc": false, "saiz": false, "saio": false,
}

// read reads a box of boxes of a track. The movie's header must be read before
// the track, and the media's before its samples, as ffmpeg wants it.
func (t *track) read(c cursor, parent string, movieTimescale int64) error {
	for c.more() {
		kind, body := c.box()
		known, table := tables[kind]
		_, twice := t.tables[kind]
		switch {
		case table && (!known || twice || t.timescale < 1), hidden(kind, body.b):
			return unusual("box %s of a track", kind)
		case table:
			t.tables[kind] = body
		case kind == "mdia", kind == "minf", kind == "dinf", kind == "stbl", kind == "edts":
			if err := t.read(body, kind, movieTimescale); err != nil {
				return err
			}
		case kind == "tkhd":
			t.id, _, _ = header64(body)
		case kind == "mdhd":
			_, t.timescale, t.duration = header64(body)
		case kind == "hdlr" && parent == "mdia":
			body.skip(8) // version, flags, and another type
			t.handler = string(body.take(4))
		default:
			if err := t.readLess(kind, body); err != nil {
				return err
			}
		}
	}
	if c.bad || movieTimescale < 1 {
		return unusual("box %s", parent)
	}
	return nil
}

// readLess reads the boxes that are only looked at for what is unusual.
func (t *track) readLess(kind string, body cursor) error {
	switch kind {
	case "elst":
		return t.readEdits(body)
	case "dref": // the media must be in the file
		version, n := body.u32(), body.u32()
		_, ref := body.box()
		if flags := ref.u32(); version != 0 || n != 1 || flags != 1 || body.bad || ref.bad {
			return unusual("media in another file")
		}
	case "sbgp":
		body.skip(4)
		if name := string(body.take(4)); name == "rap " {
			return unusual("groups of samples %q", name)
		}
	case "trak", "moof", "traf", "trun":
		return unusual("box %s of a track", kind)
	}
	return nil
}

// header64 reads the beginning of mvhd, tkhd and mdhd: behind the times of
// creation and modification come a track's id or a time scale, and a duration
// (mvhd, mdhd).
func header64(body cursor) (id, timescale, duration int64) {
	version := body.u32() >> 24
	if version == 1 {
		body.skip(16)
	} else {
		body.skip(8)
	}
	first := int64(body.u32())
	if version == 1 {
		duration = int64(body.u64())
	} else {
		duration = int64(body.u32())
	}
	if body.bad || version > 1 {
		return 0, 0, 0
	}
	return first, first, duration
}

func (t *track) readEdits(body cursor) error {
	version, n := body.u32()>>24, body.u32()
	if n > maxEdits || t.edits != nil {
		return unusual("%d edits", n)
	}
	for range n {
		var e editEntry
		if version == 1 {
			e = editEntry{int64(body.u64()), int64(body.u64())}
		} else {
			e = editEntry{int64(body.u32()), int64(int32(body.u32()))}
		}
		if rate := body.u32(); rate != 1<<16 || body.bad {
			return unusual("an edit at another rate")
		}
		t.edits = append(t.edits, e)
	}
	return nil
}

// find returns the track that ffprobe calls a stream.
func (m *movie) find(st *stream) (*track, error) {
	var found *track
	for _, t := range m.tracks {
		if t.id == st.id && t.id > 0 {
			if found != nil {
				return nil, unusual("two tracks %d", t.id)
			}
			found = t
		}
	}
	if found == nil || st.timebase != (rational{1, found.timescale}) {
		return nil, unusual("track %d is not as ffprobe has it", st.id)
	}
	_, entries := found.entry()
	if entries != 1 {
		return nil, unusual("%d sample entries", entries)
	}
	return found, nil
}

// entry is the first sample entry (§8.5.2), and how many there are.
func (t *track) entry() (body cursor, entries int) {
	c := t.tables["stsd"]
	c.skip(4)
	entries = int(c.u32())
	_, body = c.box()
	if c.bad {
		return cursor{}, 0
	}
	return body, entries
}

// count is how many tracks have a handler.
func (m *movie) count(handler string) (n int) {
	for _, t := range m.tracks {
		if t.handler == handler {
			n++
		}
	}
	return n
}

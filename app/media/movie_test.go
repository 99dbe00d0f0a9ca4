package media

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzListing reads movie boxes of any bytes: they are unusual, or their
// samples lie in the file, and there are no more of them than bytes.
func FuzzListing(f *testing.F) {
	list, err := sources()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range list[:4] { // MP4 and QuickTime
		f.Add(moovOnly(s.content))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		m, err := readMovie(r, r.Size())
		if err != nil {
			if !errors.Is(err, errUnusual) {
				t.Fatal(err)
			}
			return
		}
		for _, track := range m.tracks {
			for _, codec := range []string{"h264", "aac"} {
				st := &stream{id: track.id, codec: codec, profile: "LC", timebase: rational{1, track.timescale}, sampleRate: int(track.timescale), plain: true}
				list, err := m.list(st)
				if err != nil {
					continue
				}
				checkListed(t, list, r.Size())
				l := &listing{r, m}
				if scan, err := l.scanKeys(t.Context(), st, list); err == nil && scan.idrs > len(list.samples) {
					t.Errorf("%d IDR pictures in %d samples", scan.idrs, len(list.samples))
				}
			}
		}
	})
}

// checkListed checks what holds for every list.
func checkListed(t *testing.T, list listed, size int64) {
	t.Helper()
	if n := len(list.packets); n == 0 || n != len(list.samples) || int64(n) > size {
		t.Fatalf("%d packets of %d samples in %d bytes", n, len(list.samples), size)
	}
	for i, s := range list.samples {
		p := list.packets[i]
		if s.size < 1 || s.at < 0 || s.at+int64(s.size) > size || p.size != s.size || p.duration < 1 || p.pts > maxPTS || p.pts < -maxPTS {
			t.Fatalf("sample %d of %d bytes: %+v, %+v", i, size, s, p)
		}
	}
}

// moovOnly is a file without the content of its media, so that a fuzzer
// changes what matters. Where the media was, there are zeros.
func moovOnly(file []byte) []byte {
	file = bytes.Clone(file)
	if at := bytes.Index(file, []byte("mdat")); at >= 4 {
		size := int(file[at-4])<<24 | int(file[at-3])<<16 | int(file[at-2])<<8 | int(file[at-1])
		clear(file[at+4 : min(len(file), at-4+size)])
	}
	return file
}

// TestUnusualMovies damages the tables of a plain file: it is left to ffprobe.
func TestUnusualMovies(t *testing.T) {
	t.Parallel()
	good := func() []byte { return sourceNamed(t, "late.mp4") }
	for _, tc := range []struct {
		name    string
		content []byte
	}{
		{"a time scale of 0", edit(t, good(), "mvhd", 12, 0)},
		{"a duration of 0", edit(t, good(), "mdhd", 16, 0)},
		{"more durations than samples", edit(t, good(), "stts", 8, 16)},
		{"fewer durations than samples", edit(t, good(), "stts", 8, 14)},
		{"a duration of a sample of 0", edit(t, good(), "stts", 12, 0)},
		{"a table that is too long", edit(t, good(), "stts", 4, 0xffffffff)},
		{"a negative duration", edit(t, good(), "stts", 12, 0xffffff00)},
		{"a sample of no bytes", edit(t, good(), "stsz", 12, 0)},
		{"a sample of more than the file", edit(t, good(), "stsz", 12, 1<<29)},
		{"a million samples of one size", edit(t, good(), "stsz", 4, 1, 1_000_000)},
		{"four billion samples of one size", edit(t, good(), "stsz", 4, 1, 0xffffffff)},
		{"a chunk behind the end", edit(t, good(), "stco", 8, 0xfffffff0)},
		{"a chunk of a billion samples", edit(t, good(), "stsc", 12, 1_000_000_000)},
		{"chunks from the second on", edit(t, good(), "stsc", 8, 2)},
		{"another sample entry", edit(t, good(), "stsc", 16, 2)},
		{"two sample entries", edit(t, good(), "stsd", 4, 2)},
		{"key frames in disorder", edit(t, good(), "stss", 8, 6, 1)},
		{"no key frame at the beginning", edit(t, good(), "stss", 8, 2)},
		{"no key frames", edit(t, good(), "stss", 4, 0)},
		{"an edit at twice the rate", edit(t, good(), "elst", 16, 2<<16)},
		{"an edit without end", edit(t, good(), "elst", 8, 0)},
		{"a billion edits", edit(t, good(), "elst", 4, 1_000_000_000)},
		{"an edit behind the end", edit(t, good(), "elst", 12, 1<<30)},
		{"media elsewhere", edit(t, good(), "url ", 0, 0)},
		{"a file that was cut", good()[:len(good())-1]},
		{"another box", append(good(), "\x00\x00\x00\x08moof"...)},
		{"two movies", append(good(), "\x00\x00\x00\x08moov"...)},
		{"a hidden movie", append(good(), "\x00\x00\x00\x10free\x00\x00\x00\x08mvhd"...)},
		{"fragments", sourceNamed(t, "fragmented.mp4")},
		{"Matroska", sourceNamed(t, "a.mkv")},
		{"nothing", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := listFirst(tc.content); !errors.Is(err, errUnusual) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := listFirst(good()); err != nil {
		t.Errorf("without damage: %v", err)
	}
}

// listFirst lists the first track of a file.
func listFirst(content []byte) error {
	r := bytes.NewReader(content)
	m, err := readMovie(r, r.Size())
	if err != nil {
		return err
	}
	t := m.tracks[0]
	_, err = m.list(&stream{id: t.id, codec: "h264", timebase: rational{1, t.timescale}})
	return err
}

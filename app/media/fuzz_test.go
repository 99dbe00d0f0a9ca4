package media

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"
)

// The parsers of what ffmpeg and ffprobe say, and of the small languages inside
// it. Those of files and boxes have their targets beside their tests. The seeds
// are in testdata/fuzz.

func FuzzParseCRC(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		rows := 0
		err := readCRC(func(sum string, _ bool) {
			if rows++; sum == "" && !strings.Contains(text, ",") {
				t.Errorf("a row without a sum in %q", text)
			}
		})(strings.NewReader(text))
		if err == nil && rows > strings.Count(text, "\n") {
			t.Errorf("%d rows in %q", rows, text)
		}
	})
}

func FuzzBCP47(f *testing.F) {
	f.Fuzz(func(t *testing.T, tag string) {
		got := bcp47(tag)
		if len(got) > 16 || strings.ContainsAny(got, "\"\\<>&\r\n /.") {
			t.Errorf("%q became %q, which no playlist or path can hold", tag, got)
		}
		if again := bcp47(got); again != got {
			t.Errorf("%q became %q, which became %q", tag, got, again)
		}
	})
}

func FuzzDisplay(f *testing.F) {
	f.Fuzz(func(t *testing.T, width, height int, sar, matrix string, rotation float64) {
		if width < 1 || height < 1 || max(width, height) > maxSide {
			t.Skip() // refused before
		}
		st := stream{coded: [2]int{width, height}}
		st.display(sar, []sideData{{Type: "Display Matrix", Rotation: rotation, Matrix: matrix}})
		if st.checkSize() == nil && (st.width < 1 || st.height < 1 || st.width*st.height > maxPixels) {
			t.Errorf("%d × %d, pixels %q, turned %g: %d × %d", width, height, sar, rotation, st.width, st.height)
		}
	})
}

func FuzzDeclared(f *testing.F) {
	f.Fuzz(func(t *testing.T, duration, tag string) {
		s := probeStream{Duration: duration, Tags: map[string]any{"DURATION": tag}}
		if d := s.declared(); math.IsNaN(d) || math.IsInf(d, 0) || d < 0 {
			t.Errorf("%q, %q: %g seconds", duration, tag, d)
		}
	})
}

func FuzzLineWriter(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		var got []string
		w := &lineWriter{line: func(b []byte) error { got = append(got, string(b)); return nil }}
		for rest := text; len(rest) > 0; {
			n := min(len(rest), max(1, step&0xff))
			if _, err := w.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		want := 0
		for line := range bytes.Lines(whole) {
			if want == len(got) || got[want] != string(bytes.TrimRight(line[:len(line)-1], "\r")) {
				t.Fatalf("line %d of %q in steps of %d: %q", want, text, step, got)
			}
			want++
		}
		if want != len(got) {
			t.Errorf("%d lines of %q, want %d", len(got), text, want)
		}
	})
}

func FuzzFragmentReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newFragmentReader(io.LimitReader(bytes.NewReader(b), 1<<20))
		if _, err := r.init(); err != nil {
			return
		}
		var frag fragment
		for n := 0; r.next(&frag) == nil; n++ {
			if len(frag.samples) > maxSamples || len(frag.data) > len(b) || n > len(b)/16 {
				t.Fatalf("fragment %d: %d samples, %d bytes of %d", n, len(frag.samples), len(frag.data), len(b))
			}
		}
	})
}

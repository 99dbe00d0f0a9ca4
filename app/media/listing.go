package media

import (
	"context"
	"io"
	"slices"
)

// listing is a source whose movie box this package can read: packets are
// listed from its tables, exactly as ffprobe lists them.
type listing struct {
	file  io.ReaderAt
	movie *movie
}

// openListing opens a source. It is nil for one that is left to ffprobe.
func openListing(ctx context.Context, source string) *listing {
	if sniffSource(ctx, source) != nil {
		return nil // and so does the probe
	}
	f, size, err := openSource(ctx, source)
	if err != nil {
		return nil // whoever opens it next says why
	}
	m, err := readMovie(f, size)
	if err != nil {
		f.Close()
		return nil
	}
	return &listing{f, m}
}

func (l *listing) close() {
	if l == nil {
		return
	}
	if f, ok := l.file.(io.Closer); ok {
		f.Close()
	}
}

// oneSound tells whether the source has one stream of sound.
func (l *listing) oneSound() bool { return l != nil && l.movie.count("soun") == 1 }

// listed is a stream whose samples are known.
type listed struct {
	track   *track
	samples []mediaSample
	packets []packet
}

// list lists the packets of a stream. errUnusual.
func (l *listing) list(st *stream) (listed, error) {
	if l == nil {
		return listed{}, unusual("no movie box that is read here")
	}
	return l.movie.list(st)
}

// list is listing.list. ffmpeg hands on packets of these codecs as they are.
func (m *movie) list(st *stream) (listed, error) {
	if !slices.Contains([]string{"h264", "hevc", "aac"}, st.codec) {
		return listed{}, unusual("codec %s", st.codec)
	}
	t, err := m.find(st)
	if err != nil {
		return listed{}, err
	}
	samples, err := t.samples(m.size)
	if err != nil {
		return listed{}, err
	}
	samples, end, err := t.present(samples, m.timescale)
	if err != nil {
		return listed{}, err
	}
	packets, err := t.packets(samples, end, t.frameDuration(st))
	return listed{t, samples, packets}, err
}

// frameDuration is what ffmpeg takes for the duration of a frame that it knows
// no better of, ticks; 0 if it is not known here.
func (t *track) frameDuration(st *stream) int64 {
	switch {
	case t.handler == "vide" && t.steady() > 0:
		return t.steady()
	case t.handler == "vide" && st.base.num > 0:
		return t.timescale * st.base.den / st.base.num
	case st.codec == "aac" && st.profile == "LC" && t.timescale == int64(st.sampleRate):
		return aacFrame
	}
	return 0
}

// packets makes packets of samples; the track ends at end. A packet lasts until
// the next one, or usual where that is not known: where samples are reordered,
// and at the end of what is delayed.
func (t *track) packets(samples []mediaSample, end, usual int64) ([]packet, error) {
	list := make([]packet, len(samples))
	for i, s := range samples {
		d := end - s.dts
		if i+1 < len(samples) {
			d = samples[i+1].dts - s.dts
		}
		if t.reordered() || d < 1 {
			d = usual
		}
		if d < 1 {
			return nil, unusual("the duration of frame %d is not known", i)
		}
		pts := s.dts + int64(s.offset)
		if pts > maxPTS || pts < -maxPTS {
			return nil, unusual("frame %d at tick %d", i, pts)
		}
		list[i] = packet{pts: pts, duration: d, size: s.size, key: s.key, discard: s.discard}
	}
	return list, nil
}

package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"streamgate/store"
)

// EncodeInput says which cells to make.
type EncodeInput struct {
	// Source is the path of the source (or of its normalised copy), or an http URL
	// on loopback that answers ranges.
	Source string
	Plan   *store.Plan
	Frames Frames // may be empty for audio
	// From and To are segments: [From, To).
	From, To int
	// Renditions are names of one family: encoded video, copies, or encoded audio.
	Renditions []string
	Background bool // give way to demanded cells
	Threads    int  // of each decoder and encoder; 0 is automatic
}

// Emit takes a cell as soon as it is whole; it owns the bytes. It is called
// concurrently for different renditions, in segment order within one. Its
// error ends the run and is what Encode returns.
type Emit func(rendition string, segment int, cell []byte) error

// ErrInput is the error of an EncodeInput that no run can be made of.
var ErrInput = errors.New("media: impossible encode")

// ErrForeign is the error of a run whose encoder writes another header than the
// one that the plan was made with: its pictures could not be shown with that.
var ErrForeign = errors.New("media: this ffmpeg encodes otherwise than the one that the video was planned with")

// Encode makes the cells of some segments and renditions with one run of
// ffmpeg, and emits each as soon as ffmpeg has written it. When ctx is done,
// ffmpeg is killed.
//
// A picture that cannot be decoded is missing from its cell, which keeps its
// length: the picture before lasts longer. A segment without any picture is a
// Refusal. Every other error is about this run and may be retried; cells
// emitted before it are good.
func (t Tools) Encode(ctx context.Context, in EncodeInput, emit Emit) error {
	return t.encode(ctx, &in, false, emit)
}

// encode is Encode; with freeze it makes the headers that come the plan's.
func (t Tools) encode(ctx context.Context, in *EncodeInput, freeze bool, emit Emit) error {
	c, rs, err := in.command()
	if err != nil {
		return err
	}
	var (
		splitters = make([]*splitter, len(rs))
		left      atomic.Int32
		child     = run{tools: t, path: t.FFmpeg, args: c.args, background: in.Background}
	)
	left.Store(int32(len(rs)))
	for i, r := range rs {
		g, err := in.grid(r)
		if err != nil {
			return err
		}
		s := newSplitter(g, func(segment int, cell []byte) error { return emit(r.Name, segment, cell) })
		splitters[i] = s
		child.pipes = append(child.pipes, func(pipe io.Reader) error {
			if err := readCells(pipe, r, s, freeze); err != nil {
				return fmt.Errorf("rendition %s: %w", r.Name, err)
			}
			if s.done() && left.Add(-1) == 0 {
				return errEnough
			}
			_, err := io.Copy(io.Discard, pipe) // the others may need longer
			return err
		})
	}
	if err := child.do(ctx); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	for i, s := range splitters {
		if err := s.finish(); err != nil {
			return fmt.Errorf("rendition %s: %w", rs[i].Name, err)
		}
	}
	return nil
}

// errEnough ends a run that has given all that was wanted of it.
var errEnough = errors.New("enough")

// readCells splits one rendition's stream. No cell leaves it whose header is
// not the plan's. That is told only with the first cell: where nothing can be
// decoded, ffmpeg writes a header of guesses, and the lack of pictures is what
// the user must hear of.
func readCells(pipe io.Reader, r *store.Rendition, s *splitter, freeze bool) error {
	stream := newFragmentReader(pipe)
	if freeze {
		if err := freezeHeader(stream, r); err != nil {
			return err
		}
		return s.split(stream)
	}
	moov, err := stream.init()
	if err != nil {
		return err
	}
	init, _, err := header(moov, r)
	if err != nil {
		return err
	}
	if !bytes.Equal(init, r.Init) {
		s.foreign = fmt.Errorf("%w: rendition %s", ErrForeign, r.Name)
	}
	return s.split(stream)
}

// command checks the input and builds ffmpeg's arguments; renditions are in
// the order of its pipes.
func (in *EncodeInput) command() (*command, []*store.Rendition, error) {
	rs, err := in.renditions()
	if err != nil {
		return nil, nil, err
	}
	c := &command{in: in}
	switch {
	case rs[0].Copy:
		c.copyStreams(rs)
	case rs[0].Kind == store.KindVideo:
		// The cascade scales from the largest down.
		slices.SortStableFunc(rs, func(a, b *store.Rendition) int { return b.Width*b.Height - a.Width*a.Height })
		c.encodeVideo(rs)
	default:
		c.encodeAudio(rs)
	}
	return c, rs, nil
}

// renditions looks the renditions up and checks that one run can make them.
func (in *EncodeInput) renditions() ([]*store.Rendition, error) {
	t := &in.Plan.Timeline
	if in.From < 0 || in.From >= in.To || in.To > t.Segments() || len(in.Renditions) == 0 {
		return nil, fmt.Errorf("%w: segments %d to %d of %d, %d renditions", ErrInput, in.From, in.To, t.Segments(), len(in.Renditions))
	}
	var rs []*store.Rendition
	for _, name := range in.Renditions {
		r, ok := in.Plan.Rendition(name)
		if !ok {
			return nil, fmt.Errorf("%w: no rendition %q", ErrInput, name)
		}
		rs = append(rs, r)
		if r.Copy != rs[0].Copy || !r.Copy && r.Kind != rs[0].Kind {
			return nil, fmt.Errorf("%w: %s and %s are not one family", ErrInput, rs[0].Name, name)
		}
		if r.Kind == store.KindAudio && len(r.Bounds) != len(t.Bounds) {
			return nil, fmt.Errorf("%w: %s has %d bounds", ErrInput, name, len(r.Bounds))
		}
		if r.Kind == store.KindVideo && (len(t.Frames) != len(t.Bounds) || t.Frames[t.Segments()] != len(in.Frames.PTS)) {
			return nil, fmt.Errorf("%w: the frame index has %d frames", ErrInput, len(in.Frames.PTS))
		}
	}
	return rs, nil
}

// grid is where a rendition's samples belong.
func (in *EncodeInput) grid(r *store.Rendition) (grid, error) {
	p := in.Plan
	g := grid{first: in.From, delay: r.Delay}
	if r.Kind == store.KindVideo {
		frames := p.Timeline.Frames
		g.bounds = p.Timeline.Bounds[in.From : in.To+1]
		g.times = in.Frames.PTS[frames[in.From]:frames[in.To]]
		g.origin = p.Source.Start
		for s := in.From; s < in.To; s++ {
			if frames[s] >= frames[s+1] || in.Frames.PTS[frames[s]] != p.Timeline.Bounds[s] {
				return g, fmt.Errorf("%w: segment %d does not begin with a frame", ErrInput, s)
			}
		}
		return g, nil
	}
	g.bounds = r.Bounds[in.From : in.To+1]
	for s, b := range g.bounds[1:] {
		if n := b - g.bounds[s]; n <= 0 || n%aacFrame != 0 || n > maxSamples*aacFrame {
			return g, fmt.Errorf("%w: segment %d is not on the audio grid", ErrInput, in.From+s)
		}
	}
	for t := g.bounds[0]; t < g.bounds[len(g.bounds)-1]; t += aacFrame {
		g.times = append(g.times, t)
	}
	g.slack = aacFrame / 2
	g.origin = audioClock * aacFrame
	if r.Copy {
		g.origin = rescale(p.Source.Start, p.Timeline.Timescale, int64(r.Timescale))
	}
	return g, nil
}

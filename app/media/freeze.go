package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"streamgate/store"
)

// freeze fills Init and Codecs of every rendition, all families side by side.
// It begins to encode the first segment with the very arguments of Encode, and
// stops once ffmpeg has written its headers. Copies cost next to nothing: their
// first cells are made by the same run, and returned.
func (t Tools) freeze(ctx context.Context, source string, p *store.Plan, f Frames) (first []Cell, err error) {
	g, ctx := errgroup.WithContext(ctx)
	for _, names := range families(p) {
		g.Go(func() error {
			in := EncodeInput{Source: source, Plan: p, Frames: f, From: 0, To: 1, Renditions: names}
			r, _ := p.Rendition(names[0])
			var err error
			if r.Copy {
				first, err = t.freezeCopies(ctx, &in)
			} else {
				err = t.freezeFamily(ctx, &in)
			}
			if err != nil {
				return fmt.Errorf("freeze %v: %w", names, err)
			}
			return nil
		})
	}
	return first, g.Wait()
}

// Cell is a cell that was made.
type Cell struct {
	Rendition string
	Segment   int
	Data      []byte
}

// freezeCopies is freezeFamily that goes on until the first cells are there.
// That they cannot be made is no error here: the job that makes cells says it,
// of this one as of every other.
func (t Tools) freezeCopies(ctx context.Context, in *EncodeInput) (cells []Cell, err error) {
	var made sync.Mutex
	err = t.encode(ctx, in, true, func(rendition string, segment int, data []byte) error {
		made.Lock()
		defer made.Unlock()
		cells = append(cells, Cell{rendition, segment, data})
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, t.freezeFamily(ctx, in)
	}
	return cells, nil
}

// families groups the names of renditions that one run makes: encoded video,
// copies, encoded audio.
func families(p *store.Plan) [][]string {
	var video, copies, audio []string
	for _, r := range p.Renditions {
		switch {
		case r.Copy:
			copies = append(copies, r.Name)
		case r.Kind == store.KindVideo:
			video = append(video, r.Name)
		default:
			audio = append(audio, r.Name)
		}
	}
	var all [][]string
	for _, names := range [][]string{video, copies, audio} {
		if len(names) > 0 {
			all = append(all, names)
		}
	}
	return all
}

// freezeFamily runs ffmpeg until the headers of in's renditions are there.
func (t Tools) freezeFamily(ctx context.Context, in *EncodeInput) error {
	c, rs, err := in.command()
	if err != nil {
		return err
	}
	return t.headers(ctx, c, rs)
}

// headers runs ffmpeg until the headers of the renditions are there.
func (t Tools) headers(ctx context.Context, c *command, rs []*store.Rendition) error {
	child := run{tools: t, path: t.FFmpeg, args: c.args}
	var left atomic.Int32
	left.Store(int32(len(rs)))
	for _, r := range rs {
		child.pipes = append(child.pipes, func(pipe io.Reader) error {
			if err := freezeHeader(newFragmentReader(pipe), r); err != nil {
				return fmt.Errorf("rendition %s: %w", r.Name, err)
			}
			if left.Add(-1) == 0 {
				return errEnough
			}
			_, err := io.Copy(io.Discard, pipe)
			return err
		})
	}
	if err := child.do(ctx); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// freezeHeader reads a stream's header and makes it the rendition's.
func freezeHeader(stream *fragmentReader, r *store.Rendition) error {
	moov, err := stream.init()
	if err == nil {
		r.Init, r.Codecs, err = header(moov, r)
	}
	return err
}

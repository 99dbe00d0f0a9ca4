package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"streamgate/store"
)

// freeze fills Init and Codecs of every rendition: it begins to encode the
// first segment with the very arguments of Encode, and stops each family's run
// once ffmpeg has written its headers.
func (t Tools) freeze(ctx context.Context, source string, p *store.Plan, f Frames) error {
	for _, names := range families(p) {
		in := EncodeInput{Source: source, Plan: p, Frames: f, From: 0, To: 1, Renditions: names}
		if err := t.freezeFamily(ctx, &in); err != nil {
			return fmt.Errorf("freeze %v: %w", names, err)
		}
	}
	return nil
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
	child := run{tools: t, path: t.FFmpeg, args: c.args}
	var left atomic.Int32
	left.Store(int32(len(rs)))
	for _, r := range rs {
		child.pipes = append(child.pipes, func(pipe io.Reader) error {
			moov, err := newFragmentReader(pipe).init()
			if err != nil {
				return fmt.Errorf("rendition %s: %w", r.Name, err)
			}
			if r.Init, r.Codecs, err = header(moov, r); err != nil {
				return fmt.Errorf("rendition %s: %w", r.Name, err)
			}
			if left.Add(-1) == 0 {
				return errEnough
			}
			_, err = io.Copy(io.Discard, pipe)
			return err
		})
	}
	if err := child.do(ctx); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

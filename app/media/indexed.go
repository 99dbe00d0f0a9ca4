package media

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// indexed is a source whose packets are known.
type indexed struct {
	src        probed
	timescale  uint32
	packets    []packet // video, in decoding order
	frames     shown
	keys       keyScan  // only if the video may be copied
	audio      []packet // only if needed
	audioStart float64  // first decoded sample, seconds
	copied     bool     // the headers allow a copy
}

// index reads the packets of a source, from the tables of its movie box where
// l has them, else in several passes side by side, none of which decodes the
// film. early is the beginning of the sound, if it is known already.
func (t Tools) index(ctx context.Context, source string, src probed, profile Profile, l *listing, early *beginning) (indexed, error) {
	x := indexed{src: src, timescale: uint32(src.timescaleStream().timebase.den)}
	x.copied = profile.Copy && maybeCopied(&src) == ""
	g, gctx := errgroup.WithContext(ctx)
	if src.video != nil {
		t.indexPictures(gctx, g, source, l, &x)
	}
	audible := false
	if src.audio != nil {
		g.Go(func() (err error) {
			x.audioStart, audible, err = t.audioStart(gctx, source, src.audio, early)
			return err
		})
		if x.copied && src.audio.codec == "aac" || src.video == nil {
			g.Go(func() (err error) {
				x.audio, err = t.sounds(gctx, source, l, src.audio)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return indexed{}, err
	}
	if !audible {
		x.src.audio = nil // sound that cannot be decoded is left out
	}
	return x, x.check()
}

// indexPictures has the pictures of a source indexed.
func (t Tools) indexPictures(ctx context.Context, g *errgroup.Group, source string, l *listing, x *indexed) {
	v := x.src.video
	list, err := l.list(v)
	x.packets = list.packets
	if err != nil {
		g.Go(func() (err error) {
			x.packets, err = t.pictures(ctx, source, v)
			return err
		})
	}
	if !x.copied {
		return
	}
	g.Go(func() (err error) {
		if list.packets != nil {
			if x.keys, err = l.scanKeys(ctx, v, list); !errors.Is(err, errUnusual) {
				return err
			}
		}
		x.keys, err = t.scanKeys(ctx, source, v)
		if errors.As(err, new(*ToolError)) { // then it is encoded
			x.keys, err = keyScan{}, nil
		}
		return err
	})
}

// sounds lists the packets of an audio stream.
func (t Tools) sounds(ctx context.Context, source string, l *listing, a *stream) ([]packet, error) {
	if list, err := l.list(a); err == nil {
		return list.packets, nil
	}
	return t.packets(ctx, source, a)
}

// pictures lists the packets of a video stream; those that are never shown are
// marked.
func (t Tools) pictures(ctx context.Context, source string, v *stream) ([]packet, error) {
	list, err := t.packets(ctx, source, v)
	if err == nil && v.codec == "vp8" {
		err = t.hideVP8(ctx, source, v, list)
	}
	return list, err
}

// check puts the frames in order and refuses a source that lacks them.
func (x *indexed) check() (err error) {
	v := x.src.video
	if v == nil {
		if x.src.audio == nil {
			return refuse(CodeUnsupportedCodec, "The sound is in a format that this node cannot decode.")
		}
		return nil
	}
	if x.frames, err = showFrames(x.packets, int64(x.timescale), v.rate); err != nil {
		return err
	}
	if len(x.frames.PTS) == 0 {
		return refuse(CodeTruncated, "The video is damaged or incomplete: there are no pictures in it.")
	}
	seconds := float64(x.frames.End) / float64(x.timescale)
	if seconds > maxSeconds {
		return errTooLong()
	}
	if err := checkRate(len(x.frames.PTS), seconds); err != nil {
		return err
	}
	if v.seconds-seconds > max(1, 0.02*v.seconds) {
		return refuse(CodeTruncated, "The file is incomplete: it ends after %.0f of %.0f seconds. Upload the whole file.", seconds, v.seconds)
	}
	return nil
}

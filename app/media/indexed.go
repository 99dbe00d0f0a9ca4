package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

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

// index reads the packets of a source: several passes side by side, none of
// which decodes the film.
func (t Tools) index(ctx context.Context, path string, src probed, profile Profile) (indexed, error) {
	x := indexed{src: src, timescale: uint32(src.timescaleStream().timebase.den)}
	x.copied = profile.Copy && maybeCopied(&src) == ""
	g, gctx := errgroup.WithContext(ctx)
	if src.video != nil {
		g.Go(func() (err error) {
			x.packets, err = t.pictures(gctx, path, src.video)
			return err
		})
	}
	if x.copied {
		g.Go(func() (err error) {
			x.keys, err = t.scanKeys(gctx, path, src.video)
			if errors.As(err, new(*ToolError)) { // then it is encoded
				x.keys, err = keyScan{}, nil
			}
			return err
		})
	}
	audible := false
	if src.audio != nil {
		g.Go(func() (err error) {
			x.audioStart, audible, err = t.audioStart(gctx, path, src.audio)
			return err
		})
		if x.copied && src.audio.codec == "aac" || src.video == nil {
			g.Go(func() (err error) {
				x.audio, err = t.packets(gctx, path, src.audio)
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

// pictures lists the packets of a video stream; those that are never shown are
// marked.
func (t Tools) pictures(ctx context.Context, path string, v *stream) ([]packet, error) {
	list, err := t.packets(ctx, path, v)
	if err == nil && v.codec == "vp8" {
		err = t.hideVP8(ctx, path, v, list)
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

// audioStart decodes the beginning of the sound. It returns the time of the
// first sample, seconds, after what the encoder put before it; ok is false if
// nothing can be decoded.
func (t Tools) audioStart(ctx context.Context, path string, a *stream) (start float64, ok bool, err error) {
	// An edit list may hide far more than the encoder's own delay: a film that
	// was cut without encoding it again. 8,192 packets are about three minutes.
	for _, packets := range []int{32, 8192} {
		if start, ok, err = t.audioWithin(ctx, path, a, packets); ok || err != nil {
			break
		}
	}
	return start, ok, err
}

// audioWithin is audioStart that looks at so many packets.
func (t Tools) audioWithin(ctx context.Context, path string, a *stream, packets int) (start float64, ok bool, err error) {
	lines := &lineWriter{line: func(line []byte) error {
		ticks, _, _ := bytes.Cut(line, []byte(",")) // side data leaves a comma
		if v := parseTicks(ticks, a.timebase.num); !ok && v != missing {
			start, ok = float64(v)/float64(a.timebase.den), true
		}
		return nil
	}}
	args := append(inputArgs(), "-select_streams", strconv.Itoa(a.index), "-read_intervals", fmt.Sprintf("%%+#%d", packets),
		"-show_entries", "frame=best_effort_timestamp", "-of", "csv=p=0", "file:"+path)
	err = run{tools: t, path: t.FFprobe, args: args, stdout: lines}.do(ctx)
	if errors.As(err, new(*ToolError)) && ctx.Err() == nil {
		err = nil
	}
	return start, ok, err
}

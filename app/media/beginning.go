package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
)

// beginning is where the decoded sound of a source begins.
type beginning struct {
	ticks int64
	ok    bool // something can be decoded
	err   error
}

const (
	// soonPackets is within how many packets the sound begins, but for films
	// that were cut without encoding them again: an edit list may hide far more
	// than the encoder's own delay. latePackets are about three minutes.
	soonPackets = 32
	latePackets = 8192
)

// audioStart decodes the beginning of the sound, unless early has it. It returns
// the time of the first sample, seconds, after what the encoder put before it;
// ok is false if nothing can be decoded.
func (t Tools) audioStart(ctx context.Context, source string, a *stream, early *beginning) (start float64, ok bool, err error) {
	which := strconv.Itoa(a.index)
	if early == nil {
		early = t.audioWithin(ctx, source, which, soonPackets)
	}
	if !early.ok && early.err == nil {
		early = t.audioWithin(ctx, source, which, latePackets)
	}
	if !early.ok || early.err != nil || a.timebase.den == 0 {
		return 0, false, early.err
	}
	return float64(early.ticks) * float64(a.timebase.num) / float64(a.timebase.den), true, nil
}

// audioWithin decodes so many packets of a stream, which is named as ffprobe
// names streams.
func (t Tools) audioWithin(ctx context.Context, source, which string, packets int) *beginning {
	b := &beginning{}
	lines := &lineWriter{line: func(line []byte) error {
		ticks, _, _ := bytes.Cut(line, []byte(",")) // side data leaves a comma
		if v := parseTicks(ticks, 1); !b.ok && v != missing {
			b.ticks, b.ok = v, true
		}
		return nil
	}}
	args := append(inputArgs(source), "-select_streams", which, "-read_intervals", fmt.Sprintf("%%+#%d", packets),
		"-show_entries", "frame=best_effort_timestamp", "-of", "csv=p=0", "-i", inputName(source))
	b.err = run{tools: t, path: t.FFprobe, args: args, stdout: lines}.do(ctx)
	if errors.As(b.err, new(*ToolError)) && ctx.Err() == nil {
		b.err = nil
	}
	return b
}

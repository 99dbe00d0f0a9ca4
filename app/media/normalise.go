package media

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

// normalName is the file name of a normalised copy.
const normalName = "normal.mkv"

// exactFormat tells whether a seek in a demuxer finds exactly the frame that
// was asked for.
func exactFormat(demuxer string) bool { return demuxer == "mov" || demuxer == "matroska" }

// needsNormal tells whether a source must be rewritten before it is indexed.
func (p *probed) needsNormal() bool {
	if !exactFormat(p.format) {
		return true
	}
	tb := p.timescaleStream().timebase
	return tb.den == 0 || tb.den > maxTimescale
}

// timescaleStream is the stream whose time base rules: video if there is one.
func (p *probed) timescaleStream() *stream {
	if p.video != nil {
		return p.video
	}
	return p.audio
}

// normalise copies the chosen streams into a Matroska file in dir: whatever
// the container, it then has timestamps, no wraps, and exact seeking. Sound
// that Matroska cannot hold becomes FLAC.
func (t Tools) normalise(ctx context.Context, source, dir string, p probed) (string, error) {
	dst := filepath.Join(dir, normalName)
	args := append(inputArgs(source), "-nostdin", "-y", "-fflags", "+genpts", "-i", inputName(source))
	for _, st := range []*stream{p.video, p.audio} {
		if st != nil {
			args = append(args, "-map", "0:"+strconv.Itoa(st.index))
		}
	}
	if p.video != nil && p.video.codec == "mpeg4" {
		args = append(args, "-bsf:v", "mpeg4_unpack_bframes") // DivX's packed B-frames
	}
	args = append(args, "-c", "copy")
	err := run{tools: t, path: t.FFmpeg, args: append(args, "-f", "matroska", "file:"+dst)}.do(ctx)
	if p.audio != nil && errors.As(err, new(*ToolError)) {
		err = run{tools: t, path: t.FFmpeg, args: append(args, "-c:a", "flac", "-f", "matroska", "file:"+dst)}.do(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("normalise: %w", refuseTool(err))
	}
	return dst, nil
}

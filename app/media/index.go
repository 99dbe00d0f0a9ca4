package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// maxPackets bounds the index of one stream: a day at 60 frames per second.
const maxPackets = 24 * 60 * 60 * 60

// packet is one packet of a stream, in decoding order. Times are in ticks of
// the stream's time base times its numerator; missing means unknown.
type packet struct {
	pts      int64
	duration int64
	size     int32 // bytes
	key      bool
	discard  bool // for the decoder only: never shown
}

const missing = math.MinInt64

// maxPTS bounds what a timestamp may be, ticks, so that arithmetic with it
// cannot overflow.
const maxPTS = 1 << 56

// packets lists the packets of one stream. It reads headers and index only as
// far as the container allows, and decodes nothing.
func (t Tools) packets(ctx context.Context, source string, st *stream) ([]packet, error) {
	var list []packet
	var claimed int64
	lines := &lineWriter{line: func(line []byte) error {
		p, ok := parsePacket(line, st.timebase.num)
		if !ok {
			return nil
		}
		if len(list) == maxPackets {
			return errTooLong()
		}
		list = append(list, p)
		claimed += int64(p.size)
		return t.limits.checkClaim(claimed)
	}}
	args := append(inputArgs(source), "-select_streams", strconv.Itoa(st.index),
		"-show_entries", "packet=pts,duration,size,flags", "-of", "csv=p=0", "-i", inputName(source))
	err := run{tools: t, path: t.FFprobe, args: args, stdout: lines}.do(ctx)
	if r, ok := errors.AsType[Refusal](err); ok {
		return nil, r
	}
	if err != nil && len(list) == 0 {
		return nil, refuseTool(err)
	}
	if err != nil { // what could be read is judged by its length
		if refusal := refuseTool(err); !errors.As(refusal, new(Refusal)) {
			return nil, fmt.Errorf("index packets: %w", err)
		}
	}
	return list, nil
}

// parsePacket reads a line like "1536,512,19686,K_": pts, duration, size and
// flags. Unknown numbers are "N/A". ok is false for anything else (side data
// leaves lines of its own).
func parsePacket(line []byte, num int64) (p packet, ok bool) {
	var fields [4][]byte
	for i := range fields {
		fields[i], line, _ = bytes.Cut(line, []byte(","))
	}
	flags := fields[3]
	if len(flags) == 0 {
		return packet{}, false
	}
	p = packet{
		pts:      parseTicks(fields[0], num),
		duration: max(0, parseTicks(fields[1], num)),
		key:      bytes.IndexByte(flags, 'K') >= 0,
		discard:  bytes.IndexByte(flags, 'D') >= 0,
	}
	size, err := strconv.ParseInt(string(fields[2]), 10, 32)
	if err != nil || size < 0 {
		return packet{}, false
	}
	p.size = int32(size)
	return p, true
}

// parseTicks reads a number of ticks and multiplies it by the time base's
// numerator; missing if there is none, or none that makes sense.
func parseTicks(b []byte, num int64) int64 {
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || num < 1 || v > maxPTS/num || v < -maxPTS/num {
		return missing
	}
	return v * num
}

// lineWriter calls line for each whole line that is written to it.
type lineWriter struct {
	line func([]byte) error
	rest []byte // the beginning of a line
}

// maxLine bounds one line, bytes.
const maxLine = 64 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	for n := 0; ; {
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			w.rest = append(w.rest, p[n:]...)
			if len(w.rest) > maxLine {
				return n, errTooMuch
			}
			return len(p), nil
		}
		line := p[n : n+i]
		if len(w.rest) > 0 {
			line = append(w.rest, line...)
			w.rest = w.rest[:0]
		}
		if err := w.line(bytes.TrimRight(line, "\r")); err != nil {
			return n, err
		}
		n += i + 1
	}
}

package media

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// hideVP8 marks the packets of a VP8 stream that are never shown (golden and
// alternative reference frames), which no container says: the flag is in the
// frame itself (RFC 6386 §9.1). Codecs since then pack them with a shown one.
func (t Tools) hideVP8(ctx context.Context, source string, v *stream, packets []packet) error {
	var hidden []bool
	args := append(inputArgs(source), "-nostdin", "-copyts", "-i", inputName(source), "-map", "0:"+strconv.Itoa(v.index),
		"-c", "copy", "-copyinkf", "-f", "ivf", "pipe:3")
	err := run{tools: t, path: t.FFmpeg, args: args, pipes: []func(io.Reader) error{func(r io.Reader) (err error) {
		hidden, err = readIVF(r)
		return err
	}}}.do(ctx)
	if err != nil {
		return fmt.Errorf("look for hidden frames: %w", refuseTool(err))
	}
	if len(hidden) != len(packets) {
		return refuse(CodeDamaged, "The video is damaged: its frames cannot be counted.")
	}
	for i, h := range hidden {
		packets[i].discard = packets[i].discard || h
	}
	return nil
}

// readIVF tells for each VP8 frame of an IVF stream whether it is hidden.
func readIVF(r io.Reader) (hidden []bool, err error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if _, err := br.Discard(32); err != nil {
		return nil, fmt.Errorf("read the IVF header: %w", io.ErrUnexpectedEOF)
	}
	for len(hidden) < maxPackets {
		var head [12]byte // size, pts
		if _, err := io.ReadFull(br, head[:]); errors.Is(err, io.EOF) {
			return hidden, nil
		} else if err != nil {
			return nil, fmt.Errorf("read a frame header: %w", err)
		}
		size := binary.LittleEndian.Uint32(head[:])
		first, err := br.Peek(min(1, int(size)))
		if err != nil {
			return nil, fmt.Errorf("read a frame: %w", io.ErrUnexpectedEOF)
		}
		hidden = append(hidden, len(first) == 1 && first[0]&0x10 == 0)
		if _, err := io.CopyN(io.Discard, br, int64(size)); err != nil {
			return nil, fmt.Errorf("read a frame: %w", io.ErrUnexpectedEOF)
		}
	}
	return nil, errTooLong()
}

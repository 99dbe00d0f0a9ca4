package media

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"streamgate/store"
)

const (
	// maxCopySide, maxCopyLevel and maxCopyRate are what browsers on modest
	// hardware decode (level 5.2, frames per second).
	maxCopySide  = 4096
	maxCopyLevel = 52
	maxCopyRate  = 61
	// saneRate is how many times the rate of a like rung a copy may have on
	// average; saneFloor is always allowed, bit/s.
	saneRate  = 2.5
	saneFloor = 4_000_000
)

// maybeCopied tells from the headers whether browsers can play a source's
// video as it is; why is what stands against it, "" if nothing does.
func maybeCopied(p *probed) (why string) {
	v := p.video
	switch {
	case v == nil:
		return "no video"
	case v.codec != "h264":
		return "codec " + v.codec
	case v.pixFmt != "yuv420p" && v.pixFmt != "yuvj420p":
		return "pixel format " + v.pixFmt
	case !slices.Contains([]string{"Constrained Baseline", "Baseline", "Main", "High"}, v.profile):
		return "profile " + v.profile
	case v.level > maxCopyLevel || v.level <= 0:
		return "level " + strconv.Itoa(v.level)
	case v.fieldOrder != "progressive":
		return "interlaced"
	case !v.square:
		return "pixels are not square"
	case v.turned:
		return "turned"
	case max(v.width, v.height) > maxCopySide || v.width%2+v.height%2 != 0:
		return "picture size"
	case v.rate > maxCopyRate:
		return "frame rate"
	}
	return ""
}

// keyScan is what was found out about the key frames of a stream.
type keyScan struct {
	idrs int // how many of them are IDR pictures
	// steady tells that the parameter sets never change and that no picture
	// comes with side data.
	steady bool
}

// scanKeys counts the IDR pictures among the key frames: flag K alone also
// means recovery points. Nothing is decoded, and other packets are not even
// read. (Times are of no use here: mov's are wrong when packets are skipped.)
func (t Tools) scanKeys(ctx context.Context, source string, v *stream) (keyScan, error) {
	index := strconv.Itoa(v.index)
	args := append(inputArgs(source), "-nostdin", "-copyts", "-discard:v", "nokey", "-i", inputName(source),
		"-map", "0:"+index, "-c", "copy", "-bsf:v", "h264_mp4toannexb,filter_units=pass_types=5", "-f", "framecrc", "pipe:3",
		"-map", "0:"+index, "-c", "copy", "-bsf:v", "filter_units=pass_types=7-8", "-f", "framecrc", "pipe:4")
	idrs, plain := 0, true
	pictures := func(_ string, side bool) { idrs++; plain = plain && !side }
	sets := map[string]bool{} // parameter sets inside the stream
	parameters := func(sum string, _ bool) {
		if len(sets) < 2 {
			sets[sum] = true
		}
	}
	err := run{tools: t, path: t.FFmpeg, args: args, pipes: []func(io.Reader) error{readCRC(pictures), readCRC(parameters)}}.do(ctx)
	return keyScan{idrs: idrs, steady: plain && len(sets) < 2}, err
}

// readCRC calls row for each packet of ffmpeg's framecrc output.
func readCRC(row func(sum string, side bool)) func(io.Reader) error {
	return func(r io.Reader) error {
		_, err := io.Copy(&lineWriter{line: func(line []byte) error {
			if sum, side, ok := parseCRC(string(line)); ok {
				row(sum, side)
			}
			return nil
		}}, r)
		return err
	}
}

// parseCRC reads a row: stream, dts, pts, duration, size, checksum and, if
// any, flags (F=) and side data (S=). sum is size and checksum.
func parseCRC(line string) (sum string, side, ok bool) {
	fields := strings.Split(line, ",")
	if len(fields) < 6 || strings.HasPrefix(line, "#") {
		return "", false, false
	}
	return fields[4] + fields[5], strings.Contains(line, " S="), true
}

// copyKeys finds the frames, in display order, at which a copied segment may
// begin; why is what stands against a copy.
func copyKeys(s shown, packets []packet, scan keyScan, p pace) (keys []int, why string) {
	switch {
	case !scan.steady:
		return nil, "parameter sets change"
	case !s.exact:
		return nil, "timestamps repeat"
	case len(packets) != len(s.PTS):
		return nil, "packets that are not shown"
	}
	last := int64(missing)
	for i, pk := range packets {
		// A key frame splits the stream only if all before it is shown before
		// it: then it has the same place in both orders.
		at, _ := slices.BinarySearch(s.PTS, pk.pts-s.first)
		if pk.key && (at != i || last >= pk.pts) {
			return nil, "open group of pictures"
		}
		if pk.key {
			keys = append(keys, i)
		}
		last = max(last, pk.pts)
	}
	if len(keys) != scan.idrs {
		return nil, fmt.Sprintf("%d key frames, %d IDR pictures", len(keys), scan.idrs)
	}
	for k, f := range keys {
		end := s.End
		if k+1 < len(keys) {
			end = s.PTS[keys[k+1]]
		}
		if end-s.PTS[f] > p.longest {
			return nil, "key frames too far apart"
		}
	}
	return keys, ""
}

// saneCopy tells whether a copy's average rate, bit/s, is fit to be streamed,
// measured by the profile's rungs.
func (p Profile) saneCopy(v *stream, average int) bool {
	limit := float64(saneFloor)
	side := min(v.width, v.height)
	if len(p.Rungs) > 0 {
		top := p.Rungs[0]
		limit = max(limit, saneRate*float64(top.shrink(side).rendition(v.width, v.height, v.rate, "").MaxRate))
	}
	return float64(average) <= limit
}

// copyAudio decides whether the sound can be copied beside copied video: AAC
// that browsers play, on a gapless grid of whole frames that begins with the
// picture and reaches its end. It returns the cells' borders; nil if not.
func copyAudio(p *probed, packets []packet, start float64, t *store.Timeline) []int64 {
	a := p.audio
	if a == nil || p.format != "mov" || a.codec != "aac" || a.profile != "LC" || a.channels < 1 || a.channels > 2 ||
		a.sampleRate < 32000 || a.sampleRate > 48000 || a.timebase != (rational{1, int64(a.sampleRate)}) {
		return nil
	}
	packets = packets[min(len(packets), max(0, slices.IndexFunc(packets, func(p packet) bool { return !p.discard }))):]
	half := float64(aacFrame) / 2 / float64(a.sampleRate)
	if len(packets) == 0 || start > half || start < -half {
		return nil
	}
	for i, pk := range packets {
		if pk.discard || pk.pts != packets[0].pts+int64(i)*aacFrame {
			return nil
		}
	}
	bounds := audioBounds(t, a.sampleRate)
	last := len(bounds) - 1
	have := int64(len(packets)) * aacFrame
	if have < bounds[last]-aacFrame || have <= bounds[last-1] {
		return nil
	}
	bounds[last] = min(bounds[last], have)
	return bounds
}

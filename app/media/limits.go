package media

import (
	"context"
	"fmt"
	"time"
)

// What a source may be, whatever it claims. Nothing that was made to be watched
// comes near any of it; what is beyond costs more to read than it is worth.
const (
	// maxSide is the largest side of a picture, pixels.
	maxSide = 8192
	// maxPixels is the largest picture: level 6.2 of H.264 (ITU-T H.264 Table
	// A-1), a little more than 8K.
	maxPixels = 139_264 * 16 * 16
	// maxSeconds is the longest source.
	maxSeconds = 24 * 60 * 60
	// maxRate is how many pictures a second may have, on average over a second
	// or more. Declared rates count for nothing.
	maxRate = 480
	// maxStreams is how many streams a file may have: a transponder's whole
	// multiplex, a film with every language.
	maxStreams = 256
	// maxTimescale keeps a frame's duration, in ticks, within a cell's 32 bits.
	maxTimescale = 20_000_000
	// maxClaim and claimSlack are how much data the packets of a stream may
	// have together: times the file's size, and bytes beside that. An index may
	// name the same bytes a million times; so declared bit rates count for
	// nothing, and these sums do.
	maxClaim   = 4
	claimSlack = 16 << 20
)

// What it may cost to plan a source, by its size. The measured cost is a
// hundredth of it.
const (
	workAlways = 2 * time.Minute        // of processor time, each run
	workPerMB  = 600 * time.Millisecond // of the file
	copyAlways = int64(24 << 30)        // bytes: a day of sound without loss
	copyTimes  = 2                      // times the file's size
)

// limits are the bounds of the runs that plan one source.
type limits struct {
	size int64         // of the source, bytes
	work time.Duration // of processor time, each run; 0 is without limit
	copy int64         // of a file that is written, bytes; 0 is confine's own
}

// reading returns tools whose runs may cost what the file's size explains.
func (t Tools) reading(ctx context.Context, source string) (Tools, error) {
	f, size, err := openSource(ctx, source)
	if err != nil {
		return t, fmt.Errorf("open the source: %w", err)
	}
	f.Close()
	t.limits = limits{size: size, work: workAlways + time.Duration(size>>20)*workPerMB, copy: copyAlways + copyTimes*size}
	return t, nil
}

func errTooLong() Refusal {
	return refuse(CodeTooLong, "The video is longer than %d hours.", maxSeconds/3600)
}

func errTooMuchWork(limit time.Duration) Refusal {
	return refuse(CodeTooComplex, "The file is too complex: reading it takes more than %.0f seconds of processor time, which its size does not explain.", limit.Seconds())
}

// checkClaim refuses packets whose sizes the file cannot have.
func (l limits) checkClaim(claimed int64) error {
	if l.size > 0 && claimed > maxClaim*l.size+claimSlack {
		return refuse(CodeDamaged, "The video is damaged: its index names more data than there is in the file.")
	}
	return nil
}

// checkSize refuses pictures that are too large or not there.
func (st *stream) checkSize() error {
	switch w, h := max(st.width, st.coded[0]), max(st.height, st.coded[1]); {
	case max(w, h, st.coded[0], st.coded[1]) > maxSide:
		return refuse(CodeTooLarge, "The picture is %d × %d pixels; the limit is %d on each side.", st.width, st.height, maxSide)
	case max(int64(st.width)*int64(st.height), int64(st.coded[0])*int64(st.coded[1])) > maxPixels:
		return refuse(CodeTooLarge, "The picture is %d × %d pixels; the limit is %d million pixels.", st.width, st.height, maxPixels/1_000_000)
	case st.width < 1 || st.height < 1:
		return refuse(CodeTruncated, "The video is damaged or incomplete: no picture could be found in it.")
	}
	return nil
}

// checkRate refuses more pictures than any camera takes; frames that last that
// many seconds together.
func checkRate(frames int, seconds float64) error {
	if rate := float64(frames) / max(1, seconds); rate > maxRate {
		return refuse(CodeTooComplex, "The video has %.0f pictures a second; the limit is %d.", rate, maxRate)
	}
	return nil
}

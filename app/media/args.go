package media

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"streamgate/store"
)

const (
	// aacFrame is the samples of an AAC-LC frame.
	aacFrame = 1024
	// audioRoll is how many frames are encoded ahead of and behind what is
	// kept, so that the encoder is settled where chunks meet. Measured: with
	// two, a join differs from the source as little as any other place.
	audioRoll = 2
	// audioClock is what ffmpeg's audio clock is ahead of the timeline,
	// frames, so that not even the priming of the first chunk is below 0.
	audioClock = 4
	// copyAhead is how far ahead of the first picture a copied run begins if
	// it copies sound too, microseconds: containers interleave loosely.
	copyAhead = 2_000_000
	// audioAhead is how far ahead of what is kept audio is decoded at least,
	// microseconds: a decoder and a resampler need some to be settled.
	audioAhead = 500_000
)

// command builds ffmpeg's arguments: options and input, then for every
// rendition a stream and its output, pipe 3 upwards.
type command struct {
	in   *EncodeInput
	args []string
}

func (c *command) add(args ...string) { c.args = append(c.args, args...) }

// open adds the source, read from a time of the source's own clock on.
// Timestamps are kept as they are (-copyts): what comes out can be compared
// with the plan tick by tick, and the trim filter cuts, not the seek.
func (c *command) open(seek string) {
	c.add("-nostdin", "-hide_banner", "-v", "error")
	if n := c.in.Threads; n > 0 {
		c.add("-filter_complex_threads", strconv.Itoa(n))
		c.threads()
	}
	if seek != "" {
		c.add("-noaccurate_seek", "-seek_timestamp", "1", "-ss", seek)
	}
	c.add("-copyts")
	c.add(inputOf(c.in.Source, c.in.Plan)...)
}

// threads bounds the threads of the decoder or encoder that comes next.
func (c *command) threads() {
	if n := c.in.Threads; n > 0 {
		c.add("-threads", strconv.Itoa(n))
	}
}

// output sends what was described since the last one to a pipe, as fragments
// that leave at once, with times as they are: no edit list, no shift.
func (c *command) output(pipe int, options ...string) {
	c.add("-map_metadata", "-1", "-map_chapters", "-1")
	c.add(options...)
	c.add("-avoid_negative_ts", "disabled", "-use_editlist", "0", "-flush_packets", "1",
		"-movflags", "+empty_moov+default_base_moof+frag_keyframe+frag_discont",
		"-f", "mp4", fmt.Sprintf("pipe:%d", 3+pipe))
}

// encodeVideo decodes once, scales from size to size and encodes each.
func (c *command) encodeVideo(rs []*store.Rendition) {
	p := c.in.Plan
	first, last := p.Timeline.Frames[c.in.From], p.Timeline.Frames[c.in.To]
	seek, trim := "", ""
	if first > 0 {
		seek = stamp(c.before(first))
		trim = "trim=start=" + seek + ","
	}
	if last < len(c.in.Frames.PTS) {
		trim += "trim=end=" + stamp(c.before(last)) + ","
	}
	c.open(seek)
	timescale := strconv.FormatUint(uint64(p.Timeline.Timescale), 10)
	c.add("-filter_complex", fmt.Sprintf("[0:%d]settb=1/%s,%s", p.Source.VideoStream, timescale, trim)+
		// Times that repeat are moved on as the index moved them.
		"setpts=if(isnan(PREV_OUTPTS)\\,PTS\\,max(PTS\\,PREV_OUTPTS+1)),"+scaleCascade(rs))

	var borders []string
	for s := c.in.From + 1; s < c.in.To; s++ {
		borders = append(borders, stamp(c.before(p.Timeline.Frames[s])))
	}
	for i, r := range rs {
		c.add("-map", fmt.Sprintf("[out%d]", i))
		c.h264(r)
		keys := borders
		if len(r.IFrames) > 0 {
			keys = c.pictures(r.IFrames, first, last)
		}
		if len(keys) > 0 {
			c.add("-force_key_frames", strings.Join(keys, ","))
		}
		c.threads()
		// Every frame as it comes, its time untouched.
		c.add("-fps_mode", "passthrough", "-enc_time_base", "1/"+timescale, "-frames:v", strconv.Itoa(last-first))
		c.output(i, "-video_track_timescale", timescale)
	}
}

// h264 encodes a stream as a rendition. Key frames are only where they are asked
// for, which is where segments begin and where the I-frame playlist has pictures;
// nothing refers across them.
func (c *command) h264(r *store.Rendition) {
	c.add("-c:v", "libx264", "-preset", cmp.Or(r.Preset, "veryfast"), "-crf", strconv.Itoa(r.CRF))
	if r.MaxRate > 0 {
		c.add("-maxrate", strconv.Itoa(r.MaxRate), "-bufsize", strconv.Itoa(cmp.Or(r.BufSize, 2*r.MaxRate)))
	}
	c.add("-g", "1000000", "-sc_threshold", "0", "-flags", "+cgop", "-forced-idr", "1", "-bf", "3")
}

// aac encodes a stream as a rendition.
func (c *command) aac(r *store.Rendition) {
	c.add("-c:a", "aac", "-b:a", strconv.Itoa(r.BitRate))
}

// pictures are the times of those key frames that are among frames first to
// last, without the first, which is one anyway.
func (c *command) pictures(times []int64, first, last int) (keys []string) {
	for _, at := range times {
		if f, _ := slices.BinarySearch(c.in.Frames.PTS, at); f > first && f < last {
			keys = append(keys, stamp(c.before(f)))
		}
	}
	return keys
}

// scaleCascade is the filters from the source's size to [out0], [out1] …: each
// size is scaled from the next larger one, which is cheaper than from the
// source. rs are in order of falling size.
func scaleCascade(rs []*store.Rendition) string {
	var b strings.Builder
	for i, r := range rs {
		fmt.Fprintf(&b, "scale=%d:%d,format=yuv420p,setsar=1", r.Width, r.Height)
		if i == len(rs)-1 {
			fmt.Fprintf(&b, "[out%d]", i)
			break
		}
		fmt.Fprintf(&b, ",split=2[out%d][size%d];[size%d]", i, i, i)
	}
	return b.String()
}

// before is the time between the frame ahead of a frame and that frame, on
// the source's clock, microseconds. Aimed at between frames, no rounding of
// ffmpeg's can miss.
func (c *command) before(frame int) int64 {
	pts := c.in.Frames.PTS
	return (c.sourceTime(pts[frame-1]) + c.sourceTime(pts[frame])) / 2
}

// sourceTime turns ticks of the timeline into the source's clock, microseconds.
func (c *command) sourceTime(ticks int64) int64 {
	p := c.in.Plan
	return rescale(p.Source.Start+ticks, p.Timeline.Timescale, 1_000_000)
}

// copyStreams copies the source's own samples. They begin at the key frame of
// the first segment or an earlier one; the splitter drops what is ahead.
func (c *command) copyStreams(rs []*store.Rendition) {
	p := c.in.Plan
	sound := slices.ContainsFunc(rs, func(r *store.Rendition) bool { return r.Kind == store.KindAudio })
	seek := ""
	if c.in.From > 0 {
		// Behind the key frame: a seek lands on the one before its aim.
		at := c.sourceTime(p.Timeline.Bounds[c.in.From])
		if len(p.Timeline.Frames) > 0 {
			first := p.Timeline.Frames[c.in.From]
			at = (at + c.sourceTime(c.in.Frames.end(first))) / 2
		}
		if sound {
			at -= copyAhead
		}
		seek = stamp(at)
	}
	c.open(seek)
	for i, r := range rs {
		if r.Kind == store.KindVideo {
			c.add("-map", fmt.Sprintf("0:%d", p.Source.VideoStream), "-c", "copy")
			c.output(i, "-video_track_timescale", strconv.FormatUint(uint64(p.Timeline.Timescale), 10))
			continue
		}
		c.add("-map", fmt.Sprintf("0:%d", p.Source.AudioStream), "-c", "copy")
		c.output(i, "-frag_duration", "500000")
	}
}

// encodeAudio resamples, fills gaps and both ends with silence, and encodes
// exactly the samples of the segments with a roll on either side.
func (c *command) encodeAudio(rs []*store.Rendition) {
	// Where an MP4 says a sample is, it is: decoding can begin nearby. Other
	// containers round their times: cutting exactly means counting from the
	// start, which costs about a second per hour of sound.
	from := int64(-1)
	if c.in.From > 0 && c.in.Plan.Source.Format == "mov" {
		from = c.audioAhead(rs)
	}
	if from < 0 {
		c.open("")
	} else {
		c.open(stamp((from - 1) * 1_000_000))
	}
	var chains []string
	for i, r := range rs {
		chains = append(chains, c.audioChain(r, from)+fmt.Sprintf("[out%d]", i))
	}
	c.add("-filter_complex", strings.Join(chains, ";"))
	for i, r := range rs {
		c.add("-map", fmt.Sprintf("[out%d]", i))
		c.aac(r)
		c.threads()
		c.output(i, "-frag_duration", "500000")
	}
}

// audioAhead is the whole second of the source's clock at which decoding
// begins; negative for the start. A whole second is a whole number of samples
// at every rate, so that the resampler is in the same phase in every chunk.
func (c *command) audioAhead(rs []*store.Rendition) int64 {
	need := int64(1) << 62
	for _, r := range rs {
		first := r.Bounds[c.in.From] - audioRoll*aacFrame
		need = min(need, c.sourceTime(0)+rescale(first, r.Timescale, 1_000_000))
	}
	second := (need - audioAhead) / 1_000_000
	if rescale(second*1_000_000-c.sourceTime(0), 1_000_000, c.in.Plan.Timeline.Timescale) <= 0 {
		return -1
	}
	return second
}

// audioChain is the filter chain from the source's sound to the samples that
// an encoder needs, which begin audioRoll frames ahead of the first segment.
// from is the second of the source's clock to begin at, or negative.
func (c *command) audioChain(r *store.Rendition, from int64) string {
	p := c.in.Plan
	start, end := r.Bounds[c.in.From]-audioRoll*aacFrame, r.Bounds[c.in.To]+audioRoll*aacFrame
	// first is the first sample to come out of the second aresample, on the
	// source's clock; then start and end count from there.
	zero := rescale(p.Source.Start, p.Timeline.Timescale, int64(r.Timescale))
	first, ahead := zero-audioRoll*aacFrame, ""
	if from >= 0 {
		first = from * int64(r.Timescale)
		ahead = fmt.Sprintf("atrim=start=%d,", from)
	}
	start, end = start+zero-first, end+zero-first
	layout := "stereo"
	if r.Channels == 1 {
		layout = "mono"
	}
	// first_pts counts samples of aresample's input: hence a second one.
	return fmt.Sprintf("[0:%d]%saresample=%d,aformat=sample_fmts=fltp:channel_layouts=%s,"+
		"aresample=async=1:first_pts=%d,apad,atrim=start_sample=%d:end_sample=%d,asetpts=N+%d",
		p.Source.AudioStream, ahead, r.Timescale, layout, first, start, end, r.Bounds[c.in.From]+(audioClock-audioRoll)*aacFrame)
}

// stamp writes microseconds the way ffmpeg reads them.
func stamp(us int64) string { return strconv.FormatInt(us, 10) + "us" }

// rescale turns ticks of one timescale into another's, rounded to the
// nearest. Times of this package are at most maxTicks; a result that does not
// fit is clamped.
func rescale[T, U int | int64 | uint32](ticks int64, from T, to U) int64 {
	if ticks < 0 {
		return -rescale(-ticks, from, to)
	}
	hi, lo := bits.Mul64(uint64(ticks), uint64(to))
	lo, carry := bits.Add64(lo, uint64(from)/2, 0)
	hi += carry
	if hi >= uint64(from) {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(from))
	return int64(min(q, 1<<63-1))
}

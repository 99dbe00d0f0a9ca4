package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"streamgate/store"
)

// PlanInput says what to plan.
type PlanInput struct {
	VideoID string
	Source  string // as in EncodeInput
	Dir     string // scratch directory for a normalised copy
	Profile Profile
}

// Planned is a plan and what belongs to it.
type Planned struct {
	Plan   store.Plan
	Frames Frames // empty without video
	// Normal is the path, in PlanInput.Dir, of the normalised copy that is to
	// be stored as store.NormalKey; "" if the source serves as it is.
	Normal string
	// Cells are the first cells of what is copied: they came with its headers.
	Cells []Cell
}

const (
	encodedSampleRate = 48000 // of encoded sound, Hz
	maxChannels       = 2     // of sound that viewers hear
)

// Plan decides everything about a source before anything is encoded: its
// timeline, renditions and inits. It reads the packet index and decodes next
// to nothing. A source that can never be played is a Refusal.
func (t Tools) Plan(ctx context.Context, in PlanInput) (Planned, error) {
	t, err := t.reading(ctx, in.Source)
	if err != nil {
		return Planned{}, err
	}
	out, err := t.decide(ctx, in)
	if err != nil {
		return Planned{}, err
	}
	if out.Cells, err = t.freeze(ctx, cmp.Or(out.Normal, in.Source), &out.Plan, out.Frames); err != nil {
		return Planned{}, fmt.Errorf("freeze the renditions: %w", refuseDecode(err))
	}
	return out, nil
}

// decide is Plan without the inits.
func (t Tools) decide(ctx context.Context, in PlanInput) (Planned, error) {
	x, normal, err := t.read(ctx, in)
	if err != nil {
		return Planned{}, err
	}
	out := Planned{Normal: normal, Frames: x.frames.Frames}
	if x.src.video == nil {
		out.Plan = x.planSound(in.Profile)
	} else {
		out.Plan = x.planVideo(in.Profile)
		out.Plan.Source.FrameIndex = store.FramesKey(in.VideoID)
	}
	out.Plan.Source.Warnings = x.src.warnings
	out.Plan.Source.Object = store.SourceKey(in.VideoID)
	if normal != "" {
		out.Plan.Source.Object = store.NormalKey(in.VideoID)
	}
	return out, nil
}

// read indexes the source, or its normalised copy where the source cannot be
// read exactly; then normal is the copy's path.
func (t Tools) read(ctx context.Context, in PlanInput) (x indexed, normal string, err error) {
	l := openListing(ctx, in.Source)
	defer l.close()
	src, early, err := t.look(ctx, in.Source, l)
	if err != nil {
		return indexed{}, "", err
	}
	if !src.needsNormal() {
		x, err = t.index(ctx, in.Source, src, in.Profile, l, early)
		if !errors.Is(err, errNoTimes) {
			return x, "", err
		}
	}
	warnings := src.warnings // the copy has only what is played
	if normal, err = t.normalise(ctx, in.Source, in.Dir, src); err != nil {
		return indexed{}, "", err
	}
	if src, err = t.probe(ctx, normal); err != nil {
		return indexed{}, "", err
	}
	src.warnings = warnings
	x, err = t.index(ctx, normal, src, in.Profile, nil, nil)
	if errors.Is(err, errNoTimes) {
		err = refuse(CodeDamaged, "The video is damaged: its pictures have no times.")
	}
	return x, normal, err
}

// look probes a source. Where its movie box has one stream of sound, the
// beginning of that is decoded at the same time: starting a tool takes longer
// than what it does here.
func (t Tools) look(ctx context.Context, source string, l *listing) (src probed, early *beginning, err error) {
	if !l.oneSound() {
		src, err = t.probe(ctx, source)
		return src, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make(chan *beginning, 1)
	go func() { found <- t.audioWithin(ctx, source, "a:0", soonPackets) }()
	if src, err = t.probe(ctx, source); err != nil || src.audio == nil || src.sounds != 1 {
		cancel()
		<-found
		return src, nil, err
	}
	return src, <-found, nil
}

// refuseDecode is refuseTool for a source that was read well and then could
// not be decoded.
func refuseDecode(err error) error {
	err = refuseTool(err)
	if r, ok := errors.AsType[Refusal](err); ok && r.Code == CodeNotAVideo {
		return refuse(CodeDamaged, "The video is damaged: it cannot be decoded.")
	}
	return err
}

// planVideo decides everything about a source with pictures.
func (x *indexed) planVideo(profile Profile) store.Plan {
	v := x.src.video
	pace := profile.pace(int64(x.timescale))
	p := store.Plan{Source: store.Source{
		Format: x.src.format, VideoStream: v.index, AudioStream: -1, Start: x.frames.first,
		Width: v.width, Height: v.height,
		FrameRate: float64(len(x.frames.PTS)) * float64(x.timescale) / float64(x.frames.End),
	}}
	source, copied := x.planCopy(profile, pace)
	if copied {
		p.Timeline = source.timeline
	} else {
		p.Timeline = timelineOf(x.frames, cutFrames(x.frames, pace), x.timescale)
	}
	delay := encodedDelay(x.frames, p.Timeline.Frames)
	if copied {
		delay = max(delay, copiedDelay(x.frames, x.packets))
		p.Renditions = append(p.Renditions, source.rendition)
	}
	p.Source.MaxRate = sourceLimit(v.codec, sourcePeak(x.packets, x.timescale, profile.SegmentSeconds))
	p.Renditions = append(p.Renditions, profile.encodes(&p, copied)...)
	for i := range p.Renditions {
		p.Renditions[i].Timescale, p.Renditions[i].Delay = x.timescale, delay
	}
	if small, ok := p.Rendition(IFrameSource(&p)); ok && !small.Copy {
		small.IFrames = keyTimes(x.frames, &p.Timeline, iframeSeconds*int64(x.timescale))
	}
	if x.src.audio != nil {
		p.Source.AudioStream = x.src.audio.index
		p.Source.AudioStart = x.audioStart - float64(x.frames.first)/float64(x.timescale)
		audio := x.planAudio(profile, &p, copied)
		// The picture's, for players that read no edit list.
		audio.Delay = rescale(delay, x.timescale, audio.Timescale)
		p.Renditions = append(p.Renditions, audio)
	}
	return p
}

// encodes are the video renditions that are encoded for a source and timeline,
// with copy beside a stream copy. Their timescale and delay are still to be set.
func (profile Profile) encodes(p *store.Plan, copied bool) (rs []store.Rendition) {
	width, height, fps := p.Source.Width, p.Source.Height, p.Source.FrameRate
	for _, rung := range profile.ladder(min(width, height), copied) {
		r := rung.within(p.Source.MaxRate).rendition(width, height, fps, profile.Preset)
		r.Bandwidth = encodedBandwidth(&p.Timeline, r.MaxRate, r.BufSize) + overhead(fps)
		r.AverageBandwidth = min(r.Bandwidth, r.MaxRate*6/10)
		rs = append(rs, r)
	}
	return rs
}

// iframeSeconds is how far pictures of the I-frame playlist are apart at most.
const iframeSeconds = 2

// copyName is the name of the first stream copy of a video.
const copyName = "source"

// copyPlan is a stream copy and the timeline that it dictates.
type copyPlan struct {
	rendition store.Rendition
	timeline  store.Timeline
}

// planCopy plans the source's own stream as the best rendition, if it may be.
func (x *indexed) planCopy(profile Profile, pace pace) (copyPlan, bool) {
	if !x.copied {
		return copyPlan{}, false
	}
	keys, why := copyKeys(x.frames, x.packets, x.keys, pace)
	if why != "" {
		return copyPlan{}, false
	}
	v := x.src.video
	c := copyPlan{timeline: timelineOf(x.frames, cutKeys(x.frames, keys, pace), x.timescale)}
	rate := copiedRate(&c.timeline, x.packets)
	if !profile.saneCopy(v, rate.Mean) {
		return copyPlan{}, false
	}
	extra := overhead(v.rate)
	c.rendition = store.Rendition{
		Name: copyName, Kind: store.KindVideo, Copy: true, Width: v.width, Height: v.height,
		Bandwidth: rate.Peak + extra, AverageBandwidth: rate.Mean + extra,
	}
	return c, true
}

// planAudio plans the sound: copied if the video is and the sound allows it,
// else AAC-LC at 48 kHz with at most two channels.
func (x *indexed) planAudio(profile Profile, p *store.Plan, copied bool) store.Rendition {
	a := x.src.audio
	r := sound(a.language, max(1, min(maxChannels, a.channels)))
	if copied {
		r.Bounds = copyAudio(&x.src, x.audio, p.Source.AudioStart, &p.Timeline)
	}
	if r.Copy = r.Bounds != nil; !r.Copy {
		return profile.encodedSound(r, &p.Timeline)
	}
	peak, average := soundBandwidth(x.audio, a.sampleRate)
	r.BitRate = average
	return soundAt(r, a.sampleRate, peak, average)
}

// sound is a rendition of sound of which the rates are still to be set.
func sound(language string, channels int) store.Rendition {
	r := store.Rendition{Name: "audio", Kind: store.KindAudio, Language: language, Channels: channels}
	if language != "" {
		r.Name += "-" + strings.ToLower(language)
	}
	return r
}

// encodedSound is r as AAC-LC at the profile's bit rate.
func (profile Profile) encodedSound(r store.Rendition, t *store.Timeline) store.Rendition {
	r.BitRate = profile.AudioBitRate
	if r.Channels == 1 {
		r.BitRate /= 2
	}
	r.Bounds = audioBounds(t, encodedSampleRate)
	return soundAt(r, encodedSampleRate, r.BitRate*12/10, r.BitRate)
}

// soundAt sets a rendition's sample rate, Hz, and its rates without what the
// cells add to them, bit/s.
func soundAt(r store.Rendition, sampleRate, peak, average int) store.Rendition {
	extra := overhead(float64(sampleRate) / aacFrame)
	r.SampleRate, r.Timescale = sampleRate, uint32(sampleRate)
	r.Bandwidth, r.AverageBandwidth = peak+extra, average+extra
	return r
}

// planSound decides everything about a source without pictures. Its timeline
// is its sound's.
func (x *indexed) planSound(profile Profile) store.Plan {
	end := 0.0
	for _, pk := range x.audio {
		if pk.pts != missing && !pk.discard {
			end = max(end, float64(pk.pts+pk.duration)/float64(x.timescale))
		}
	}
	seconds := min(max(0, end-x.audioStart), maxSeconds)
	p := store.Plan{
		Timeline: audioTimeline(seconds, encodedSampleRate, profile),
		Source: store.Source{
			Format: x.src.format, VideoStream: -1, AudioStream: x.src.audio.index,
			Start: int64(math.Round(x.audioStart * encodedSampleRate)),
		},
	}
	p.Renditions = []store.Rendition{x.planAudio(profile, &p, false)}
	return p
}

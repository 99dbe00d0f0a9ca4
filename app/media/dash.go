package media

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"

	"streamgate/store"
)

// mpdProfiles: plain live-profile players and CMAF ones (ISO/IEC 23009-1
// §8.4 and §8.12).
const mpdProfiles = mpd.PROFILE_LIVE + ",urn:mpeg:dash:profile:cmaf:2019"

// minBufferTime makes the declared rates true: bandwidth is (maxrate × target
// + bufsize) / target, so with a VBV of at most two seconds any stretch of
// the stream fits once this much has been received (ISO/IEC 23009-1
// §5.3.5.2).
const minBufferTime = 2 * time.Second

// MPD writes the static manifest (ISO/IEC 23009-1 §5.3) of the same cells
// that the playlists name. All times on the timelines are relative to the
// video's start, so no presentationTimeOffset is needed; the constant
// composition delay is taken back by the inits' edit lists, not here. Rates
// that are not measured are those of the plan; the storyboard is there if its
// rate is.
func MPD(p *store.Plan, rates Rates) ([]byte, error) {
	video, audio := byKind(p)
	if len(video)+len(audio) == 0 {
		return nil, fmt.Errorf("manifest: %w", ErrNoRendition)
	}
	period := mpd.NewPeriod()
	period.Id, period.Start = "0", duration(0)
	var longest, end time.Duration
	add := func(set *mpd.AdaptationSetType, r *store.Rendition) error {
		borders := bounds(p, r)
		template, most, err := segmentTemplate(borders, r.Timescale)
		if err != nil {
			return fmt.Errorf("manifest: %s: %w", r.Name, err)
		}
		id := uint32(len(period.AdaptationSets))
		set.Id, set.SegmentTemplate = &id, template
		period.AppendAdaptationSet(set)
		longest, end = max(longest, most), max(end, span(borders[len(borders)-1], r.Timescale))
		return nil
	}
	if len(video) > 0 {
		// One set and one template: all video shares the timeline.
		if err := add(videoSet(p, rates, video), video[0]); err != nil {
			return nil, err
		}
	}
	for _, r := range audio {
		if err := add(audioSet(rates, r), r); err != nil {
			return nil, err
		}
	}
	if rate, ok := rates[StoryboardName]; ok && len(video) > 0 {
		set := storyboardOf(p).adaptationSet(rate)
		id := uint32(len(period.AdaptationSets))
		set.Id = &id
		period.AppendAdaptationSet(set)
	}
	total := wholeMilliseconds(end)
	m := mpd.NewMPD(mpd.STATIC_TYPE)
	m.Profiles = mpdProfiles
	m.MediaPresentationDuration = duration(total)
	m.MaxSegmentDuration = duration(longest)
	m.MinBufferTime = duration(minBufferTime)
	m.AppendPeriod(period)
	return marshal(m, total, longest)
}

func videoSet(p *store.Plan, rates Rates, video []*store.Rendition) *mpd.AdaptationSetType {
	set := mpd.NewAdaptationSetWithParams("video", mpd.MIME_TYPE_VIDEO_MP4, true, 1)
	set.Roles = []*mpd.DescriptorType{mpd.NewRole("main")}
	for _, r := range video {
		rep := mpd.NewVideoRepresentation(r.Name, r.Codecs, "", fraction(frameRate(p)), int(clamp(rates.of(r).Peak)), r.Width, r.Height)
		rep.Sar = "1:1"
		set.AppendRepresentation(rep)
		set.MaxWidth = max(set.MaxWidth, rep.Width)
		set.MaxHeight = max(set.MaxHeight, rep.Height)
	}
	if w, h := p.Source.Width, p.Source.Height; w > 0 && h > 0 {
		d := gcd(w, h)
		set.Par = mpd.RatioType(fmt.Sprintf("%d:%d", w/d, h/d))
	}
	return set
}

func audioSet(rates Rates, r *store.Rendition) *mpd.AdaptationSetType {
	set := mpd.NewAdaptationSetWithParams("audio", mpd.MIME_TYPE_AUDIO_MP4, true, 1)
	set.Lang = languageTag(r.Language)
	set.Roles = []*mpd.DescriptorType{mpd.NewRole("main")}
	rep := mpd.NewAudioRepresentation(r.Name, r.Codecs, "", int(clamp(rates.of(r).Peak)), r.SampleRate)
	if config := channelConfiguration(r.Channels); config != 0 {
		rep.AudioChannelConfigurations = []*mpd.DescriptorType{
			mpd.NewDescriptor(mpd.AUDIO_CHANNEL_CONFIGURATION_MPEG_DASH, strconv.Itoa(config), ""),
		}
	}
	set.AppendRepresentation(rep)
	return set
}

// channelConfiguration is the ChannelConfiguration of ISO/IEC 23091-3 for the
// usual layout of n channels; 0 where none is usual.
func channelConfiguration(n int) int {
	switch {
	case n >= 1 && n <= 6:
		return n
	case n == 8:
		return 12
	}
	return 0
}

// segmentTemplate writes borders as a SegmentTimeline, equal neighbours run
// together, and returns the longest segment.
func segmentTemplate(bounds []int64, timescale uint32) (*mpd.SegmentTemplateType, time.Duration, error) {
	if len(bounds) < 2 || timescale == 0 {
		return nil, 0, errors.New("an empty timeline")
	}
	if bounds[0] < 0 {
		return nil, 0, errors.New("a timeline that begins before zero")
	}
	line := mpd.NewSegmentTimeline()
	first, longest := uint64(bounds[0]), int64(0)
	for i := range len(bounds) - 1 {
		d := bounds[i+1] - bounds[i]
		if d <= 0 {
			return nil, 0, fmt.Errorf("segment %d has no length", i)
		}
		longest = max(longest, d)
		if last := len(line.S) - 1; last >= 0 && line.S[last].D == uint64(d) {
			line.S[last].R++
			continue
		}
		line.S = append(line.S, &mpd.S{D: uint64(d)})
	}
	line.S[0].T = &first
	t := mpd.NewSegmentTemplate()
	t.Initialization = "$RepresentationID$/" + InitName
	t.Media = "$RepresentationID$/$Number$.m4s"
	t.StartNumber = new(uint32) // the default is 1
	t.SetTimescale(timescale)
	t.SegmentTimeline = line
	return t, span(longest, timescale), nil
}

// marshal writes the manifest, and mends what the library gets wrong: it
// writes a duration below one second as its nanoseconds with a stray zero
// byte among them, which the XML encoder turns into U+FFFD.
func marshal(m *mpd.MPD, durations ...time.Duration) ([]byte, error) {
	var buf bytes.Buffer
	if _, err := m.Write(&buf, "  ", true); err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	out := buf.Bytes()
	for _, d := range durations {
		if d > 0 && d < time.Second {
			wrong := strings.ReplaceAll(duration(d).String(), "\x00", "\uFFFD")
			right := "PT" + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "S"
			out = bytes.ReplaceAll(out, []byte(`"`+wrong+`"`), []byte(`"`+right+`"`))
		}
	}
	return append(out, '\n'), nil
}

// wholeMilliseconds rounds up. The presentation lasts as long as its longest
// track: audio ends on a frame of its own, some milliseconds after the last
// picture. Where a manifest ends before its media, dash.js, whose playhead
// passes that end before the browser says "ended", seeks back half a second
// and pauses there.
func wholeMilliseconds(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

func duration(d time.Duration) *mpd.Duration { return (*mpd.Duration)(&d) }

// span is the length of ticks to the nearest nanosecond.
func span(ticks int64, timescale uint32) time.Duration {
	return time.Duration(rescale(ticks, timescale, int64(time.Second)))
}

// fraction writes a frame rate as ISO/IEC 23009-1 wants it: whole, or one
// of the NTSC rates over 1001, or thousandths.
func fraction(fps float64) string {
	const tolerance = 5e-4
	if whole := math.Round(fps); whole > 0 && math.Abs(fps-whole) < tolerance {
		return strconv.Itoa(int(whole))
	}
	if whole := math.Round(fps * 1.001); whole > 0 && math.Abs(fps*1.001-whole) < tolerance {
		return fmt.Sprintf("%d/1001", int(whole)*1000)
	}
	milli := max(1, int(math.Round(fps*1000)))
	d := gcd(milli, 1000)
	if d == 1000 {
		return strconv.Itoa(milli / d)
	}
	return fmt.Sprintf("%d/%d", milli/d, 1000/d)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

package media

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/Eyevinn/hls-m3u8/m3u8"

	"streamgate/store"
)

// Names of the playlists and manifests: the first two relative to the video's
// base URL, the others below a rendition's name.
const (
	MasterName  = "master.m3u8"
	MPDName     = "manifest.mpd"
	IndexName   = "index.m3u8"
	InitName    = "init.mp4"
	IFramesName = "iframes.m3u8"
	// IFramePrefix begins the names of the one-picture cells of the I-frame
	// playlist; a cell's number follows, and the ending of all cells.
	IFramePrefix = "iframe-"
)

// ErrNoRendition says that the plan has no rendition of that name or kind.
var ErrNoRendition = errors.New("no such rendition")

// hlsVersion is the EXT-X-VERSION of every playlist. 7 is what fragmented MP4
// with EXT-X-MAP is commonly declared as (RFC 8216 §7 asks for 6).
const hlsVersion = 7

// audioGroup is the GROUP-ID of the audio renditions.
const audioGroup = "audio"

// IFrameSource names the rendition whose I-frame playlist is the master
// playlist's: the shown video rendition with the fewest pixels; "" without video.
func IFrameSource(p *store.Plan) string {
	if small, ok := smallest(p.Renditions); ok {
		return small.Name
	}
	return ""
}

// smallest is the video rendition with the fewest pixels.
func smallest(rs []store.Rendition) (small *store.Rendition, ok bool) {
	least := math.MaxInt
	for i := range rs {
		if r := &rs[i]; r.Kind == store.KindVideo && r.Width*r.Height < least {
			small, least = r, r.Width*r.Height
		}
	}
	return small, small != nil
}

// MasterPlaylist writes the multivariant playlist (RFC 8216 §4.3.4). Rates
// that are not measured are those of the plan.
func MasterPlaylist(p *store.Plan, rates Rates) ([]byte, error) {
	video, audio := byKind(p)
	m := m3u8.NewMasterPlaylist()
	m.SetIndependentSegments(true)
	switch {
	case len(video) > 0:
		appendVideo(m, p, rates, video, audio)
	case len(audio) > 0:
		appendAudioOnly(m, rates, audio)
	default:
		return nil, fmt.Errorf("write master playlist: %w", ErrNoRendition)
	}
	m.SetVersion(hlsVersion) // last: Append with alternatives would set its own
	return m.Encode().Bytes(), nil
}

func appendVideo(m *m3u8.MasterPlaylist, p *store.Plan, rates Rates, video, audio []*store.Rendition) {
	sound := loudest(rates, audio)
	group := alternatives(audio)
	for _, r := range video {
		params := variant(rates, r)
		params.FrameRate = frameRate(p)
		if len(audio) > 0 {
			params.Codecs += "," + audio[0].Codecs
			params.Bandwidth = sum(params.Bandwidth, sound.Bandwidth)
			params.AverageBandwidth = sum(params.AverageBandwidth, sound.AverageBandwidth)
			params.Audio, params.Alternatives = audioGroup, group
		}
		m.Append(r.Name+"/"+IndexName, nil, params)
	}
	small, _ := p.Rendition(IFrameSource(p))
	// The largest picture is unknown until it is made; none exceeds what its
	// rendition takes until the next one.
	rate, measured := rates[IFramesName]
	if !measured {
		rate = Rate{Peak: small.Bandwidth}
	}
	params := m3u8.VariantParams{
		Iframe:           true,
		Bandwidth:        clamp(rate.Peak),
		AverageBandwidth: clamp(rate.Mean),
		Codecs:           small.Codecs,
		Resolution:       resolution(small),
	}
	m.Append(small.Name+"/"+IFramesName, nil, params)
}

// appendAudioOnly makes the first rendition the variant. A group is declared
// only when there is a choice: with one rendition, ffmpeg would read the same
// playlist twice.
func appendAudioOnly(m *m3u8.MasterPlaylist, rates Rates, audio []*store.Rendition) {
	params := loudest(rates, audio)
	params.Codecs = audio[0].Codecs
	if len(audio) > 1 {
		params.Audio, params.Alternatives = audioGroup, alternatives(audio)
	}
	m.Append(audio[0].Name+"/"+IndexName, nil, params)
}

func variant(rates Rates, r *store.Rendition) m3u8.VariantParams {
	rate := rates.of(r)
	return m3u8.VariantParams{
		Bandwidth:        clamp(rate.Peak),
		AverageBandwidth: clamp(rate.Mean),
		Codecs:           r.Codecs,
		Resolution:       resolution(r),
	}
}

// loudest returns the rates of the audio that costs most: a variant declares
// the worst combination (RFC 8216 §4.3.4.2).
func loudest(rates Rates, audio []*store.Rendition) m3u8.VariantParams {
	var worst m3u8.VariantParams
	for _, r := range audio {
		v := variant(rates, r)
		worst.Bandwidth = max(worst.Bandwidth, v.Bandwidth)
		worst.AverageBandwidth = max(worst.AverageBandwidth, v.AverageBandwidth)
	}
	return worst
}

func alternatives(audio []*store.Rendition) []*m3u8.Alternative {
	alts := make([]*m3u8.Alternative, len(audio))
	for i, r := range audio {
		alts[i] = &m3u8.Alternative{
			Type: "AUDIO", GroupId: audioGroup, Name: soundName(r.Language), Language: languageTag(r.Language),
			Default: i == 0, Autoselect: true, URI: r.Name + "/" + IndexName,
		}
		if r.Channels > 0 {
			alts[i].Channels = &m3u8.Channels{Amount: r.Channels}
		}
	}
	return alts
}

// MediaPlaylist writes the playlist of one rendition: every segment of the
// video, whether its cell exists yet or not (RFC 8216 §4.3.3). ErrNoRendition.
func MediaPlaylist(p *store.Plan, rendition string) ([]byte, error) { //nolint:revive // the standard's name for it
	r, ok := p.Rendition(rendition)
	if !ok {
		return nil, fmt.Errorf("write media playlist of %q: %w", rendition, ErrNoRendition)
	}
	list, err := segments(bounds(p, r), r.Timescale, "")
	if err != nil {
		return nil, fmt.Errorf("write media playlist of %q: %w", rendition, err)
	}
	list.SetTargetDuration(uint(longestTarget(p)))
	return list.Encode().Bytes(), nil
}

// IFramePlaylist writes a video rendition's playlist of one-picture cells for
// scrubbing (RFC 8216 §4.3.3.6), each shown until the next one is.
// ErrNoRendition if there is none of that name, or if it is sound.
func IFramePlaylist(p *store.Plan, rendition string) ([]byte, error) {
	r, ok := p.Rendition(rendition)
	if !ok || r.Kind != store.KindVideo {
		return nil, fmt.Errorf("write I-frame playlist of %q: %w", rendition, ErrNoRendition)
	}
	list, err := segments(iframeBounds(p, r), p.Timeline.Timescale, IFramePrefix)
	if err != nil {
		return nil, fmt.Errorf("write I-frame playlist of %q: %w", rendition, err)
	}
	list.SetIframeOnly()
	return list.Encode().Bytes(), nil
}

// microsecond is the precision of EXTINF.
const microsecond = 1e-6

// segments makes the playlist of all segments, whose names are the prefix and a
// number. Each duration is the
// difference of two borders rounded to the microsecond, so that the sum of
// the durations never drifts from the true time.
func segments(bounds []int64, timescale uint32, prefix string) (*m3u8.MediaPlaylist, error) {
	n := len(bounds) - 1
	if n < 1 || timescale == 0 {
		return nil, errors.New("an empty timeline")
	}
	list, err := m3u8.NewMediaPlaylist(0, uint(n))
	if err != nil {
		return nil, err
	}
	list.SetVersion(hlsVersion) // before Append: it rules how the target duration is rounded
	list.SetWritePrecision(6)
	list.MediaType = m3u8.VOD
	list.SetIndependentSegments(true)
	list.SetDefaultMap(InitName, 0, 0)
	micros := func(i int) int64 { return rescale(bounds[i]-bounds[0], timescale, 1_000_000) }
	for i := range n {
		seconds := float64(micros(i+1)-micros(i)) * microsecond
		if err := list.Append(prefix+strconv.Itoa(i)+".m4s", seconds, ""); err != nil {
			return nil, err
		}
	}
	if list.TargetDuration == 0 { // all shorter than half a second; players divide by it
		list.SetTargetDuration(1)
	}
	list.Close()
	return list, nil
}

// bounds are the borders of a rendition's cells, in ticks of its timescale.
func bounds(p *store.Plan, r *store.Rendition) []int64 {
	if len(r.Bounds) > 0 {
		return r.Bounds
	}
	return p.Timeline.Bounds
}

// longestTarget is the target duration of all playlists, seconds: it must be
// the same in all of a multivariant playlist (RFC 8216 §6.2.4).
func longestTarget(p *store.Plan) float64 {
	longest := 1.0
	for i := range p.Renditions {
		r := &p.Renditions[i]
		longest = max(longest, targetDuration(bounds(p, r), r.Timescale))
	}
	return longest
}

func byKind(p *store.Plan) (video, audio []*store.Rendition) {
	for i := range p.Renditions {
		switch r := &p.Renditions[i]; r.Kind {
		case store.KindVideo:
			video = append(video, r)
		case store.KindAudio:
			audio = append(audio, r)
		}
	}
	return video, audio
}

func resolution(r *store.Rendition) string {
	if r.Width == 0 || r.Height == 0 {
		return ""
	}
	return strconv.Itoa(r.Width) + "x" + strconv.Itoa(r.Height)
}

// frameRate is the average, frames per second: from the timeline if it knows
// the frames, else what the source says.
func frameRate(p *store.Plan) float64 {
	f, t := p.Timeline.Frames, p.Timeline.Ticks()
	if len(f) == 0 || t <= 0 {
		return p.Source.FrameRate
	}
	return float64(f[len(f)-1]) * float64(p.Timeline.Timescale) / float64(t)
}

// languageTag returns tag if it may stand in a playlist or manifest as it is,
// else "": it comes from the source file, and a quote in it would end the
// attribute.
func languageTag(tag string) string {
	for _, c := range []byte(tag) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && c != '-' && (c < '0' || c > '9') {
			return ""
		}
	}
	return tag
}

// clamp fits a rate into what the playlist libraries hold.
func clamp(bitrate int) uint32 { return uint32(max(0, min(bitrate, math.MaxUint32))) }

func sum(a, b uint32) uint32 { return clamp(int(a) + int(b)) }

package store

import "slices"

// Plan is all that is decided about a video before anything is encoded. The
// source and the timeline never change, and neither does a rendition:
// playlists, manifests and workers rely on it. Which renditions are shown may
// change, see Edition.
type Plan struct {
	Source     Source      `json:"source"`
	Timeline   Timeline    `json:"timeline"`
	Renditions []Rendition `json:"renditions"` // that are shown, in playlist order: video by falling rate, then audio
	// Profile is what Renditions were planned with; "" in a plan of before
	// there were editions.
	Profile string `json:"profile,omitempty"`

	// Revision grows by one with every UpdatePlan.
	Revision int `json:"revision,omitempty"`
	// Next is being made, and shown once it is whole.
	Next *Edition `json:"next,omitempty"`
	// Retired are not shown any more; players may still have their addresses.
	Retired []Retired `json:"retired,omitempty"`
	// Names were those of renditions that are removed: never given again.
	Names []string `json:"names,omitempty"`
}

// Source is what ffmpeg needs to read the source again exactly.
type Source struct {
	// Object is the key of the file to encode from: the upload, or its
	// normalised copy.
	Object string `json:"object"`
	// Format is the ffmpeg demuxer name of that file.
	Format string `json:"format"`
	// VideoStream and AudioStream are ffmpeg stream indices; -1 for none.
	VideoStream int `json:"video_stream"`
	AudioStream int `json:"audio_stream"`
	// Start is the pts of the first frame (of the first audio sample when
	// there is no video), in ticks of Timeline.Timescale; frame times on the
	// timeline are relative to it.
	Start int64 `json:"start"`
	// AudioStart is the time of the first audio sample relative to Start,
	// seconds; may be negative.
	AudioStart float64 `json:"audio_start"`
	// FrameIndex is the key of the object with every frame's time; "" without video.
	FrameIndex string `json:"frame_index,omitempty"`
	// Width and Height are pixels as displayed, after rotation.
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
	// FrameRate is the average, frames per second.
	FrameRate float64 `json:"frame_rate,omitempty"`
	// MaxRate is above what an encode cannot show more than is there, bit/s; 0
	// if that is not known.
	MaxRate int `json:"max_rate,omitempty"`
	// Warnings tell what of the upload is not in the video.
	Warnings []Warning `json:"warnings,omitempty"`
}

// Timeline is the video's segments: computed once from the source's packet
// index, shared by all renditions. Segment i is [Bounds[i], Bounds[i+1]).
type Timeline struct {
	// Timescale is ticks per second of Bounds (the source's time base).
	Timescale uint32 `json:"timescale"`
	// Bounds has one entry more than there are segments; the first is 0.
	Bounds []int64 `json:"bounds"`
	// Frames[i] is the index of segment i's first frame in display order; the
	// last entry is the number of frames. Empty without video.
	Frames []int `json:"frames,omitempty"`
}

// Segments is the number of segments.
func (t *Timeline) Segments() int { return max(0, len(t.Bounds)-1) }

// Ticks is the length of the whole timeline in ticks.
func (t *Timeline) Ticks() int64 {
	if len(t.Bounds) == 0 {
		return 0
	}
	return t.Bounds[len(t.Bounds)-1]
}

// Seconds converts ticks of the timeline.
func (t *Timeline) Seconds(ticks int64) float64 { return float64(ticks) / float64(t.Timescale) }

// At returns the segment that plays at a tick, clamped to the timeline.
func (t *Timeline) At(tick int64) int {
	i, found := slices.BinarySearch(t.Bounds, tick)
	if !found {
		i--
	}
	return max(0, min(i, t.Segments()-1))
}

// RenditionKind tells pictures from sound.
type RenditionKind string

// The kinds of rendition.
const (
	KindVideo RenditionKind = "video"
	KindAudio RenditionKind = "audio"
)

// Rendition is one row of the ladder, frozen in the plan.
type Rendition struct {
	Name string        `json:"name"` // 1080p, audio-en, source
	Kind RenditionKind `json:"kind"`
	Copy bool          `json:"copy,omitempty"` // a stream copy: no encode

	Codecs string `json:"codecs"` // RFC 6381
	Init   []byte `json:"init"`   // the CMAF header (ftyp, moov)
	// Encoder is who wrote Init, as Job.Encoder: nobody else can make cells that fit
	// it. "" for a copy, and where that was not noted.
	Encoder string `json:"encoder,omitempty"`

	// Timescale is ticks per second of the cells' times: the timeline's for
	// video, the sample rate for audio.
	Timescale uint32 `json:"timescale"`
	// Bounds are the cells' borders in Timescale ticks, one more than there
	// are segments. Empty for video, whose borders are the timeline's.
	Bounds []int64 `json:"bounds,omitempty"`
	// Delay is D, the composition offset that keeps offsets ≥ 0, in Timescale
	// ticks; the init's edit list takes it back. Sound has the picture's, so that
	// both are late by the same where no edit list is read; plans of before have 0.
	Delay int64 `json:"delay,omitempty"`

	Bandwidth        int `json:"bandwidth"`         // declared peak, bit/s
	AverageBandwidth int `json:"average_bandwidth"` // estimate, bit/s

	// Video.
	// IFrames are the times of the key frames that the I-frame playlist names,
	// in ticks of the timeline. Empty where there is one a cell.
	IFrames []int64 `json:"i_frames,omitempty"`
	Width   int     `json:"width,omitempty"`
	Height  int     `json:"height,omitempty"`
	CRF     int     `json:"crf,omitempty"`
	MaxRate int     `json:"max_rate,omitempty"` // bit/s
	BufSize int     `json:"buf_size,omitempty"` // bit
	Preset  string  `json:"preset,omitempty"`

	// Audio.
	SampleRate int    `json:"sample_rate,omitempty"`
	Channels   int    `json:"channels,omitempty"`
	BitRate    int    `json:"bit_rate,omitempty"`
	Language   string `json:"language,omitempty"` // BCP 47, or ""
}

// Cell names one segment of one rendition, and its size in bytes.
type Cell struct {
	Rendition string
	Segment   int
	Bytes     int64
}

// Cells tells which cells of a video exist, by rendition name.
type Cells map[string]CellSet

// CellSet is the cells of one rendition that exist.
type CellSet struct {
	Bits  []byte `json:"bits"`  // bit i of byte i/8 is segment i
	Count int    `json:"count"` // number of bits set
	Bytes int64  `json:"bytes"` // sum of the cells' sizes
}

// Has tells whether the cell of a segment exists.
func (c Cells) Has(rendition string, segment int) bool {
	bits := c[rendition].Bits
	return segment >= 0 && segment/8 < len(bits) && bits[segment/8]>>(segment%8)&1 == 1
}

// Mark returns s with the cell added, and whether it was new.
func (s CellSet) Mark(segment int, bytes int64) (CellSet, bool) {
	if segment/8 >= len(s.Bits) {
		s.Bits = append(s.Bits, make([]byte, segment/8+1-len(s.Bits))...)
	}
	if s.Bits[segment/8]>>(segment%8)&1 == 1 {
		return s, false
	}
	s.Bits[segment/8] |= 1 << (segment % 8)
	s.Count++
	s.Bytes += bytes
	return s, true
}

// Playable tells whether a segment can be shown and heard: each kind of
// rendition that the plan has exists there in at least one row.
func (c Cells) Playable(p *Plan, segment int) bool {
	there := map[RenditionKind]bool{}
	for _, r := range p.Renditions {
		there[r.Kind] = there[r.Kind] || c.Has(r.Name, segment)
	}
	for _, ok := range there {
		if !ok {
			return false
		}
	}
	return true
}

// Complete tells whether every cell of what the plan shows exists.
func (c Cells) Complete(p *Plan) bool { return c.Missing(p) == 0 }

// Missing counts the cells of what the plan shows that do not exist yet.
func (c Cells) Missing(p *Plan) int { return c.MissingOf(p, p.Renditions) }

// MissingOf counts the cells of renditions of the plan that do not exist yet.
func (c Cells) MissingOf(p *Plan, renditions []Rendition) int {
	missing := len(renditions) * p.Timeline.Segments()
	for _, r := range renditions {
		missing -= c[r.Name].Count
	}
	return missing
}

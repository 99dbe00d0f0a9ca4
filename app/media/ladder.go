package media

import (
	"fmt"
	"math"

	"streamgate/store"
)

// Profile says what to make of a source. Its zero value makes nothing; start
// from DefaultProfile.
type Profile struct {
	// Rungs are the video renditions, best first. Those larger than the
	// source are left out.
	Rungs []Rung `yaml:"rungs"`
	// Preset is x264's speed, "ultrafast" to "veryslow". Default veryfast.
	Preset string `yaml:"preset"`
	// SegmentSeconds is the length of a segment, seconds. Default 4.
	SegmentSeconds float64 `yaml:"segment_seconds"`
	// FirstSegmentSeconds is the length of the first two segments, seconds:
	// shorter, so that the first picture comes sooner. Default 2.
	FirstSegmentSeconds float64 `yaml:"first_segment_seconds"`
	// Copy offers the source's own stream as the best rendition, without an
	// encode, where browsers can play it. Default true.
	Copy bool `yaml:"copy"`
	// CopyGroupSeconds is how far apart the key frames of a source may be for it
	// to be copied, seconds, 1 to 12: its segments can begin only there, in every
	// rendition. Default 5.
	CopyGroupSeconds float64 `yaml:"copy_group_seconds"`
	// AudioBitRate is that of stereo AAC, bit/s; mono gets half. Default 128000.
	AudioBitRate int `yaml:"audio_bit_rate"`
}

// Rung is one video rendition of a profile.
type Rung struct {
	// Name is how the rendition is called, in paths too: 1080p.
	Name string `yaml:"name"`
	// Height is the shorter side of the picture, pixels: a film held upright
	// keeps the sharpness of one held flat.
	Height int `yaml:"height"`
	// CRF is x264's constant rate factor, 0 (best) to 51.
	CRF int `yaml:"crf"`
	// MaxRate caps the rate, bit/s at up to 30 frames per second.
	MaxRate int `yaml:"max_rate"`
	// BufSize is the decoder buffer the cap is measured with, bit.
	BufSize int `yaml:"buf_size"`
}

// DefaultProfile is 1080p, 720p, 480p and 360p H.264 with stereo AAC.
func DefaultProfile() Profile {
	return Profile{
		Rungs: []Rung{
			{Name: "1080p", Height: 1080, CRF: 23, MaxRate: 5_500_000, BufSize: 8_250_000},
			{Name: "720p", Height: 720, CRF: 23, MaxRate: 3_000_000, BufSize: 4_500_000},
			{Name: "480p", Height: 480, CRF: 23, MaxRate: 1_500_000, BufSize: 2_250_000},
			{Name: "360p", Height: 360, CRF: 23, MaxRate: 900_000, BufSize: 1_350_000},
		},
		Preset:              "veryfast",
		SegmentSeconds:      4,
		FirstSegmentSeconds: 2,
		Copy:                true,
		CopyGroupSeconds:    5,
		AudioBitRate:        128_000,
	}
}

const (
	// besideCopy is how much smaller than a copied source an encoded
	// rendition must be to be worth making.
	besideCopy = 0.8
	// ownRung is how much larger than the best rung a source must be to get
	// one of its own size.
	ownRung = 1.15
	// minSide is the smallest side of an encoded picture, pixels.
	minSide = 16
)

// ladder chooses the rungs for a picture whose shorter side is side: none
// above the source; one of the source's own size where the profile has no
// rung near it; with copy, only those clearly smaller.
func (p Profile) ladder(side int, copied bool) []Rung {
	limit := float64(side)
	if copied {
		limit *= besideCopy
	}
	var fits []Rung
	var above *Rung // the smallest that does not fit
	for i, r := range p.Rungs {
		if float64(r.Height) <= limit {
			fits = append(fits, r)
		} else if above == nil || r.Height < above.Height {
			above = &p.Rungs[i]
		}
	}
	if copied || above == nil {
		return fits
	}
	if len(fits) == 0 || limit >= ownRung*float64(fits[0].Height) {
		return append([]Rung{above.shrink(side)}, fits...)
	}
	return fits
}

// shrink is the rung at a smaller size, at the same rate per pixel.
func (r Rung) shrink(side int) Rung {
	area := math.Pow(float64(side)/float64(r.Height), 2)
	r.Name, r.Height = fmt.Sprintf("%dp", side), side
	r.MaxRate = max(minRate, int(float64(r.MaxRate)*area))
	r.BufSize = max(minBuffer, int(float64(r.BufSize)*area))
	return r
}

// minRate is the lowest cap of a rate, bit/s, and minBuffer of its buffer, bit.
const minRate, minBuffer = 64_000, 96_000

// within is the rung with a rate of at most limit, bit/s; 0 is no limit.
func (r Rung) within(limit int) Rung {
	if limit > 0 && max(limit, minRate) < r.MaxRate {
		limit = max(limit, minRate)
		r.BufSize = max(minBuffer, int(float64(r.BufSize)*float64(limit)/float64(r.MaxRate)))
		r.MaxRate = limit
	}
	return r
}

// rendition is the rung for a source of that displayed size and frame rate.
// Bandwidth is still to be set: it depends on the timeline.
func (r Rung) rendition(width, height int, fps float64, preset string) store.Rendition {
	zoom := min(1, float64(r.Height)/float64(min(width, height)))
	faster := 1 + max(0, min(fps, 60)-30)/60
	return store.Rendition{
		Name: r.Name, Kind: store.KindVideo, Preset: preset, CRF: r.CRF,
		Width: evenSide(width, zoom), Height: evenSide(height, zoom),
		MaxRate: int(float64(r.MaxRate) * faster), BufSize: int(float64(r.BufSize) * faster),
	}
}

// evenSide is a side of the scaled picture: even, as 4:2:0 needs, and not
// above the source's.
func evenSide(side int, zoom float64) int {
	return max(minSide, min(2*int(math.Round(float64(side)*zoom/2)), side&^1))
}

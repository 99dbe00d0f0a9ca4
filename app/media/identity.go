package media

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"streamgate/store"
)

// Identify tells encoders apart by what matters of them: cells can only be shown
// with the header that their plan has, so encoders that write the same headers are
// the same, whatever their versions. It encodes a picture and some silence with
// settings that between them use what headers depend on, and returns a few hex
// digits. What it does not tell apart, Encode does: see ErrForeign.
func (t Tools) Identify(ctx context.Context) (string, error) {
	rs := []*store.Rendition{
		{Name: "fast", Kind: store.KindVideo, Timescale: 25, Width: 640, Height: 360, CRF: 23, MaxRate: 900_000, BufSize: 1_350_000},
		{Name: "plain", Kind: store.KindVideo, Timescale: 25, Width: 640, Height: 360, CRF: 30, Preset: "ultrafast"},
		{Name: "small", Kind: store.KindVideo, Timescale: 25, Width: 640, Height: 360, CRF: 23, Preset: "slow"},
		{Name: "sound", Kind: store.KindAudio, Timescale: encodedSampleRate, BitRate: 128_000},
	}
	var c command
	c.in = &EncodeInput{}
	c.add("-nostdin", "-hide_banner", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25",
		"-f", "lavfi", "-i", fmt.Sprintf("anullsrc=sample_rate=%d:channel_layout=stereo", encodedSampleRate))
	for i, r := range rs {
		if r.Kind == store.KindAudio {
			c.add("-map", "1:a", "-frames:a", "4")
			c.aac(r)
			c.output(i, "-frag_duration", "500000")
			continue
		}
		c.add("-map", "0:v", "-pix_fmt", "yuv420p", "-frames:v", "1")
		c.h264(r)
		c.output(i, "-video_track_timescale", "25")
	}

	if err := t.headers(ctx, &c, rs); err != nil {
		return "", fmt.Errorf("identify the encoder: %w", err)
	}
	var all []byte
	for _, r := range rs {
		all = append(all, r.Init...)
	}
	return fmt.Sprintf("%x", sha256.Sum256(all))[:identityDigits], nil
}

const identityDigits = 12

// Remade are renditions of a plan as this encoder would make them: with its inits.
// The names are kept; only encoded ones can be remade.
func (t Tools) Remade(ctx context.Context, in EditionInput, names []string) ([]store.Rendition, error) {
	fresh := store.Plan{Source: in.Plan.Source, Timeline: in.Plan.Timeline}
	for _, r := range in.Plan.Existing() {
		if slices.Contains(names, r.Name) && !r.Copy {
			fresh.Renditions = append(fresh.Renditions, r)
		}
	}
	t, err := t.reading(ctx, in.Source)
	if err != nil {
		return nil, err
	}
	if _, err := t.freeze(ctx, in.Source, &fresh, in.Frames); err != nil {
		return nil, fmt.Errorf("freeze the renditions: %w", refuseDecode(err))
	}
	return fresh.Renditions, nil
}

package media

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"

	"streamgate/store"
)

// errInit is the error of a movie header that is not what was asked for.
var errInit = errors.New("unusable movie header")

// header makes a rendition's CMAF header and its RFC 6381 codecs of the moov
// that ffmpeg wrote. Only the sample entry is taken over, without what differs
// from run to run, so that every run of the same settings has the same header.
func header(moov []byte, r *store.Rendition) (init []byte, codecs string, err error) {
	entry, codecs, err := sampleEntry(moov)
	if err != nil {
		return nil, "", err
	}
	language := r.Language
	if language == "" {
		language = "und"
	}
	s := mp4.NewMP4Init()
	s.AddChild(mp4.NewFtyp("iso6", 0, []string{"iso6", "cmfc", "mp41"}))
	m := mp4.NewMoovBox()
	s.AddChild(m)
	mvhd := mp4.CreateMvhd()
	mvhd.Timescale, mvhd.NextTrackID = r.Timescale, trackID+1
	m.AddChild(mvhd)
	trak := mp4.CreateEmptyTrak(trackID, r.Timescale, string(r.Kind), language)
	trak.Tkhd.Width, trak.Tkhd.Height = mp4.Fixed32(r.Width<<16), mp4.Fixed32(r.Height<<16)
	trak.Mdia.Minf.Stbl.Stsd.AddChild(entry)
	if r.Delay > 0 {
		addEdit(trak, r.Delay)
	}
	m.AddChild(trak)
	mvex := mp4.NewMvexBox()
	mvex.AddChild(mp4.CreateTrex(trackID))
	m.AddChild(mvex)

	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		return nil, "", fmt.Errorf("write a movie header: %w", err)
	}
	return b.Bytes(), codecs, nil
}

// addEdit has players begin at a media time: the picture decoded first is
// presented at 0. Duration 0 is the whole of a fragmented movie (ISO/IEC
// 14496-12 §8.6.6).
func addEdit(trak *mp4.TrakBox, mediaTime int64) {
	elst := &mp4.ElstBox{Entries: []mp4.ElstEntry{{MediaTime: mediaTime, MediaRateInteger: 1}}}
	if mediaTime > 1<<31-1 {
		elst.Version = 1
	}
	edts := &mp4.EdtsBox{}
	edts.AddChild(elst)
	trak.AddChild(edts)
	// An edit list lies ahead of the media.
	n := len(trak.Children)
	trak.Children[n-1], trak.Children[n-2] = trak.Children[n-2], trak.Children[n-1]
}

// sampleEntry returns the only sample entry of a moov, without the bit rates
// and names of the encoder, and its codecs string.
func sampleEntry(moov []byte) (mp4.Box, string, error) {
	freeProfiles(moov)
	box, err := mp4.DecodeBoxSR(0, bits.NewFixedSliceReader(moov))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errInit, err)
	}
	m, ok := box.(*mp4.MoovBox)
	if !ok || m.Trak == nil || m.Trak.Mdia == nil || m.Trak.Mdia.Minf == nil ||
		m.Trak.Mdia.Minf.Stbl == nil || m.Trak.Mdia.Minf.Stbl.Stsd == nil {
		return nil, "", fmt.Errorf("%w: no track", errInit)
	}
	switch stsd := m.Trak.Mdia.Minf.Stbl.Stsd; {
	case stsd.AvcX != nil && stsd.AvcX.AvcC != nil:
		e, c := stsd.AvcX, stsd.AvcX.AvcC
		e.CompressorName = ""
		e.Btrt, e.Children = nil, lasting(e.Children)
		return e, fmt.Sprintf("avc1.%02x%02x%02x", c.AVCProfileIndication, c.ProfileCompatibility, c.AVCLevelIndication), nil
	case stsd.Mp4a != nil && stsd.Mp4a.Esds != nil:
		e := stsd.Mp4a
		e.Btrt, e.Children = nil, lasting(e.Children)
		object, err := audioObject(e.Esds)
		return e, fmt.Sprintf("mp4a.40.%d", object), err
	}
	return nil, "", fmt.Errorf("%w: neither H.264 nor AAC", errInit)
}

// lasting are the children of a sample entry without its bit rate and what is
// free.
func lasting(children []mp4.Box) []mp4.Box {
	return slices.DeleteFunc(children, func(c mp4.Box) bool { return c.Type() == "btrt" || c.Type() == "free" })
}

// freeProfiles turns ICC profiles of pictures into free space: no player uses
// them, and the library takes all that follows one for a part of it. Code
// points (nclx) stay.
func freeProfiles(moov []byte) {
	inside := map[string]int{ // containers, and where their children begin
		"moov": 0, "trak": 0, "mdia": 0, "minf": 0, "stbl": 0, "stsd": 8, "avc1": 78,
	}
	c := cursor{b: moov}
	for c.more() {
		whole := c.b
		kind, body := c.box()
		at, container := inside[kind]
		switch {
		case container && len(body.b) > at:
			freeProfiles(body.b[at:])
		case kind == "colr" && !bytes.HasPrefix(body.b, []byte("nclx")):
			copy(whole[4:8], "free")
		}
	}
}

// audioObject is the audio object type of ISO/IEC 14496-3 §1.6.2.1: 2 is
// AAC-LC. The bit rates that esds declares are cleared: they differ from run
// to run.
func audioObject(e *mp4.EsdsBox) (byte, error) {
	d := e.DecConfigDescriptor
	if d == nil || d.DecSpecificInfo == nil || len(d.DecSpecificInfo.DecConfig) == 0 {
		return 0, fmt.Errorf("%w: no audio configuration", errInit)
	}
	d.MaxBitrate, d.AvgBitrate, d.BufferSizeDB = 0, 0, 0
	return d.DecSpecificInfo.DecConfig[0] >> 3, nil
}

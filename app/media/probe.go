package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"streamgate/store"
)

const (
	// maxProbe bounds what ffprobe may say about a file, bytes.
	maxProbe = 4 << 20
	// probePackets is how many packets are looked at for signs of encryption.
	probePackets = 8
)

// probed is what is known of a source before its packets are read.
type probed struct {
	format string // demuxer name, the first of its aliases
	video  *stream
	audio  *stream
	sounds int // how many streams of sound there are

	warnings []store.Warning // what of the file is not played
}

// stream is one stream of a source.
type stream struct {
	index    int
	id       int64 // of an MP4's track; 0 if unknown
	codec    string
	profile  string
	timebase rational // seconds per tick
	start    int64    // ticks
	seconds  float64  // declared duration; 0 if unknown
	rate     float64  // frames per second, average; 0 if unknown
	base     rational // frames per second that all times fit; 0/0 if unknown

	// Pictures.
	width, height int // as displayed: turned, square pixels
	coded         [2]int
	pixFmt        string
	transfer      string // characteristics, by ffprobe's name
	level         int
	fieldOrder    string
	square        bool // pixels are square
	turned        bool // displayed rotated or mirrored
	plain         bool // the container says nothing else about them

	// Sound.
	sampleRate int
	channels   int
	language   string // BCP 47, or ""
}

// rational is a positive fraction; 0/0 if unknown.
type rational struct{ num, den int64 }

func (r rational) float() float64 {
	if r.den == 0 {
		return 0
	}
	return float64(r.num) / float64(r.den)
}

// probe reads the headers of a source, and picks the streams to use. A file that
// can never be played is a Refusal.
func (t Tools) probe(ctx context.Context, source string) (probed, error) {
	if err := sniffSource(ctx, source); err != nil {
		return probed{}, err
	}
	out := &limitedBuffer{max: maxProbe}
	args := append(inputArgs(source), "-of", "json", "-show_format", "-show_streams", "-show_packets",
		"-read_intervals", fmt.Sprintf("%%+#%d", probePackets), "-show_entries",
		"packet=stream_index:packet_side_data=side_data_type", "-i", inputName(source))
	if err := (run{tools: t, path: t.FFprobe, args: args, stdout: out}).do(ctx); err != nil {
		if errors.Is(err, errTooMuch) {
			return probed{}, refuse(CodeTooComplex, "The file is too complex: its headers say more than %d MB.", maxProbe>>20)
		}
		return probed{}, refuseTool(err)
	}
	return parseProbe(out.Bytes())
}

// probeOutput is the part of ffprobe's JSON that is used.
type probeOutput struct {
	Format struct {
		Name string `json:"format_name"`
	} `json:"format"`
	Streams []probeStream `json:"streams"`
	Packets []struct {
		SideData []sideData `json:"side_data_list"`
	} `json:"packets"`
}

type probeStream struct {
	Index       int            `json:"index"`
	ID          string         `json:"id"`
	Codec       string         `json:"codec_name"`
	Type        string         `json:"codec_type"`
	Tag         string         `json:"codec_tag_string"`
	Profile     string         `json:"profile"`
	Width       int            `json:"width"`
	Height      int            `json:"height"`
	SAR         string         `json:"sample_aspect_ratio"`
	PixFmt      string         `json:"pix_fmt"`
	Transfer    string         `json:"color_transfer"`
	Level       int            `json:"level"`
	FieldOrder  string         `json:"field_order"`
	TimeBase    string         `json:"time_base"`
	StartPTS    int64          `json:"start_pts"`
	Duration    string         `json:"duration"`
	AverageRate string         `json:"avg_frame_rate"`
	BaseRate    string         `json:"r_frame_rate"`
	SampleRate  string         `json:"sample_rate"`
	Channels    int            `json:"channels"`
	Disposition map[string]int `json:"disposition"`
	Tags        map[string]any `json:"tags"`
	SideData    []sideData     `json:"side_data_list"`
}

type sideData struct {
	Type     string  `json:"side_data_type"`
	Rotation float64 `json:"rotation"`
	Matrix   string  `json:"displaymatrix"`
}

// parseProbe reads ffprobe's JSON.
func parseProbe(out []byte) (probed, error) {
	var raw probeOutput
	if err := json.Unmarshal(out, &raw); err != nil {
		return probed{}, refuse(CodeNotAVideo, "The file is not a video that can be read.")
	}
	if len(raw.Streams) > maxStreams {
		return probed{}, refuse(CodeTooComplex, "The file is too complex: it has %d streams; the limit is %d.", len(raw.Streams), maxStreams)
	}
	if raw.encrypted() {
		return probed{}, refuse(CodeEncrypted, "The video is encrypted. Upload a copy without DRM.")
	}
	format, _, _ := strings.Cut(raw.Format.Name, ",")
	p := probed{format: format, video: raw.pick("video"), audio: raw.pick("audio")}
	for _, s := range raw.Streams {
		if s.Type == "audio" {
			p.sounds++
		}
	}
	if format == "matroska" {
		p.video.countFromStart()
		p.audio.countFromStart()
	}
	if p.video == nil && p.audio == nil {
		return probed{}, raw.noStreams()
	}
	p.warnings = raw.leftOut(p.video, p.audio)
	if p.video == nil {
		return p, nil
	}
	if err := p.video.checkSize(); err != nil {
		return probed{}, err
	}
	if p.video.seconds > maxSeconds {
		return probed{}, errTooLong()
	}
	return p, nil
}

// encrypted looks for Common Encryption: sample entries, and side data of
// streams and packets.
func (o *probeOutput) encrypted() bool {
	hidden := func(list []sideData) bool {
		for _, s := range list {
			if strings.HasPrefix(s.Type, "Encryption") {
				return true
			}
		}
		return false
	}
	for _, s := range o.Streams {
		if s.Tag == "encv" || s.Tag == "enca" || s.Tag == "drmi" || s.Tag == "drms" || hidden(s.SideData) {
			return true
		}
	}
	for _, p := range o.Packets {
		if hidden(p.SideData) {
			return true
		}
	}
	return false
}

// noStreams says what a file without a usable stream lacks.
func (o *probeOutput) noStreams() Refusal {
	for _, s := range o.Streams {
		if (s.Type == "video" || s.Type == "audio") && !s.attached() {
			return refuse(CodeUnsupportedCodec, "The video is in a format that this node cannot decode. Convert it to H.264 in MP4.")
		}
	}
	return refuse(CodeNoStreams, "The file has neither pictures nor sound.")
}

// pick chooses the stream of a type: the one with the most pixels or the
// default one, the first among equals; nil if none can be decoded.
func (o *probeOutput) pick(kind string) *stream {
	best, bestScore := -1, -1
	for i, s := range o.Streams {
		if s.Type != kind || s.attached() || s.Codec == "" || s.Codec == "unknown" {
			continue
		}
		score := 2*s.Width*s.Height + s.Disposition["default"]
		if score > bestScore {
			best, bestScore = i, score
		}
	}
	if best < 0 {
		return nil
	}
	return o.Streams[best].stream()
}

// attached tells cover art and thumbnails from films.
func (s *probeStream) attached() bool {
	return s.Disposition["attached_pic"] == 1 || s.Disposition["timed_thumbnails"] == 1
}

func (s *probeStream) stream() *stream {
	st := &stream{
		index: s.Index, codec: s.Codec, profile: s.Profile, timebase: parseRational(s.TimeBase),
		start: s.StartPTS, seconds: s.declared(), rate: parseRational(s.AverageRate).float(), base: parseRational(s.BaseRate),
		coded: [2]int{s.Width, s.Height}, pixFmt: s.PixFmt, transfer: s.Transfer, level: s.Level, fieldOrder: s.FieldOrder,
		channels: s.Channels, plain: len(s.SideData) == 0,
	}
	st.id, _ = strconv.ParseInt(s.ID, 0, 64)
	st.sampleRate, _ = strconv.Atoi(s.SampleRate)
	if tag, ok := s.Tags["language"].(string); ok {
		st.language = bcp47(tag)
	}
	st.display(s.SAR, s.SideData)
	return st
}

// declared is the duration that the container states, seconds; 0 if none.
func (s *probeStream) declared() float64 {
	if d, err := strconv.ParseFloat(s.Duration, 64); err == nil && d > 0 && !math.IsInf(d, 0) {
		return d
	}
	tag, _ := s.Tags["DURATION"].(string) // Matroska: 00:00:30.000000000
	parts := strings.Split(tag, ":")
	if len(parts) != 3 {
		return 0
	}
	var total float64
	for _, part := range parts {
		v, err := strconv.ParseFloat(part, 64)
		if err != nil || v < 0 || v > 1e6 {
			return 0
		}
		total = total*60 + v
	}
	return total
}

// countFromStart corrects the declared duration of a container that counts it
// from 0, however late the stream begins.
func (st *stream) countFromStart() {
	if st != nil && st.start > 0 {
		st.seconds = max(0, st.seconds-float64(st.start)*st.timebase.float())
	}
}

// display works out how the picture is shown: square pixels, turned upright.
func (st *stream) display(sar string, side []sideData) {
	st.width, st.height, st.square = st.coded[0], st.coded[1], true
	if r := parseRational(strings.Replace(sar, ":", "/", 1)); r.num > 0 && r.den > 0 && r.num != r.den {
		st.square = false
		wide := float64(st.width) * r.float()
		if wide < 1 || wide > 16*maxSide {
			wide = float64(st.width) // nonsense: show it as it is coded
		}
		st.width = int(math.Round(wide))
	}
	for _, d := range side {
		if d.Type != "Display Matrix" {
			continue
		}
		quarter := int(math.Round(d.Rotation/90)) % 4
		st.turned = st.turned || quarter != 0 || mirrored(d.Matrix)
		if quarter%2 != 0 {
			st.width, st.height = st.height, st.width
		}
	}
}

// mirrored tells whether a printed display matrix turns the picture over:
// its determinant is negative.
func mirrored(matrix string) bool {
	var m []float64
	for line := range strings.Lines(matrix) {
		_, row, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		for _, f := range strings.Fields(row) {
			v, err := strconv.ParseFloat(f, 64)
			if err != nil {
				return false
			}
			m = append(m, v)
		}
	}
	return len(m) == 9 && m[0]*m[4]-m[1]*m[3] < 0
}

// parseRational reads "1/12288"; the zero rational if it is not positive.
func parseRational(s string) rational {
	num, den, ok := strings.Cut(s, "/")
	if !ok {
		return rational{}
	}
	n, err1 := strconv.ParseInt(num, 10, 64)
	d, err2 := strconv.ParseInt(den, 10, 64)
	if err1 != nil || err2 != nil || n <= 0 || d <= 0 {
		return rational{}
	}
	return rational{n, d}
}

// errTooMuch is a tool that says more than it may.
var errTooMuch = errors.New("too much output")

// limitedBuffer keeps at most max bytes; writing more fails.
type limitedBuffer struct {
	bytes.Buffer
	max int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.max {
		return 0, errTooMuch
	}
	return b.Buffer.Write(p)
}

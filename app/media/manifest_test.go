package media

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/Eyevinn/hls-m3u8/m3u8"

	"streamgate/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// filmPlan is a 10 s film at 29.97 frames/s with a short start, two encoded
// renditions and stereo sound.
func filmPlan() *store.Plan {
	p := &store.Plan{
		Source:   store.Source{VideoStream: 0, AudioStream: 1, Width: 1280, Height: 720, FrameRate: 29.97},
		Timeline: store.Timeline{Timescale: 30000, Frames: []int{0, 60, 120, 240, 300}},
		Renditions: []store.Rendition{
			{Name: "720p", Kind: store.KindVideo, Codecs: "avc1.64001f", Width: 1280, Height: 720,
				Timescale: 30000, Delay: 2002, Bandwidth: 4_200_000, AverageBandwidth: 2_000_000},
			{Name: "360p", Kind: store.KindVideo, Codecs: "avc1.64001e", Width: 640, Height: 360,
				Timescale: 30000, Delay: 2002, Bandwidth: 1_200_000, AverageBandwidth: 600_000},
			{Name: "audio-en", Kind: store.KindAudio, Codecs: "mp4a.40.2", Timescale: 48000, SampleRate: 48000,
				Channels: 2, Language: "en", Bandwidth: 136_000, AverageBandwidth: 128_000},
		},
	}
	for _, f := range p.Timeline.Frames {
		p.Timeline.Bounds = append(p.Timeline.Bounds, int64(f)*1001)
	}
	for _, b := range p.Timeline.Bounds {
		frames := (b*48000/30000 + 512) / 1024
		p.Renditions[2].Bounds = append(p.Renditions[2].Bounds, frames*1024)
	}
	p.Renditions[2].Bounds[4] += 1024 // sound is padded to the end of the picture
	return p
}

// songPlan is 9 s of sound alone.
func songPlan() *store.Plan {
	bounds := []int64{0, 87 * 1024, 173 * 1024, 388 * 1024}
	return &store.Plan{
		Source:   store.Source{VideoStream: -1},
		Timeline: store.Timeline{Timescale: 44100, Bounds: bounds},
		Renditions: []store.Rendition{{Name: "audio", Kind: store.KindAudio, Codecs: "mp4a.40.2", Timescale: 44100,
			SampleRate: 44100, Channels: 1, Bounds: bounds, Bandwidth: 136_000, AverageBandwidth: 128_000}},
	}
}

// blinkPlan is half a second of silent video: one segment.
func blinkPlan() *store.Plan {
	return &store.Plan{
		Source:   store.Source{AudioStream: -1, Width: 360, Height: 640, FrameRate: 24},
		Timeline: store.Timeline{Timescale: 24, Bounds: []int64{0, 12}, Frames: []int{0, 12}},
		Renditions: []store.Rendition{{Name: "640p", Kind: store.KindVideo, Codecs: "avc1.64001e", Width: 360, Height: 640,
			Timescale: 24, Bandwidth: 1_000_000}},
	}
}

func iframeSource(p *store.Plan) *store.Rendition {
	r, _ := p.Rendition(IFrameSource(p))
	return r
}

// measured are rates of a complete film.
func measured(p *store.Plan) Rates {
	rates := Rates{
		IFramesName:    MeasureIFrames(p, iframeSource(p), []int64{20_000, 21_000, 19_000, 20_000}),
		StoryboardName: MeasureStoryboard(p, []int64{40_000}),
	}
	for i := range p.Renditions {
		r := &p.Renditions[i]
		rates[r.Name] = MeasureCells(p, r, []int64{100_000, 50_000, 300_000, 100_000})
	}
	return rates
}

func TestManifestsGolden(t *testing.T) {
	film, song, blink := filmPlan(), songPlan(), blinkPlan()
	scrub := filmPlan()
	iframeSource(scrub).IFrames = []int64{0, 60060, 120120, 180180, 240240}
	tests := []struct {
		name  string
		write func() ([]byte, error)
	}{
		{"film-master.m3u8", func() ([]byte, error) { return MasterPlaylist(film, nil) }},
		{"film-master-complete.m3u8", func() ([]byte, error) { return MasterPlaylist(film, measured(film)) }},
		{"film-720p.m3u8", func() ([]byte, error) { return MediaPlaylist(film, "720p") }},
		{"film-audio.m3u8", func() ([]byte, error) { return MediaPlaylist(film, "audio-en") }},
		{"film-iframes.m3u8", func() ([]byte, error) { return IFramePlaylist(film, IFrameSource(film)) }},
		{"film-complete.mpd", func() ([]byte, error) { return MPD(film, measured(film)) }},
		{"film-iframes-dense.m3u8", func() ([]byte, error) { return IFramePlaylist(scrub, IFrameSource(scrub)) }},
		{"film.mpd", func() ([]byte, error) { return MPD(film, nil) }},
		{"song-master.m3u8", func() ([]byte, error) { return MasterPlaylist(song, nil) }},
		{"song.mpd", func() ([]byte, error) { return MPD(song, nil) }},
		{"blink-640p.m3u8", func() ([]byte, error) { return MediaPlaylist(blink, "640p") }},
		{"blink-master.m3u8", func() ([]byte, error) { return MasterPlaylist(blink, nil) }},
		{"blink.mpd", func() ([]byte, error) { return MPD(blink, nil) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.write()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "manifests", tt.name), got)
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update if that is meant):\n%s", path, got)
	}
}

// The durations of a playlist, read back, end where the timeline ends, and
// never stray from it on the way, whatever the timescale.
func TestMediaPlaylistKeepsTime(t *testing.T) {
	p := &store.Plan{
		Timeline:   store.Timeline{Timescale: 90000, Bounds: []int64{0}},
		Renditions: []store.Rendition{{Name: "v", Kind: store.KindVideo, Timescale: 90000}},
	}
	for i := range 5000 { // about 5.5 hours of a length no decimal holds
		p.Timeline.Bounds = append(p.Timeline.Bounds, int64(i+1)*360_361)
	}
	list := readMedia(t, p, "v")
	var at float64
	for i, s := range list.GetAllSegments() {
		at += s.Duration
		if want := p.Timeline.Seconds(p.Timeline.Bounds[i+1]); math.Abs(at-want) > 2e-6 {
			t.Fatalf("segment %d ends at %f, want %f", i, at, want)
		}
		if uint(math.Round(s.Duration)) > list.TargetDuration {
			t.Fatalf("segment %d: %f s is over the target duration %d", i, s.Duration, list.TargetDuration)
		}
	}
}

func TestMediaPlaylistTags(t *testing.T) {
	for rendition, segments := range map[string]uint{"720p": 4, "audio-en": 4} {
		list := readMedia(t, filmPlan(), rendition)
		if list.Count() != segments || !list.Closed || list.MediaType != m3u8.VOD || list.Version() < 7 ||
			!list.IndependentSegments() || list.Map == nil || list.Map.URI != "init.mp4" || list.Segments[3].URI != "3.m4s" {
			t.Errorf("%s: %+v", rendition, list)
		}
	}
}

func readMedia(t *testing.T, p *store.Plan, rendition string) *m3u8.MediaPlaylist {
	t.Helper()
	data, err := MediaPlaylist(p, rendition)
	if err != nil {
		t.Fatal(err)
	}
	list, kind, err := m3u8.DecodeFrom(bytes.NewReader(data), true)
	if err != nil || kind != m3u8.MEDIA {
		t.Fatalf("read back: kind %v, %v", kind, err)
	}
	return list.(*m3u8.MediaPlaylist)
}

func TestMasterPlaylistRates(t *testing.T) {
	p := filmPlan()
	for _, tt := range []struct {
		name                string
		rates               Rates
		bandwidth, average  uint32
		iframes, iframeMean uint32
	}{
		{"estimate", nil, 4_336_000, 2_128_000, 1_200_000, 0},
		// 550,000 bytes in 10.01 s of pictures and in 10.027 s of sound; the
		// peaks are their third segments.
		{"complete", measured(p), 599_401 + 601_605, 439_561 + 438_830, 83_917, 63_937},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := MasterPlaylist(p, tt.rates)
			if err != nil {
				t.Fatal(err)
			}
			list, _, err := m3u8.DecodeFrom(bytes.NewReader(data), true)
			if err != nil {
				t.Fatal(err)
			}
			variants := list.(*m3u8.MasterPlaylist).Variants
			v, scrub := variants[0], variants[2]
			if v.Bandwidth != tt.bandwidth || v.AverageBandwidth != tt.average {
				t.Errorf("rates %d, %d; want %d, %d", v.Bandwidth, v.AverageBandwidth, tt.bandwidth, tt.average)
			}
			if scrub.Bandwidth != tt.iframes || scrub.AverageBandwidth != tt.iframeMean {
				t.Errorf("I-frames %d, %d; want %d, %d", scrub.Bandwidth, scrub.AverageBandwidth, tt.iframes, tt.iframeMean)
			}
			if v.Codecs != "avc1.64001f,mp4a.40.2" || v.Resolution != "1280x720" || v.FrameRate != 29.97 {
				t.Errorf("variant %+v", v.VariantParams)
			}
		})
	}
}

// The peak is that of any run of 0.5 to 1.5 target durations.
func TestMeasure(t *testing.T) {
	for name, tt := range map[string]struct {
		bounds     []int64 // seconds
		sizes      []int64
		peak, mean int
	}{
		"even":            {[]int64{0, 4, 8}, []int64{500, 500}, 1000, 1000},
		"one is high":     {[]int64{0, 4, 8, 12}, []int64{500, 2000, 500}, 4000, 2000},
		"short is left":   {[]int64{0, 4, 8, 9}, []int64{500, 500, 500}, 1600, 1334},
		"two shorts meet": {[]int64{0, 1, 2, 6}, []int64{500, 500, 500}, 4000, 2000},
		"short alone":     {[]int64{0, 1}, []int64{125}, 1000, 1000},
		"nothing":         {nil, nil, 0, 0},
	} {
		if got := measure(tt.bounds, 1, tt.sizes); got != (Rate{tt.peak, tt.mean}) {
			t.Errorf("%s: %+v, want %d, %d", name, got, tt.peak, tt.mean)
		}
	}
}

func TestSoundName(t *testing.T) {
	for tag, want := range map[string]string{
		"de": "German (Deutsch)", "en": "English", "": "Sound", "x\"y": "Sound", "pt-br": "Brazilian Portuguese (português)", "zz": "Sound",
	} {
		if got := soundName(tag); got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
	}
}

// Every border of the plan is found again in the manifest's timelines.
func TestMPDTimelines(t *testing.T) {
	p := filmPlan()
	data, err := MPD(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mpd.MPDFromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	audio := p.Renditions[2]
	last := float64(audio.Bounds[len(audio.Bounds)-1]) / float64(audio.Timescale)
	if got := m.MediaPresentationDuration.Seconds(); got < last || got > last+0.001 {
		t.Errorf("duration %v: the audio ends at %v, and no player may come to the end before it", got, last)
	}
	want := [][]int64{p.Timeline.Bounds, p.Renditions[2].Bounds}
	if len(m.Periods[0].AdaptationSets) != len(want) {
		t.Fatalf("%d adaptation sets", len(m.Periods[0].AdaptationSets))
	}
	for i, set := range m.Periods[0].AdaptationSets {
		st := set.SegmentTemplate
		if got := borders(st.SegmentTimeline); !slices.Equal(got, want[i]) {
			t.Errorf("set %d: borders %v, want %v", i, got, want[i])
		}
		if *st.StartNumber != 0 || st.PresentationTimeOffset != nil {
			t.Errorf("set %d: template %+v", i, st)
		}
	}
}

func borders(line *mpd.SegmentTimelineType) []int64 {
	at := int64(*line.S[0].T)
	out := []int64{at}
	for _, s := range line.S {
		for range s.R + 1 {
			at += int64(s.D)
			out = append(out, at)
		}
	}
	return out
}

func TestManifestsRefuse(t *testing.T) {
	empty := &store.Plan{}
	noVideo := songPlan()
	backwards := blinkPlan()
	backwards.Timeline.Bounds = []int64{12, 12}
	for name, write := range map[string]func() ([]byte, error){
		"master of nothing":        func() ([]byte, error) { return MasterPlaylist(empty, nil) },
		"manifest of nothing":      func() ([]byte, error) { return MPD(empty, nil) },
		"unknown rendition":        func() ([]byte, error) { return MediaPlaylist(noVideo, "4k") },
		"I-frames of sound":        func() ([]byte, error) { return IFramePlaylist(noVideo, "audio-en") },
		"a segment with no length": func() ([]byte, error) { return MPD(backwards, nil) },
	} {
		if out, err := write(); err == nil {
			t.Errorf("%s: no error, but %q", name, out)
		}
	}
}

// A language comes from the uploaded file: it must not break out of its
// attribute.
func TestLanguageIsNoMarkup(t *testing.T) {
	p := filmPlan()
	p.Renditions[2].Language = "en\",URI=\"https://evil.example/"
	master, err := MasterPlaylist(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := MPD(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(master)+string(manifest), "evil") {
		t.Errorf("the language was written as it came:\n%s\n%s", master, manifest)
	}
}

func TestFraction(t *testing.T) {
	for fps, want := range map[float64]string{
		30: "30", 25: "25", 24000.0 / 1001: "24000/1001", 29.97: "30000/1001", 59.9401: "60000/1001",
		12.5: "25/2", 23.5: "47/2", 0.2: "1/5", 0: "1/1000",
	} {
		if got := fraction(fps); got != want {
			t.Errorf("fraction(%v) = %s, want %s", fps, got, want)
		}
	}
}

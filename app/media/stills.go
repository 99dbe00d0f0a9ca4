package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"

	"streamgate/store"
)

// ErrNoPicture is the error of stills of a source that has only sound.
var ErrNoPicture = errors.New("media: the source has no picture")

const (
	posterWidth = 1280 // pixels, at most
	darkLuma    = 24   // mean of 0–255 below which a frame is taken for black

	tileWidth  = 160 // pixels
	tileCols   = 10
	tileRows   = 10
	maxTiles   = 200
	tileEvery  = 1.0 // seconds between tiles, at least
	maxTileRow = 4   // tile height in widths, at most

	smallFilm = 500_000_000 // pixels in all frames together: a few seconds of work
)

// stillsArgs are the options before a source. With keys, only key frames are
// decoded: twenty times cheaper than all frames.
func stillsArgs(source string, p *store.Plan, seek float64, keys bool) []string {
	args := []string{"-v", "error", "-nostdin", "-y"}
	if keys {
		args = append(args, "-skip_frame", "nokey", "-discard:v", "nokey")
	}
	if seek > 0 {
		args = append(args, "-noaccurate_seek", "-ss", decimal(seek))
	}
	args = append(args, inputOf(source, p)...)
	return append(args, "-map", "0:"+strconv.Itoa(p.Source.VideoStream), "-an", "-sn")
}

func decimal(seconds float64) string { return strconv.FormatFloat(seconds, 'f', 6, 64) }

// Poster writes a representative frame, not a black one if the film has
// others, as a JPEG file of at most 1280 pixels width. ErrNoPicture.
func (t Tools) Poster(ctx context.Context, source string, p *store.Plan, dst string) error {
	if p.Source.VideoStream < 0 {
		return ErrNoPicture
	}
	seconds := p.Timeline.Seconds(p.Timeline.Ticks())
	var err error
	for _, share := range []float64{0.1, 0.3, 0.6, 0} {
		if err = t.poster(ctx, source, p, share*seconds, dst); err != nil {
			continue
		}
		if dark, derr := isDark(dst); derr == nil && !dark {
			return nil
		}
	}
	return err
}

// poster writes the most typical of a few key frames from a time on.
func (t Tools) poster(ctx context.Context, source string, p *store.Plan, at float64, dst string) error {
	width := min(posterWidth, p.Source.Width)
	height := max(2, 2*int(math.Round(float64(width)*float64(p.Source.Height)/float64(p.Source.Width)/2)))
	filter := fmt.Sprintf("thumbnail=n=4,scale=%d:%d,setsar=1", width, height)
	args := append(stillsArgs(source, p, at, true), "-vf", filter, "-frames:v", "1", "-q:v", "3", "-f", "mjpeg", "file:"+dst)
	if err := (run{tools: t, path: t.FFmpeg, args: args, background: true}).do(ctx); err != nil {
		return fmt.Errorf("make a poster: %w", err)
	}
	if info, err := os.Stat(dst); err != nil || info.Size() == 0 {
		return fmt.Errorf("make a poster: no key frame after %.1f s", at)
	}
	return nil
}

// isDark tells whether a JPEG file is nearly black.
func isDark(path string) (bool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return false, err
	}
	ycc, ok := img.(*image.YCbCr)
	if !ok || len(ycc.Y) == 0 {
		return false, nil
	}
	total := 0
	for _, y := range ycc.Y {
		total += int(y)
	}
	return total/len(ycc.Y) < darkLuma, nil
}

// storyboard is the geometry of one.
type storyboard struct {
	tiles         int
	every         float64 // seconds
	seconds       float64 // of the film
	width, height int     // of a tile, pixels
}

func storyboardOf(p *store.Plan) storyboard {
	b := storyboard{seconds: p.Timeline.Seconds(p.Timeline.Ticks()), width: tileWidth}
	b.every = max(tileEvery, math.Ceil(b.seconds/maxTiles))
	b.tiles = max(1, int(math.Ceil(b.seconds/b.every-1e-9)))
	height := float64(tileWidth) * float64(p.Source.Height) / float64(max(1, p.Source.Width))
	b.height = min(tileWidth*maxTileRow, max(2, 2*int(math.Round(height/2))))
	return b
}

// small tells whether decoding every frame costs next to nothing, so that a
// short film with few key frames still gets a lively storyboard.
func small(p *store.Plan) bool {
	return len(p.Timeline.Frames) > 0 &&
		p.Timeline.Frames[p.Timeline.Segments()]*p.Source.Width*p.Source.Height <= smallFilm
}

// rows is how many rows of tiles each sheet has.
func (b storyboard) rows() int { return min(tileRows, (b.tiles+tileCols-1)/tileCols) }

// sheetSeconds is how much of the film one sheet shows.
func (b storyboard) sheetSeconds() float64 { return b.every * float64(tileCols*b.rows()) }

// adaptationSet describes the sheets to DASH players: thumbnail tiles of the
// DASH-IF interoperability points (§6.2.6).
func (b storyboard) adaptationSet(rate Rate) *mpd.AdaptationSetType {
	set := &mpd.AdaptationSetType{}
	set.ContentType, set.MimeType = "image", "image/jpeg"
	t := mpd.NewSegmentTemplate()
	t.Media, t.StartNumber = "storyboard-$Number$.jpg", new(uint32)
	t.SetTimescale(1)
	t.Duration = mpd.Ptr(uint32(b.sheetSeconds()))
	set.SegmentTemplate = t
	rep := &mpd.RepresentationType{}
	rep.Id, rep.Bandwidth = StoryboardName, clamp(rate.Peak)
	rep.Width, rep.Height = uint32(tileCols*b.width), uint32(b.rows()*b.height)
	tiles := fmt.Sprintf("%dx%d", tileCols, b.rows())
	rep.EssentialProperties = []*mpd.DescriptorType{mpd.NewDescriptor("http://dashif.org/guidelines/thumbnail_tile", tiles, "")}
	set.AppendRepresentation(rep)
	return set
}

func (b storyboard) sheets() int { return (b.tiles + tileCols*tileRows - 1) / (tileCols * tileRows) }

// StoryboardName is the name of the storyboard among rates and in manifests.
const StoryboardName = "storyboard"

// StoryboardSheets are the file names of the storyboard's sheets.
func StoryboardSheets(p *store.Plan) (names []string) {
	for i := range storyboardOf(p).sheets() {
		names = append(names, sheetName(i))
	}
	return names
}

// MeasureStoryboard is the rate of a storyboard whose sheets have these sizes,
// bytes.
func MeasureStoryboard(p *store.Plan, sizes []int64) Rate {
	b := storyboardOf(p)
	largest, total := int64(0), int64(0)
	for _, size := range sizes {
		largest, total = max(largest, size), total+size
	}
	rate := func(bytes int64, seconds float64) int { return int(math.Ceil(8 * float64(bytes) / max(1, seconds))) }
	return Rate{Peak: rate(largest, min(b.seconds, b.sheetSeconds())), Mean: rate(total, b.seconds)}
}

// Storyboard writes small pictures of the whole film, at most 200, on sheets
// of ten by ten, and returns the sheets' file names in dir and a WebVTT file
// that tells which picture belongs to which time. ErrNoPicture.
func (t Tools) Storyboard(ctx context.Context, source string, p *store.Plan, dir string) (sheets []string, vtt []byte, err error) {
	if p.Source.VideoStream < 0 {
		return nil, nil, ErrNoPicture
	}
	b := storyboardOf(p)
	// A tile shows the decoded frame at or before it; the last one is held to the
	// film's end, so that no tile is missing.
	filter := fmt.Sprintf("setpts=PTS-STARTPTS,fps=fps=1/%g:start_time=0:round=up,tpad=stop=-1:stop_mode=clone,trim=end_frame=%d,"+
		"scale=%d:%d,setsar=1,tile=%dx%d", b.every, b.tiles, b.width, b.height, tileCols, b.rows())
	args := append(stillsArgs(source, p, 0, !small(p)), "-vf", filter, "-frames:v", strconv.Itoa(b.sheets()), "-q:v", "5",
		"-f", "image2", "-start_number", "0", "file:"+filepath.Join(dir, "storyboard-%d.jpg"))
	if err := (run{tools: t, path: t.FFmpeg, args: args, background: true}).do(ctx); err != nil {
		return nil, nil, fmt.Errorf("make a storyboard: %w", err)
	}
	for i := range b.sheets() {
		name := sheetName(i)
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return nil, nil, fmt.Errorf("make a storyboard: %w", err)
		}
		sheets = append(sheets, name)
	}
	return sheets, b.vtt(), nil
}

func sheetName(i int) string { return fmt.Sprintf("storyboard-%d.jpg", i) }

// vtt is the storyboard's index: WebVTT cues whose text is a sheet and, as a
// media fragment (W3C Media Fragments §4.2.2), the tile on it.
func (b storyboard) vtt() []byte {
	var out bytes.Buffer
	out.WriteString("WEBVTT\n")
	for i := range b.tiles {
		from, to := float64(i)*b.every, min(float64(i+1)*b.every, b.seconds)
		sheet, tile := i/(tileCols*tileRows), i%(tileCols*tileRows)
		fmt.Fprintf(&out, "\n%s --> %s\n%s#xywh=%d,%d,%d,%d\n", vttTime(from), vttTime(to), sheetName(sheet),
			tile%tileCols*b.width, tile/tileCols*b.height, b.width, b.height)
	}
	return out.Bytes()
}

// vttTime is a WebVTT timestamp: hh:mm:ss.mmm.
func vttTime(seconds float64) string {
	d := time.Duration(math.Round(seconds*1000)) * time.Millisecond
	return fmt.Sprintf("%02d:%02d:%02d.%03d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60, d.Milliseconds()%1000)
}

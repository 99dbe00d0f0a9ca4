package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"streamgate/app/media"
	"streamgate/store"
	"streamgate/store/bolt"
)

const (
	meanSSIM   = 0.001 // the means may differ by, at most
	borderSSIM = 0.006 // half a second after a border may be lower by, at most
)

// bordersRung is the rendition that is compared: of the source's own size, so
// that no scaler has a part in it.
const bordersRung = "480p"

// benchBorders compares the pictures of a film that was encoded in chunks with
// those of one ffmpeg command with the same settings and the same key frames,
// by their SSIM to the source. A chunk's encoder starts anew, without knowing
// what came before: the half second after each border tells what that costs.
func benchBorders(ctx context.Context, b *bench) ([]result, error) {
	src := megabytes
	if b.quick {
		src = megabytes28s
	}
	file, err := b.sources.file(ctx, src)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "borders-")
	if err != nil {
		return nil, err
	}
	chunked, single := filepath.Join(dir, "chunked.mp4"), filepath.Join(dir, "single.mp4")
	film, err := b.encodeChunked(ctx, file, chunked)
	if err != nil {
		return nil, err
	}
	if err := encodeAtOnce(ctx, film, file, single); err != nil {
		return nil, err
	}
	var ssim [2]series
	for i, made := range []string{chunked, single} {
		if ssim[i], err = ssimTo(ctx, file, made); err != nil {
			return nil, err
		}
	}
	if len(ssim[0]) != len(ssim[1]) || len(ssim[0]) == 0 {
		return nil, fmt.Errorf("%d frames in chunks, %d at once", len(ssim[0]), len(ssim[1]))
	}
	return judgeBorders(ssim[0], ssim[1], film.borders(), int(math.Round(film.plan.Source.FrameRate/2))), nil
}

// judgeBorders compares the frames' SSIM; borders are the first frames of
// chunks, half is the frames of half a second.
func judgeBorders(chunked, single series, borders []int, half int) []result {
	mean := chunked.mean() - single.mean()
	var after series
	for _, from := range borders {
		to := min(from+half, len(chunked))
		after = append(after, chunked[from:to].mean()-single[from:to].mean())
	}
	return []result{
		{
			what: "SSIM of the chunked film less that of one ffmpeg command with equal settings, mean", target: fmt.Sprintf("within %g", meanSSIM),
			measured: fmt.Sprintf("%+.5f (%.5f, %.5f; %d frames)", mean, chunked.mean(), single.mean(), len(chunked)), met: math.Abs(mean) <= meanSSIM,
		},
		{
			what: "the same, the half seconds after the borders of chunks, the worst", target: fmt.Sprintf("≥ −%g", borderSSIM),
			measured: fmt.Sprintf("%+.5f, mean %+.5f; %d borders", slices.Min(after), after.mean(), len(borders)), met: slices.Min(after) >= -borderSSIM,
		},
	}
}

// chunkedFilm is how the node has made a film.
type chunkedFilm struct {
	plan   store.Plan
	chunks []int // their first segments
}

// borders are the first frames of all chunks but the first.
func (f chunkedFilm) borders() (frames []int) {
	for _, segment := range f.chunks {
		if segment > 0 {
			frames = append(frames, f.plan.Timeline.Frames[segment])
		}
	}
	return frames
}

// keyFrames are the times of the frames at which segments begin, as ffmpeg
// wants them: half a frame earlier, on the source's clock.
func (f chunkedFilm) keyFrames() string {
	var times []string
	t := &f.plan.Timeline
	for _, bound := range t.Bounds[1 : len(t.Bounds)-1] {
		at := t.Seconds(f.plan.Source.Start+bound) - 0.5/f.plan.Source.FrameRate
		times = append(times, strconv.FormatFloat(at, 'f', 6, 64))
	}
	return strings.Join(times, ",")
}

// encodeChunked lets a node make a film, and puts the cells of one rendition
// into a file.
func (b *bench) encodeChunked(ctx context.Context, file, out string) (film chunkedFilm, err error) {
	n, err := b.startNode(ctx)
	if err != nil {
		return film, err
	}
	defer n.kill()
	v, _, err := n.upload(ctx, file, "no-copy", true)
	if err != nil {
		return film, err
	}
	if err := n.awaitTask(ctx, v.ID); err != nil {
		return film, fmt.Errorf("%w\n%s", err, n.said())
	}
	if film.chunks, err = (player{n.url + "/v/" + v.ID + "/"}).save(ctx, bordersRung, out); err != nil {
		return film, err
	}
	if err := n.end(syscall.SIGTERM); err != nil {
		return film, err
	}
	db, err := bolt.Open(filepath.Join(n.data(), "streamgate.db"), bolt.Options{})
	if err != nil {
		return film, err
	}
	defer db.Close() //nolint:errcheck // only read
	film.plan, err = db.Catalog().Plans.Plan(ctx, v.ID)
	if err == nil && len(film.borders()) == 0 {
		err = errors.New("the film is one chunk: the row would measure nothing")
	}
	return film, err
}

// encoderMark is in the first picture of whatever an x264 has made: it tells
// its version and settings there.
const encoderMark = "x264 - core"

// save puts a rendition's init and cells into a file. It returns the cells with
// which an encoder has begun.
func (p player) save(ctx context.Context, rendition, out string) (begun []int, err error) {
	playlist, err := p.fetch(ctx, rendition+"/index.m3u8")
	if err != nil {
		return nil, err
	}
	init, ok := attribute(playlist, "#EXT-X-MAP:", "URI")
	if !ok {
		return nil, fmt.Errorf("the playlist of %s names no init:\n%s", rendition, playlist)
	}
	whole, err := p.fetch(ctx, rendition+"/"+init)
	if err != nil {
		return nil, err
	}
	for i, name := range uris(playlist) {
		cell, err := p.fetch(ctx, rendition+"/"+name)
		if err != nil {
			return nil, err
		}
		if bytes.Contains(cell, []byte(encoderMark)) {
			begun = append(begun, i)
		}
		whole = append(whole, cell...)
	}
	return begun, os.WriteFile(out, whole, 0o600)
}

// encodeAtOnce makes the same rendition with one command: the node's settings
// (media/args.go), one thread as the node uses when its cores have work.
func encodeAtOnce(ctx context.Context, film chunkedFilm, file, out string) error {
	profile := media.DefaultProfile()
	at := slices.IndexFunc(profile.Rungs, func(r media.Rung) bool { return r.Name == bordersRung })
	rung := profile.Rungs[at]
	cmd := command(ctx, "ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-y", "-copyts", "-i", file,
		"-map", "0:v:0", "-vf", "format=yuv420p,setsar=1", "-c:v", "libx264", "-preset", profile.Preset, "-crf", strconv.Itoa(rung.CRF),
		"-maxrate", strconv.Itoa(rung.MaxRate), "-bufsize", strconv.Itoa(rung.BufSize),
		"-g", "1000000", "-sc_threshold", "0", "-flags", "+cgop", "-forced-idr", "1", "-bf", "3",
		"-force_key_frames", film.keyFrames(), "-threads", "1", "-fps_mode", "passthrough", out)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("encode at once: %w\n%s", err, said)
	}
	return nil
}

// ssimTo is the SSIM of each frame to the source's frame of the same number.
func ssimTo(ctx context.Context, source, made string) (series, error) {
	stats := made + ".ssim"
	cmd := command(ctx, "ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-i", made, "-i", source, "-filter_complex",
		"[0:v:0]setpts=N/(25*TB)[made];[1:v:0]format=yuv420p,setsar=1,setpts=N/(25*TB)[source];[made][source]ssim=stats_file="+stats,
		"-fps_mode", "passthrough", "-f", "null", "-")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compare %s: %w\n%s", made, err, said)
	}
	text, err := os.ReadFile(stats)
	if err != nil {
		return nil, err
	}
	return parseSSIM(string(text))
}

var ssimLine = regexp.MustCompile(`^n:\d+ .*All:([0-9.]+) `)

// parseSSIM reads what ffmpeg's filter writes: a line for each frame.
func parseSSIM(text string) (s series, err error) {
	for line := range strings.Lines(text) {
		m := ssimLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("SSIM: %q", line)
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, fmt.Errorf("SSIM: %w", err)
		}
		s = append(s, v)
	}
	return s, nil
}

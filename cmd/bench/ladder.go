package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"streamgate/app/media"
)

// benchLadder compares the CPU time of the whole ladder with that of one
// ffmpeg command, written by hand, which makes the same renditions. The node's
// counts from the acknowledged upload to the end of the task: plan, sound,
// poster, storyboard and all the writing are in it.
func benchLadder(ctx context.Context, b *bench) ([]result, error) {
	src := copied120s
	if b.quick {
		src = copied30s
	}
	file, err := b.sources.file(ctx, src)
	if err != nil {
		return nil, err
	}
	n, err := b.startNode(ctx)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	var ours, automatic, single series
	for range b.runs(3, 1) {
		s, err := b.nodeLadder(ctx, n, file)
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, n.said())
		}
		ours = append(ours, s)
		for threads, to := range map[int]*series{0: &automatic, 1: &single} {
			s, err := b.handLadder(ctx, file, threads)
			if err != nil {
				return nil, err
			}
			*to = append(*to, s)
		}
		b.logf("   node %.2f, ffmpeg %.2f, with one thread %.2f CPU seconds", last(ours), last(automatic), last(single))
	}
	best, how := automatic, "automatic threads"
	if single.median() < automatic.median() {
		best, how = single, "one thread"
	}
	c := comparison{what: "CPU of the whole ladder, copy off (ffmpeg at its best: " + how + ")", unit: "CPU s", peer: "ffmpeg", ours: ours, them: best}
	return []result{c.atMost(1.05)}, nil
}

func last(s series) float64 { return s[len(s)-1] }

// nodeLadder is the CPU seconds the node takes for a video.
func (b *bench) nodeLadder(ctx context.Context, n *node, file string) (float64, error) {
	v, _, err := n.upload(ctx, file, "no-copy", false)
	if err != nil {
		return 0, err
	}
	before, err := cpuSeconds(n.pid())
	if err != nil {
		return 0, err
	}
	if err := n.awaitTask(ctx, v.ID); err != nil {
		return 0, err
	}
	after, err := cpuSeconds(n.pid())
	if err != nil {
		return 0, err
	}
	return after - before, n.discard(ctx, v.ID)
}

// handLadder is the CPU seconds of the command.
func (b *bench) handLadder(ctx context.Context, file string, threads int) (float64, error) {
	dir, err := os.MkdirTemp(b.dir, "ladder-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	cmd := command(ctx, "ffmpeg", handCommand(media.DefaultProfile(), file, threads)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ffmpeg by hand: %w\n%s", err, out)
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}

// handCommand makes a profile's renditions of a 1080p source as somebody who
// knows ffmpeg would: one decode, each size scaled from the next larger one,
// fMP4 segments for HLS on disk, of the node's length.
func handCommand(p media.Profile, file string, threads int) []string {
	perCodec := func() []string {
		if threads == 0 {
			return nil
		}
		return []string{"-threads", strconv.Itoa(threads)}
	}
	args := []string{"-nostdin", "-hide_banner", "-v", "error"}
	if threads > 0 {
		args = append(args, "-filter_complex_threads", strconv.Itoa(threads))
	}
	args = append(append(args, perCodec()...), "-i", file, "-filter_complex", handScaling(p.Rungs))
	seconds := strconv.FormatFloat(p.SegmentSeconds, 'g', -1, 64)
	hls := func(name string) []string {
		return []string{"-f", "hls", "-hls_time", seconds, "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4",
			"-hls_fmp4_init_filename", name + "-init.mp4", "-hls_segment_filename", name + "-%d.m4s", name + ".m3u8"}
	}
	for i, r := range p.Rungs {
		args = append(args, "-map", fmt.Sprintf("[v%d]", i), "-c:v", "libx264", "-preset", p.Preset, "-crf", strconv.Itoa(r.CRF),
			"-maxrate", strconv.Itoa(r.MaxRate), "-bufsize", strconv.Itoa(r.BufSize),
			"-sc_threshold", "0", "-force_key_frames", "expr:gte(t,n_forced*"+seconds+")")
		args = append(append(args, perCodec()...), hls(r.Name)...)
	}
	args = append(args, "-map", "0:a:0", "-c:a", "aac", "-b:a", strconv.Itoa(p.AudioBitRate))
	return append(args, hls("audio")...)
}

// handScaling is the filter graph: [v0] is the source's size, [v1] … follow.
func handScaling(rungs []media.Rung) string {
	var b strings.Builder
	b.WriteString("[0:v:0]format=yuv420p")
	for i, r := range rungs {
		if i > 0 {
			fmt.Fprintf(&b, ";[s%d]scale=-2:%d", i, r.Height)
		}
		if i < len(rungs)-1 {
			fmt.Fprintf(&b, ",split=2[v%d][s%d]", i, i+1)
		} else {
			fmt.Fprintf(&b, "[v%d]", i)
		}
	}
	return b.String()
}

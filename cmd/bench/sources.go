package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// source names a video that a row uploads.
type source string

// The sources. Copied ones are H.264 and AAC as browsers play it; foreign ones
// are HEVC, what phones record, and must be encoded. Long ones are short ones
// repeated: their sound has gaps at the joins, hence is encoded.
const (
	copied30s    source = "copied-30s"
	copied120s   source = "copied-120s"
	copied60min  source = "copied-60min"
	foreign30s   source = "foreign-30s"
	foreign10min source = "foreign-10min"
	foreign60min source = "foreign-60min"
	// megabytes has a key frame every 4 s at 2 Mbit/s: cells of 1 MB, and
	// enough of them for a playlist of 2 kB.
	megabytes28s source = "megabytes-28s"
	megabytes    source = "megabytes"
	// groups2s and groups10s differ in how far apart their key frames are.
	groups2s  source = "groups-2s"
	groups10s source = "groups-10s"
	// large30s has 20 Mbit/s, so that 2 GB are not hours.
	large30s  source = "large-30s"
	large2min source = "large-2min"
	large2GB  source = "large-2GB"
)

// sources makes each source once and keeps it.
type sources struct {
	dir  string
	clip string
	log  io.Writer
}

// recipe is how a source is made: of the clip with these options, or of
// another source repeated.
type recipe struct {
	options string
	of      source
	times   int
}

func (s source) recipe() (recipe, bool) {
	const (
		hd     = "-t 30 -vf scale=1920:1080:flags=lanczos,setsar=1,noise=c0s=4:c0f=t,format=yuv420p "
		sd     = "-t 28 -vf scale=854:480,setsar=1,noise=c0s=4:c0f=t,format=yuv420p "
		steady = " -force_key_frames expr:gte(t,n_forced*%d) -sc_threshold 0 "
		sound  = "-c:a aac -b:a 128k -ar 48000 -ac 2"
	)
	recipes := map[source]recipe{
		copied30s:    {options: hd + "-c:v libx264 -preset veryfast -b:v 3M -maxrate 4M -bufsize 6M" + fmt.Sprintf(steady, 2) + sound},
		copied120s:   {of: copied30s, times: 4},
		copied60min:  {of: copied30s, times: 120},
		foreign30s:   {options: hd + "-c:v libx265 -preset ultrafast -b:v 3M -tag:v hvc1 -x265-params log-level=error:keyint=48:open-gop=0 " + sound},
		foreign10min: {of: foreign30s, times: 20},
		foreign60min: {of: foreign30s, times: 120},
		megabytes28s: {options: sd + "-c:v libx264 -preset veryfast -b:v 2M -maxrate 2M -bufsize 2M" + fmt.Sprintf(steady, 4) + sound},
		megabytes:    {of: megabytes28s, times: 12},
		groups2s:     {options: sd + "-c:v libx264 -preset veryfast -b:v 2M -maxrate 3M -bufsize 4M" + fmt.Sprintf(steady, 2) + sound},
		groups10s:    {options: sd + "-c:v libx264 -preset veryfast -g 300 -b:v 2M -maxrate 3M -bufsize 4M" + fmt.Sprintf(steady, 10) + sound},
		large30s:     {options: hd + "-c:v libx264 -preset ultrafast -b:v 20M -maxrate 24M -bufsize 40M" + fmt.Sprintf(steady, 2) + sound},
		large2min:    {of: large30s, times: 4},
		large2GB:     {of: large30s, times: 28},
	}
	r, ok := recipes[s]
	return r, ok
}

// file returns the path of a source, which is made if it is not there.
func (s *sources) file(ctx context.Context, name source) (string, error) {
	r, ok := name.recipe()
	if !ok {
		return "", fmt.Errorf("there is no source %q", name)
	}
	args, err := s.args(ctx, r)
	if err != nil {
		return "", err
	}
	// The recipe is part of the name: a changed one makes another file.
	sum := sha256.Sum256([]byte(strings.Join(args, " ")))
	path := filepath.Join(s.dir, fmt.Sprintf("%s-%x.mp4", name, sum[:4]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return "", err
	}
	fmt.Fprintf(s.log, "   making the source %s\n", name)
	part := path + ".part"
	defer os.Remove(part)
	args = append(args, "-movflags", "+faststart", "-f", "mp4", part)
	if out, err := command(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make the source %s: %w\n%s", name, err, out)
	}
	return path, os.Rename(part, path)
}

// args are ffmpeg's, up to the output.
func (s *sources) args(ctx context.Context, r recipe) ([]string, error) {
	args := []string{"-nostdin", "-hide_banner", "-v", "error", "-y"}
	if r.of != "" {
		part, err := s.file(ctx, r.of)
		return append(args, "-stream_loop", strconv.Itoa(r.times-1), "-i", part, "-map", "0", "-c", "copy"), err
	}
	if _, err := os.Stat(s.clip); err == nil {
		args = append(args, "-stream_loop", "-1", "-i", s.clip, "-map", "0:v:0", "-map", "0:a:0")
	} else {
		args = append(args, "-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=24", "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000")
	}
	return append(args, strings.Fields(r.options)...), nil
}

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ffmpeg makes a file; %s-free arguments, split at spaces, the last being the
// file's name in a directory of the test's.
func ffmpeg(t *testing.T, name, args string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	words := append([]string{"-nostdin", "-hide_banner", "-v", "error", "-y"}, strings.Fields(args)...)
	if out, err := exec.Command("ffmpeg", append(words, path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", args, err, out)
	}
	return path
}

// Sources of which the length is known: pictures and a tone.
const (
	testPicture = "-f lavfi -i testsrc2=size=640x360:rate=25:duration=12 "
	testTone    = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=12 "
	x264        = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p "
)

// longClip has pictures that must be encoded (MPEG-4 Part 2), 90 s of 720p.
func longClip(t *testing.T) string {
	t.Helper()
	return ffmpeg(t, "long.mkv", "-f lavfi -i testsrc2=size=1280x720:rate=25:duration=90 "+
		"-f lavfi -i sine=frequency=330:sample_rate=48000:duration=90 -c:v mpeg4 -q:v 6 -g 100 -bf 2 -c:a aac -b:a 96k")
}

// numberedClip has pictures that show their own number, as testdata/numbers.js
// reads it, 25 per second, and a tone: so many seconds of it, with a key frame
// every group pictures and with B-frames.
func numberedClip(t *testing.T, size string, seconds, group int) string {
	t.Helper()
	filter := "format=yuv420p"
	for bit := range 10 {
		filter += fmt.Sprintf(",drawbox=x=iw*%d/10:y=0:w=iw/10:h=ih/2:color=white:t=fill:enable=bitand(n\\,%d)", bit, 1<<bit)
	}
	return ffmpeg(t, "numbered.mp4", fmt.Sprintf("-f lavfi -i color=black:size=%s:rate=25:duration=%d "+
		"-f lavfi -i sine=frequency=440:sample_rate=48000:duration=%d -vf %s %s -bf 3 "+
		"-x264-params b-adapt=0:b-pyramid=normal -g %d -sc_threshold 0 -c:a aac", size, seconds, seconds, filter, x264, group))
}

// realClip returns one of the real clips, or "" where they are not at hand.
func realClip(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", "..", "shared", "media", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Logf("%s is not at hand; the made clips stand in", name)
		return ""
	}
	return path
}

package media

import (
	"os"
	"os/exec"
	"testing"

	"streamgate/app/media/confine"
)

func TestMain(m *testing.M) {
	confine.Main() // the tests' ffmpeg runs confined, as a node's does
	os.Exit(m.Run())
}

// testTools are confined tools.
var testTools = func() Tools {
	ffmpeg, _ := exec.LookPath("ffmpeg") // what is missing shows at the first run
	ffprobe, _ := exec.LookPath("ffprobe")
	self, _ := os.Executable()
	return Tools{FFmpeg: ffmpeg, FFprobe: ffprobe, Helper: self}
}()

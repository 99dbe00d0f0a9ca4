package media

import "os/exec"

// testTools are confined, as a node's are.
var testTools = func() Tools {
	ffmpeg, _ := exec.LookPath("ffmpeg") // what is missing shows at the first run
	ffprobe, _ := exec.LookPath("ffprobe")
	return Tools{FFmpeg: ffmpeg, FFprobe: ffprobe, Confine: true}
}()

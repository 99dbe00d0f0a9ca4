package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// oddOnce writes an ffmpeg that does something else the first time it is to
// make the chunk that begins at from, a pattern of the shell.
func oddOnce(t *testing.T, from, instead string) (program, begun string) {
	t.Helper()
	dir := t.TempDir()
	real, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(filepath.Dir(real), "ffprobe"), filepath.Join(dir, "ffprobe")); err != nil {
		t.Fatal(err)
	}
	program, begun = filepath.Join(dir, "ffmpeg"), filepath.Join(dir, "begun")
	script := fmt.Sprintf("#!/bin/bash\ncase \"$*\" in *trim=start=%s,*) [ -e %s ] || { touch %[2]s; %s; };; esac\nexec %s \"$@\"\n", from, begun, instead, real)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return program, begun
}

// TestOddEncoders: an ffmpeg that freezes, does too little, prints without end
// or eats memory is found and replaced. Its part is tried again, a player that
// waits for it hears in time, and the attempt tells what happened.
func TestOddEncoders(t *testing.T) {
	clip := ffmpeg(t, "a.mkv", "-f lavfi -i testsrc2=size=640x360:rate=25:duration=40 -f lavfi -i sine=frequency=330:sample_rate=48000:duration=40 -c:v mpeg4 -q:v 6 -c:a aac")
	for _, tc := range []struct{ name, instead, code, said string }{
		{"frozen", "kill -STOP $$", "transcode_stalled", "stopped making progress"},
		{"too few pictures", "exit 0", "transcode_failed", ""},
		{"prints without end", "exec yes out of luck >&2", "transcode_stalled", "printed errors without end"},
		{"eats memory", `exec awk 'BEGIN { s = "x"; while (length(s) < 1000000000) s = s s; while (1) n++ }'`, "transcode_memory", "more memory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()                                             // most of it is waiting
			program, begun := oddOnce(t, "[78]??????us", tc.instead) // the chunk from 8 to 16 s
			n := startNode(t, "--set", "transcoder.ffmpeg="+program, "--set", "transcoder.confine=false", "--set", "transcoder.max_memory=300MiB")
			p := n.push(clip, "--public", "--wait", "playable")
			n.poll("the odd run", func() bool { _, err := os.Stat(begun); return err == nil })
			master := string(get(t, p.HLSURL))
			rendition := ""
			for line := range strings.Lines(master) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' && rendition == "" {
					rendition = strings.TrimSuffix(p.HLSURL, "master.m3u8") + line
				}
			}
			cells := cellAddresses(t, rendition)
			if got := ask(t, cells[3]); got.status != http.StatusOK && (got.status != http.StatusServiceUnavailable || got.retry == "") {
				t.Errorf("a player of that part was told %+v", got)
			} else {
				t.Logf("a player of that part heard %d after %s", got.status, got.took.Round(time.Millisecond))
			}
			n.poll("the attempt", func() bool {
				for _, j := range n.tried(p.TaskID) {
					if len(j.Attempts) == 0 {
						continue
					}
					if e := j.Attempts[0].Error; e.Code != tc.code || !strings.Contains(e.Message, tc.said) {
						t.Errorf("job %s was tried with %+v", j.ID, e)
					}
					return true
				}
				return false
			})
			n.waitState(p.VideoID, "ready")
			if now := n.waitTask(p.TaskID, "succeeded"); now.Attempt != 2 {
				t.Errorf("task %+v", now)
			}
			expectDecodes(t, tc.name, p.HLSURL, 0, true, sourceTimes(t, clip))
		})
	}
}

// cellAddresses are those of a media playlist.
func cellAddresses(t *testing.T, playlist string) (all []string) {
	t.Helper()
	for line := range strings.Lines(string(get(t, playlist))) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, playlist[:strings.LastIndex(playlist, "/")+1]+line)
		}
	}
	return all
}

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// twoProfiles share the smaller rendition and the sound.
const twoProfiles = `
transcoder:
  profiles:
    default:
      preset: ultrafast
      rungs:
        - {name: 360p, height: 360, crf: 30, max_rate: 900000, buf_size: 1350000}
        - {name: 180p, height: 180, crf: 30, max_rate: 300000, buf_size: 450000}
    sharp:
      preset: ultrafast
      rungs:
        - {name: 360p, height: 360, crf: 18, max_rate: 2000000, buf_size: 3000000}
        - {name: 180p, height: 180, crf: 30, max_rate: 300000, buf_size: 450000}
`

// viewer asks for cells again and again until it is stopped, and notes whatever
// is not a cell. A node that is down it tries again.
type viewer struct {
	stop  chan struct{}
	done  sync.WaitGroup
	seen  int
	wrong []string
}

func watch(cells []string) *viewer {
	v := &viewer{stop: make(chan struct{})}
	v.done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-v.stop:
				return
			default:
			}
			resp, err := http.Get(cells[i%len(cells)])
			if err != nil {
				<-time.After(20 * time.Millisecond)
				continue
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK && err == nil {
				v.seen++
			} else if resp.StatusCode != http.StatusOK {
				v.wrong = append(v.wrong, cells[i%len(cells)]+": "+resp.Status)
			}
		}
	})
	return v
}

// end stops the viewer, who must have seen something and nothing wrong.
func (v *viewer) end(t *testing.T) {
	t.Helper()
	close(v.stop)
	v.done.Wait()
	if v.seen == 0 || len(v.wrong) > 0 {
		t.Errorf("%d cells were seen, and %d answers were none: %.3v", v.seen, len(v.wrong), v.wrong)
	}
	t.Logf("the viewer saw %d cells of the first edition", v.seen)
}

// TestAnotherProfile makes a ready video again with another profile, and kills
// the node meanwhile. What was shown plays on, and then the master playlist
// names what is new.
func TestAnotherProfile(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(twoProfiles), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--config", config)
	clip := ffmpeg(t, "a.mkv", testPicture+testTone+"-c:v mpeg4 -q:v 4 -bf 2 -c:a aac")
	p := n.push(clip, "--public", "--wait", "ready")
	n.waitTask(p.TaskID, "succeeded") // a moment after its video is ready
	first := n.cells(p.VideoID)
	base := strings.TrimSuffix(p.HLSURL, "master.m3u8")
	var addresses []string
	for i := range strings.Count(string(get(t, base+"360p/index.m3u8")), "#EXTINF") {
		addresses = append(addresses, fmt.Sprintf("%s360p/%d.m4s", base, i), fmt.Sprintf("%s180p/%d.m4s", base, i))
	}
	viewer := watch(addresses)

	var made task
	n.must("POST", "queue:pause", "{}", nil) // so that the kill finds it under way
	if status := n.rest("POST", "tasks", fmt.Sprintf(`{"video_id": %q, "profile": "sharp"}`, p.VideoID), &made); status != http.StatusAccepted {
		t.Fatalf("the task was answered with %d", status)
	}
	n.must("POST", "queue:resume", "{}", nil)
	n.wait(p.VideoID, time.Minute, "made in part", func(video) bool { return len(n.cells(p.VideoID)) > len(first) })
	n.kill()
	n.start()
	t.Logf("after the kill the task is %s", n.task(made.ID).State)
	n.waitTask(made.ID, "succeeded")
	viewer.end(t)

	after := n.cells(p.VideoID)
	for name, at := range first {
		if !after[name].Equal(at) {
			t.Errorf("cell %s of the first edition was made anew, or is gone", name)
		}
	}
	master := string(get(t, p.HLSURL))
	if !strings.Contains(master, "360p-2/index.m3u8") || !strings.Contains(master, "180p/index.m3u8") || strings.Contains(master, "360p/index.m3u8") {
		t.Errorf("the master playlist:\n%s", master)
	}
	want := sourceTimes(t, clip)
	for i, rendition := range []string{"360p-2", "180p"} {
		compareTimes(t, rendition, cellTimes(t, base, rendition, false), want)
		expectDecodes(t, "HLS "+rendition, p.HLSURL, i, true, want)
	}
	if show := n.ctl("videos", "show", p.VideoID); !strings.Contains(show, "sharp") || strings.Contains(show, "(next)") {
		t.Errorf("the video is shown as\n%s", show)
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kills is how often TestChaos kills the node during one chunk, and at random
// moments; it kills as many encoders as both together. make chaos says more.
func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("CHAOS_KILLS"))
	if os.Getenv("CHAOS_KILLS") != "" && (err != nil || n < 1) {
		t.Fatalf("CHAOS_KILLS=%q is not a number of kills", os.Getenv("CHAOS_KILLS"))
	}
	return max(n, 6)
}

// TestChaos kills the node with -9 during one and the same chunk, again and
// again, then at random moments, and then its encoders alone. In the end every
// task has succeeded, no cell that was ever seen was made again, and every
// picture is there.
func TestChaos(t *testing.T) {
	n := startNode(t)
	n.args = append(n.args, "--set", "transcoder.worker_pool_size=2")
	times := kills(t)
	var films []film
	for i, seconds := range []int{90 + 5*times, 16, 16} {
		clip := ffmpeg(t, fmt.Sprintf("%d.mkv", i), fmt.Sprintf("-f lavfi -i testsrc2=size=640x360:rate=25 "+
			"-f lavfi -i sine=frequency=440:sample_rate=48000 -t %d -c:v mpeg4 -q:v 6 -c:a aac", seconds))
		films = append(films, film{clip, n.push(clip, "--public", "--wait", "playable", "--priority", strconv.Itoa(50+20*i))})
	}
	seen := map[string]time.Time{}
	note := func() {
		for _, f := range films {
			for name, at := range n.cells(f.VideoID) {
				if was, ok := seen[f.VideoID+name]; ok && !was.Equal(at) {
					t.Errorf("cell %s of %s was made again", name, f.VideoID)
				}
				seen[f.VideoID+name] = at
			}
		}
	}
	die := func() {
		n.kill()
		note()
		n.start()
	}

	chunk := n.longChunk(films[0].TaskID)
	for i := range times {
		n.waitLeased(films[0].TaskID, chunk)
		die()
		t.Logf("kill %d during %s: %d cells", i+1, chunk, len(seen))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range times {
		<-time.After(time.Duration(random.IntN(1500)) * time.Millisecond) // the moment is the test
		die()
	}
	killed := 0
	for end := time.Now().Add(10 * time.Minute); killed < 2*times && time.Now().Before(end) && !n.allOver(films); {
		<-time.After(time.Duration(random.IntN(300)) * time.Millisecond)
		if pids := encoders(t, n.data); len(pids) > 0 {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(pids[random.IntN(len(pids))])))
			if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	t.Logf("%d kills of the node, %d of ffmpeg", 2*times, killed)
	if killed < 2*times {
		t.Errorf("only %d encoders could be killed", killed)
	}
	for _, f := range films {
		n.wait(f.VideoID, 10*time.Minute, "ready", func(v video) bool { return v.State == "ready" })
	}
	note()
	for _, f := range films {
		n.waitTask(f.TaskID, "succeeded") // a moment after its video is ready
		expectDecodes(t, "after all that", f.HLSURL, 0, true, sourceTimes(t, f.clip))
	}
	if len(seen) < 3*10 {
		t.Errorf("only %d cells: %v", len(seen), maps.Keys(seen))
	}
}

type film struct {
	clip string
	pushed
}

// job is what tests look at of a job.
type job struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	State string `json:"state"`
	From  int    `json:"from_segment"`
	To    int    `json:"to_segment"`
}

func (n *node) jobs(task string) []job {
	n.t.Helper()
	var out struct {
		Jobs []job `json:"jobs"`
	}
	n.api(&out, "tasks/"+task+"/jobs")
	return out.Jobs
}

// api reads from the REST API as an operator; the node is up.
func (n *node) api(into any, path string) {
	n.t.Helper()
	if n.key == "" {
		n.key = strings.TrimSpace(n.ctl("keys", "create", "--scope", "admin"))
	}
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.url+"/api/v1/"+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		n.t.Fatalf("GET %s: %s, %v\n%s", path, resp.Status, err, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		n.t.Fatalf("GET %s: %v\n%s", path, err, body)
	}
}

// longChunk is the id of the last of a task's longest chunks, once it is planned.
func (n *node) longChunk(task string) (id string) {
	n.t.Helper()
	n.poll("the plan", func() bool {
		longest := 0
		for _, j := range n.jobs(task) {
			if j.Kind == "chunk" && j.To-j.From >= longest {
				id, longest = j.ID, j.To-j.From
			}
		}
		return id != ""
	})
	return id
}

func (n *node) waitLeased(task, id string) {
	n.t.Helper()
	n.poll("a worker to run "+id, func() bool {
		for _, j := range n.jobs(task) {
			if j.ID == id {
				if j.State == "done" {
					n.t.Fatalf("%s is done: the kills came too late to prove anything", id)
				}
				return j.State == "leased"
			}
		}
		return false
	})
}

func (n *node) allOver(films []film) bool {
	for _, f := range films {
		if n.video(f.VideoID).State != "ready" {
			return false
		}
	}
	return true
}

// poll asks until ok says so, or fails the test after two minutes.
func (n *node) poll(what string, ok func() bool) {
	n.t.Helper()
	timeout := time.After(5 * time.Minute)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-timeout:
			n.t.Fatalf("after two minutes still no sign of %s", what)
		}
	}
}

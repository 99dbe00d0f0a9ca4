package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// task is what tests look at of a task.
type task struct {
	ID       string  `json:"id"`
	VideoID  string  `json:"video_id"`
	State    string  `json:"state"`
	Progress float64 `json:"progress"`
	Priority int     `json:"priority"`
	Attempt  int     `json:"attempt"`
	Error    *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// triedJob is a job with what went wrong.
type triedJob struct {
	job
	Failures int    `json:"failures"`
	Worker   string `json:"worker"`
	Attempts []struct {
		Log   string `json:"log"`
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"attempts"`
}

// worker is what tests look at of a worker.
type worker struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Express bool   `json:"express"`
	TaskID  string `json:"task_id"`
	JobID   string `json:"job_id"`
	Kind    string `json:"kind"`
}

// rest calls the REST API as an operator, decodes what it answers (nil: drop
// it) and returns the status.
func (n *node) rest(method, path, body string, into any) int {
	n.t.Helper()
	if n.key == "" {
		n.key = strings.TrimSpace(n.ctl("keys", "create", "--scope", "admin"))
	}
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(said, into)
	}
	if err != nil {
		n.t.Fatalf("%s %s: %s, %v\n%s", method, path, resp.Status, err, said)
	}
	return resp.StatusCode
}

// must is rest for what has to succeed.
func (n *node) must(method, path, body string, into any) {
	n.t.Helper()
	var said json.RawMessage
	if status := n.rest(method, path, body, &said); status != http.StatusOK {
		n.t.Fatalf("%s %s: %d\n%s", method, path, status, said)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(said, into); err != nil {
		n.t.Fatalf("%s %s: %v\n%s", method, path, err, said)
	}
}

func (n *node) task(id string) (t task) {
	n.t.Helper()
	n.must("GET", "tasks/"+id, "", &t)
	return t
}

func (n *node) waitTask(id, state string) task {
	n.t.Helper()
	var t task
	n.poll("task "+id+" being "+state, func() bool { t = n.task(id); return t.State == state })
	return t
}

func (n *node) tried(id string) []triedJob {
	n.t.Helper()
	var out struct{ Jobs []triedJob }
	n.must("GET", "tasks/"+id+"/jobs", "", &out)
	return out.Jobs
}

// begun are the ids of a task's jobs that a worker has taken up.
func (n *node) begun(id string) []string {
	n.t.Helper()
	var ids []string
	for _, j := range n.jobs(id) {
		if j.State == "leased" || j.State == "done" {
			ids = append(ids, j.ID)
		}
	}
	return ids
}

// count is how many of a task's jobs are in a state.
func (n *node) count(id, state string) (count int) {
	n.t.Helper()
	for _, j := range n.jobs(id) {
		if j.State == state {
			count++
		}
	}
	return count
}

func (n *node) workers() []worker {
	n.t.Helper()
	var out struct{ Workers []worker }
	if err := json.Unmarshal([]byte(n.ctl("workers", "list", "--json")), &out); err != nil {
		n.t.Fatal(err)
	}
	return out.Workers
}

// busyClip lasts so many seconds and must be encoded: three renditions.
func busyClip(t *testing.T, seconds int) string {
	t.Helper()
	return ffmpeg(t, "busy.mkv", fmt.Sprintf("-f lavfi -i testsrc2=size=1280x720:rate=25:duration=%d "+
		"-f lavfi -i sine=frequency=330:sample_rate=48000:duration=%[1]d -c:v mpeg4 -q:v 6 -g 100 -bf 2 -c:a aac -b:a 96k", seconds))
}

// waitBusy waits until a task's workers are past its beginning and run ffmpeg.
func (n *node) waitBusy(p pushed) {
	n.t.Helper()
	n.poll("work on "+p.TaskID, func() bool {
		t := n.task(p.TaskID)
		if t.State == "succeeded" {
			n.t.Fatal("the task is done: the clip is too short to prove anything")
		}
		return t.Progress > 15 && n.count(p.TaskID, "leased") > 0 && len(encoders(n.t, n.data)) > 0
	})
}

// quiet waits until no ffmpeg of the node runs, and checks that this took less
// than a second.
func (n *node) quiet(what string, since time.Time) {
	n.t.Helper()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for len(encoders(n.t, n.data)) > 0 && time.Since(since) < 10*time.Second {
		<-poll.C
	}
	took := time.Since(since)
	n.t.Logf("%s: ffmpeg was gone after %s", what, took.Round(time.Millisecond))
	if took > time.Second {
		n.t.Errorf("%s: ffmpeg was gone only after %s: %v", what, took, encoders(n.t, n.data))
	}
}

// wantKept checks that cells are where they were: none was made again.
func (n *node) wantKept(id string, before map[string]time.Time) {
	n.t.Helper()
	after := n.cells(id)
	for name, at := range before {
		if !after[name].Equal(at) {
			n.t.Errorf("cell %s was made again or is lost", name)
		}
	}
	if len(after) <= len(before) {
		n.t.Errorf("%d cells before, %d after: nothing was left to be made", len(before), len(after))
	}
}

// lastCell is the address of a video's last cell of its first rendition.
func lastCell(t *testing.T, master string) string {
	t.Helper()
	last := func(base, text string, first bool) string {
		var found string
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' && (found == "" || !first) {
				found = line
			}
		}
		at, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		if at, err = at.Parse(found); err != nil {
			t.Fatal(err)
		}
		return at.String()
	}
	list := last(master, string(get(t, master)), true)
	return last(list, string(get(t, list)), false)
}

// answer is what a player is told.
type answer struct {
	status int
	code   string // of a problem
	retry  string // Retry-After
	took   time.Duration
}

func ask(t *testing.T, address string) answer {
	t.Helper()
	a, err := tryAsk(address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryAsk(address string) (a answer, err error) {
	since := time.Now()
	resp, err := http.Get(address)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	var problem struct{ Code string }
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(body, &problem); err != nil {
			return a, fmt.Errorf("GET %s: %s\n%s", address, resp.Status, body)
		}
	}
	return answer{resp.StatusCode, problem.Code, resp.Header.Get("Retry-After"), time.Since(since)}, nil
}

// one worker: what it takes next is what is first in the line.
var one = []string{"--set", "transcoder.worker_pool_size=1", "--set", "transcoder.scaling_policy.min_workers=1",
	"--set", "transcoder.scaling_policy.max_workers=1"}

// TestPriority: what is urgent has its first picture before the next chunk of
// what is not.
func TestPriority(t *testing.T) {
	n := startNode(t, one...)
	long := n.push(busyClip(t, 90), "--public", "--wait", "playable", "--priority", "10")
	n.waitLeased(long.TaskID, n.longChunk(long.TaskID))
	urgent := busyClip(t, 20)

	push := n.command("push", urgent, "--public", "--wait", "playable", "--priority", "90", "--json")
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	var id, videoID string
	n.poll("the urgent task", func() bool {
		var list struct{ Tasks []task }
		n.must("GET", "tasks", "", &list)
		for _, it := range list.Tasks {
			if it.Priority == 90 {
				id, videoID = it.ID, it.VideoID
			}
		}
		return id != ""
	})
	since, before := time.Now(), n.begun(long.TaskID)
	n.poll("the urgent video's first picture", func() bool {
		after := n.begun(long.TaskID)
		there := len(n.cells(videoID)) > 0
		if !there && len(after) > len(before) {
			t.Fatalf("before the first picture of the urgent task, the long one began %v; it had begun %v", after, before)
		}
		return there
	})
	t.Logf("first picture after %s, behind a chunk of 24 s", time.Since(since).Round(time.Millisecond))
	if err := push.Wait(); err != nil {
		t.Errorf("push: %v", err)
	}
	// Turned around while both run, from the next job on.
	n.ctl("tasks", "priority", "5", id)
	var changed task
	n.must("PATCH", "tasks/"+long.TaskID, `{"priority":95}`, &changed)
	if now := n.task(id); now.Priority != 5 || changed.Priority != 95 {
		t.Errorf("priorities %d and %d, want 5 and 95", now.Priority, changed.Priority)
	}
	n.waitState(long.VideoID, "ready")
	if now := n.task(id); now.State == "succeeded" {
		t.Error("what was put last ended first")
	}
	n.waitState(videoID, "ready")
}

// TestPause: nothing is made of a paused task, its player is told at once, and
// the work goes on where it was.
func TestPause(t *testing.T) {
	n := startNode(t)
	p := n.push(busyClip(t, 40), "--public", "--wait", "playable")
	other := ffmpeg(t, "a.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 6")
	cell := lastCell(t, p.HLSURL)
	for _, by := range []struct {
		name          string
		pause, resume func()
	}{
		{"REST", func() { n.must("POST", "tasks/"+p.TaskID+":pause", "", nil) }, func() { n.ctl("tasks", "resume", p.TaskID) }},
		{"command", func() { n.ctl("tasks", "pause", "--state", "processing") }, func() { n.must("POST", "tasks:resume", `{"state":"paused"}`, nil) }},
	} {
		n.waitBusy(p)
		since := time.Now()
		by.pause()
		n.quiet("pause by "+by.name, since)
		if now := n.task(p.TaskID); now.State != "paused" {
			t.Fatalf("the task is %s", now.State)
		}
		n.poll("every job to stop", func() bool { return n.count(p.TaskID, "leased") == 0 })
		before := n.cells(p.VideoID)
		if got := ask(t, cell); got.status != http.StatusServiceUnavailable || got.code != "task_paused" || got.took > time.Second || got.retry != "30" {
			t.Errorf("a player was told %+v", got)
		} else {
			t.Logf("a player was told after %s to come back in %s s", got.took.Round(time.Millisecond), got.retry)
		}
		n.push(other, "--wait", "ready") // others' work goes on
		if now := n.cells(p.VideoID); !maps.EqualFunc(before, now, time.Time.Equal) {
			t.Errorf("%d cells when it was paused, %d now", len(before), len(now))
		}
		by.resume()
		n.poll("going on", func() bool { return len(n.cells(p.VideoID)) > len(before) })
		n.wantKept(p.VideoID, before)
	}
	n.waitState(p.VideoID, "ready")
	if now := n.waitTask(p.TaskID, "succeeded"); now.Attempt != 1 {
		t.Errorf("the pauses counted as failures: %+v", now)
	}
	if _, said, err := n.try("tasks", "resume", p.TaskID); err == nil || !strings.Contains(said, "The task is not paused: it is succeeded.") {
		t.Errorf("resuming what is done: %v, %s", err, said)
	}
}

// TestCancel: what is made stays, and can be gone on from.
func TestCancel(t *testing.T) {
	n := startNode(t)
	p := n.push(busyClip(t, 30), "--public", "--wait", "playable")
	cell := lastCell(t, p.HLSURL)
	n.waitBusy(p)
	since := time.Now()
	n.ctl("tasks", "cancel", p.TaskID)
	n.quiet("cancel by command", since)
	if now := n.task(p.TaskID); now.State != "cancelled" {
		t.Errorf("the task is %s", now.State)
	}
	if v := n.video(p.VideoID); v.State != "playable" || v.Error == nil || v.Error.Code != "cancelled" {
		t.Errorf("the video is %s, %+v", v.State, v.Error)
	}
	n.poll("its jobs to go", func() bool { return len(n.jobs(p.TaskID)) == 0 })
	if got := ask(t, cell); got.status != http.StatusGone || got.code != "cell_not_coming" || got.took > time.Second {
		t.Errorf("a player was told %+v", got)
	}
	before := n.cells(p.VideoID)

	n.must("POST", "tasks/"+p.TaskID+":retry", "", nil)
	n.waitBusy(p)
	since = time.Now()
	n.must("POST", "tasks:cancel", `{"video_id":"`+p.VideoID+`"}`, nil)
	n.quiet("cancel by REST", since)
	if _, said, err := n.try("tasks", "cancel", p.TaskID); err == nil || !strings.Contains(said, "The task is cancelled already.") {
		t.Errorf("cancelling twice: %v, %s", err, said)
	}
	n.ctl("tasks", "retry", "--state", "cancelled")
	v := n.waitState(p.VideoID, "ready")
	if v.Error != nil {
		t.Errorf("the video still tells %+v", v.Error)
	}
	n.wantKept(p.VideoID, before)
}

// failOne writes an ffmpeg that fails on the chunk that begins at from, a pattern
// of the shell, until a file exists.
func failOne(t *testing.T, from string) (program, mended string) {
	t.Helper()
	dir := t.TempDir()
	real, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(filepath.Dir(real), "ffprobe"), filepath.Join(dir, "ffprobe")); err != nil {
		t.Fatal(err)
	}
	program, mended = filepath.Join(dir, "ffmpeg"), filepath.Join(dir, "mended")
	script := fmt.Sprintf("#!/bin/bash\ncase \"$*\" in *trim=start=%s,*) [ -e %s ] || { echo out of luck >&2; exit 3; };; esac\nexec %s \"$@\"\n", from, mended, real)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return program, mended
}

// TestRetry: one chunk fails until it is given up; push and the video say so
// alike; the retry, pressed in the console, makes that chunk and nothing else.
func TestRetry(t *testing.T) {
	program, mended := failOne(t, "[78]??????us") // the chunk from 8 to 16 s; the source does not begin at 0
	n := startNode(t, "--set", "transcoder.ffmpeg="+program, "--set", "transcoder.confine=false")
	clip := ffmpeg(t, "a.mkv", "-f lavfi -i testsrc2=size=640x360:rate=25:duration=40 -f lavfi -i sine=frequency=330:sample_rate=48000:duration=40 -c:v mpeg4 -q:v 6 -c:a aac")
	_, said, err := n.try("push", clip, "--public", "--wait", "ready")
	v := n.newest()
	if err == nil || v.State != "playable" || v.Error == nil || !strings.Contains(said, v.Error.Message) {
		t.Fatalf("push: %v\n%s\nthe video is %s, %+v", err, said, v.State, v.Error)
	}
	if !strings.Contains(v.Error.Message, "The picture from 0:08 to 0:16 could not be made") {
		t.Errorf("the video says %q", v.Error.Message)
	}
	now := n.task(v.TaskID)
	if now.State != "failed" || now.Error.Code != v.Error.Code || now.Attempt != 4 {
		t.Errorf("task %+v", now)
	}
	for _, j := range n.tried(v.TaskID) {
		if bad := j.From == 3 && j.Kind == "chunk"; j.State != "done" || bad && (j.Failures != 4 || len(j.Attempts) != 4 || j.Attempts[0].Log != "out of luck\n") || !bad && j.Failures != 0 {
			t.Errorf("job %+v", j)
		}
	}
	if out := n.ctl("tasks", "jobs", v.TaskID, "--log"); strings.Count(out, "out of luck") != 4 {
		t.Errorf("tasks jobs printed\n%s", out)
	}
	before := n.cells(v.ID)
	n.retryInConsole(v.TaskID, mended)
	n.waitState(v.ID, "ready")
	n.wantKept(v.ID, before)
	if now := n.waitTask(v.TaskID, "succeeded"); now.Error != nil {
		t.Errorf("task %+v", now)
	}
	made := 0
	for name := range n.cells(v.ID) {
		if _, ok := before[name]; !ok {
			made++
		}
	}
	if made != 2 { // two segments of one rendition
		t.Errorf("the retry made %d cells, want 2", made)
	}
	expectDecodes(t, "after the retry", n.url+"/v/"+v.ID+"/master.m3u8", 0, true, sourceTimes(t, clip))
}

// TestDrain: a drained worker ends its job and takes no other, though viewers
// wait; then it goes on.
func TestDrain(t *testing.T) {
	n := startNode(t, "--set", "streaming.hold=1s")
	p := n.push(busyClip(t, 60), "--public", "--wait", "playable")
	var w worker
	n.poll("a worker with a chunk", func() bool {
		workers := n.workers()
		i := slices.IndexFunc(workers, func(w worker) bool { return w.Kind == "chunk" && !w.Express && w.TaskID == p.TaskID })
		if i >= 0 {
			w = workers[i]
		}
		return i >= 0
	})
	var now worker
	n.must("POST", "workers/"+w.ID+":drain", "", &now)
	if now.State != "draining" && now.State != "drained" {
		t.Errorf("the worker is %+v", now)
	}
	n.poll("the worker to be drained", func() bool {
		workers := n.workers()
		now := workers[slices.IndexFunc(workers, func(other worker) bool { return other.ID == w.ID })]
		if now.JobID != "" && now.JobID != w.JobID {
			t.Fatalf("the drained worker took %s", now.JobID)
		}
		return now.State == "drained"
	})
	ended := slices.IndexFunc(n.tried(p.TaskID), func(j triedJob) bool { return j.ID == w.JobID && j.State == "done" && j.Failures == 0 })
	if ended < 0 {
		t.Errorf("its job was not finished: %+v", n.tried(p.TaskID))
	}

	n.ctl("transcoder", "drain")
	n.poll("every worker to be drained", func() bool {
		return !slices.ContainsFunc(n.workers(), func(w worker) bool { return w.State != "drained" })
	})
	if v := n.video(p.VideoID); v.State != "playable" {
		t.Fatalf("the video is %s: the clip is too short to prove anything", v.State)
	}
	before, begun := n.cells(p.VideoID), n.begun(p.TaskID)
	if got := ask(t, lastCell(t, p.HLSURL)); got.status != http.StatusServiceUnavailable {
		t.Errorf("a player was told %+v", got)
	}
	if now := n.cells(p.VideoID); !maps.EqualFunc(before, now, time.Time.Equal) || !slices.Equal(begun, n.begun(p.TaskID)) {
		t.Errorf("a drained transcoder went on from %d to %d cells", len(before), len(now))
	}

	if _, said, err := n.try("workers", "drain", "worker-99"); err == nil || !strings.Contains(said, `This node has no worker "worker-99".`) {
		t.Errorf("an unknown worker: %v, %s", err, said)
	}
	n.must("POST", "transcoder:resume", "", nil)
	n.waitState(p.VideoID, "ready")
	if now := n.waitTask(p.TaskID, "succeeded"); now.Attempt != 1 {
		t.Errorf("task %+v", now)
	}
	n.wantKept(p.VideoID, before)
}

// TestQueuePause: running work ends, no other is begun but what a viewer waits
// for, also after a restart.
func TestQueuePause(t *testing.T) {
	n := startNode(t)
	p := n.push(busyClip(t, 60), "--public", "--wait", "playable")
	n.waitBusy(p)
	if out := n.ctl("queue", "pause"); !strings.Contains(out, "paused; streamgate queue resume goes on") {
		t.Errorf("queue pause printed\n%s", out)
	}
	n.poll("running jobs to end", func() bool { return n.count(p.TaskID, "leased") == 0 })
	begun := n.begun(p.TaskID)

	if code := n.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	n.start()
	if out := n.ctl("queue", "show"); !strings.Contains(out, "paused") {
		t.Errorf("after the restart queue show printed\n%s", out)
	}
	var queue struct {
		Paused    bool `json:"paused"`
		JobsReady int  `json:"jobs_ready"`
	}
	n.must("GET", "queue", "", &queue)
	if !queue.Paused || queue.JobsReady == 0 {
		t.Errorf("the queue is %+v", queue)
	}
	before := n.cells(p.VideoID)
	got := ask(t, lastCell(t, p.HLSURL))
	if got.status != http.StatusOK {
		t.Errorf("a player was told %+v", got)
	}
	t.Logf("a cell that a viewer waited for came after %s", got.took.Round(time.Millisecond))
	if made := len(n.cells(p.VideoID)) - len(before); made != 1 {
		t.Errorf("%d cells were made, one was asked for", made)
	}
	for _, id := range n.begun(p.TaskID) {
		if !slices.Contains(begun, id) && !strings.Contains(id, "/demand/") {
			t.Errorf("a paused queue began %s", id)
		}
	}
	n.must("POST", "queue:resume", "", &queue)
	n.waitState(p.VideoID, "ready")
	n.wantKept(p.VideoID, before)
}

// TestStopUnderLoad: SIGTERM while every worker encodes and an upload comes in.
func TestStopUnderLoad(t *testing.T) {
	n := startNode(t)
	var films []pushed
	for i := range 3 {
		films = append(films, n.push(busyClip(t, 24+8*i), "--public", "--wait", "playable"))
	}
	noisy := ffmpeg(t, "noisy.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 4 -movflags +faststart")
	sum := appendNoise(t, noisy, 600<<20)
	push := n.command("push", noisy, "--public", "--wait", "ready", "--json")
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	n.waitReceived(20 << 20)
	before := map[string]map[string]time.Time{}
	running := 0
	for _, p := range films {
		running += n.count(p.TaskID, "leased")
	}
	if running == 0 {
		t.Fatal("no job runs: the stop would prove nothing")
	}
	since := time.Now()
	code := n.stop()
	took := time.Since(since)
	t.Logf("%d jobs were running; the node was gone after %s", running, took.Round(time.Millisecond))
	if code != 0 || took > 65*time.Second { // jobs have a minute, then their leases are given back
		t.Errorf("exit code %d after %s", code, took)
	}
	if left := encoders(t, n.data); len(left) > 0 {
		t.Errorf("encoders outlive the node: %v", left)
	}
	for _, p := range films {
		before[p.VideoID] = n.cells(p.VideoID)
	}

	n.start()
	for _, p := range films {
		n.waitState(p.VideoID, "ready")
		if now := n.waitTask(p.TaskID, "succeeded"); now.Attempt != 1 {
			t.Errorf("the stop counted as a failure: %+v", now)
		}
		for _, j := range n.tried(p.TaskID) {
			if j.State != "done" || j.Failures != 0 {
				t.Errorf("job %+v", j)
			}
		}
		after := n.cells(p.VideoID)
		for name, at := range before[p.VideoID] {
			if !after[name].Equal(at) {
				t.Errorf("cell %s was made again", name)
			}
		}
	}
	if err := push.Wait(); err != nil {
		t.Errorf("push: %v", err)
	}
	if v := n.newest(); v.SHA256 != sum || v.State != "ready" {
		t.Errorf("the upload is %s, SHA-256 %s, the file's %s", v.State, v.SHA256, sum)
	}
}

// TestSecondNode: one data directory is one node's.
func TestSecondNode(t *testing.T) {
	n := startNode(t)
	second := newNode(t)
	args := slices.Clone(second.args)
	args[slices.Index(args, second.data)] = n.data
	since := time.Now()
	out, err := exec.Command(program, args...).CombinedOutput()
	t.Logf("the second node ended after %s", time.Since(since).Round(time.Millisecond))
	last := lastLines(string(out), 1)
	if exitCode(err) != 1 || !strings.Contains(last, "data_dir "+n.data+" is in use by another node; stop that one") {
		t.Errorf("exit code %d:\n%s", exitCode(err), out)
	}
	if code := n.rest("GET", "node", "", nil); code != http.StatusOK {
		t.Errorf("the first node answers with %d", code)
	}
}

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startSmall runs a node whose data directory is a disk of its own with so many
// bytes, of which 100 MiB are to stay free after an upload: workers stop at
// 75 MiB, and what they write at 50 MiB.
func startSmall(t *testing.T, size int64, args ...string) *node {
	t.Helper()
	n := newNode(t, append(args, "--set", "upload.min_free_disk=100MiB")...)
	if err := syscall.Mount("tmpfs", n.data, "tmpfs", 0, fmt.Sprintf("size=%d", size)); errors.Is(err, syscall.EPERM) {
		t.Skip("a disk of its own needs the right to mount (root)")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.cmd != nil {
			n.kill()
		}
		if err := syscall.Unmount(n.data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	n.start()
	return n
}

func (n *node) free() int64 {
	n.t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(n.data, &fs); err != nil {
		n.t.Fatal(err)
	}
	return int64(fs.Bavail) * fs.Bsize
}

// fill leaves so many bytes free on the node's disk, with a file that is not
// the node's; 0 for as good as none.
func (n *node) fill(leave int64) {
	n.t.Helper()
	path := filepath.Join(n.data, "filler")
	var has int64
	if info, err := os.Stat(path); err == nil {
		has = info.Size()
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer file.Close()
	size := max(0, has+n.free()-leave)
	if size <= has {
		err = file.Truncate(size)
	} else {
		err = syscall.Fallocate(int(file.Fd()), 0, 0, size)
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) { // somebody was quicker
		n.t.Fatal(err)
	}
}

// waitSaid waits until the node has said something.
func (n *node) waitSaid(text string) {
	n.t.Helper()
	n.poll(fmt.Sprintf("%q in the log", text), func() bool { return strings.Contains(n.log.String(), text) })
}

const (
	tooFull   = "no job is taken up: the disk is too full"
	roomAgain = "jobs are taken up again: there is room on the disk"
)

// TestFullDisk: without room uploads are refused beforehand and tasks wait;
// with room again everything goes on by itself, and nothing is lost.
func TestFullDisk(t *testing.T) {
	n := startSmall(t, 300<<20)
	clip := busyClip(t, 20)
	n.ctl("queue", "pause")
	var v video
	n.rest("POST", "videos", `{"title":"waits","public":true}`, &v)
	send := func(id string) (status int, code, detail string) {
		t.Helper()
		data, err := os.ReadFile(clip)
		if err != nil {
			t.Fatal(err)
		}
		var said struct{ Code, Detail string }
		status = n.rest("PUT", "videos/"+id+"/source", string(data), &said)
		return status, said.Code, said.Detail
	}
	if status, code, detail := send(v.ID); status >= 300 {
		t.Fatalf("%d %s: %s", status, code, detail)
	}
	v = n.video(v.ID)

	// Below the workers' floor: the task waits, and uploads are refused.
	n.fill(60 << 20)
	n.waitSaid(tooFull)
	n.ctl("queue", "resume")
	var problem struct{ Code, Detail string }
	status := n.rest("POST", "videos", fmt.Sprintf(`{"title":"too much","size_bytes":%d}`, 1<<20), &problem)
	if status != http.StatusInsufficientStorage || problem.Code != "no_space" || !strings.Contains(problem.Detail, "and try again.") {
		t.Errorf("a new upload: %d, %+v", status, problem)
	}
	var late video
	n.rest("POST", "videos", `{"title":"late","public":true}`, &late)
	if status, code, _ := send(late.ID); status != http.StatusInsufficientStorage || code != "no_space" {
		t.Errorf("a source without a size: %d %s", status, code)
	}
	_, said, err := n.try("push", clip)
	if err == nil || !strings.Contains(said, "and try again.") {
		t.Errorf("push: %v, %s", err, said)
	}
	if begun := n.begun(v.TaskID); len(begun) > 0 {
		t.Errorf("a full disk, and jobs begun: %v", begun)
	}

	// Room made: it goes on, and the refused source is taken.
	since := time.Now()
	n.fill(200 << 20)
	n.waitSaid(roomAgain)
	t.Logf("work went on %s after there was room", time.Since(since).Round(time.Millisecond))
	if status, code, detail := send(late.ID); status >= 300 {
		t.Fatalf("again: %d %s: %s", status, code, detail)
	}
	for _, id := range []string{v.ID, late.ID} {
		now := n.waitState(id, "ready")
		if done := n.waitTask(now.TaskID, "succeeded"); done.Attempt != 1 {
			t.Errorf("waiting counted as a failure: %+v", done)
		}
		expectDecodes(t, "after all that", n.url+"/v/"+id+"/master.m3u8", 0, true, sourceTimes(t, clip))
	}
}

// TestNoRoomForTheCells: a task whose cells would not fit is planned and waits.
func TestNoRoomForTheCells(t *testing.T) {
	n := startSmall(t, 300<<20)
	clip := ffmpeg(t, "a.mkv", "-f lavfi -i testsrc2=size=640x360:rate=25:duration=60 -c:v mpeg4 -q:v 8")
	n.ctl("queue", "pause")
	var v video
	n.rest("POST", "videos", `{"title":"waits","public":true}`, &v)
	data, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	var said json.RawMessage
	if status := n.rest("PUT", "videos/"+v.ID+"/source", string(data), &said); status >= 300 {
		t.Fatalf("%d %s", status, said)
	}
	n.fill(76 << 20) // above the floor by less than the cells need
	n.ctl("queue", "resume")
	n.waitSaid("MB of disk, ")
	v = n.video(v.ID)
	if cells := n.cells(v.ID); len(cells) > 0 || v.State != "processing" || v.Duration < 59 {
		t.Errorf("%d cells; the video is %s, planned for %v s", len(cells), v.State, v.Duration)
	}
	if now := n.task(v.TaskID); now.State != "processing" || now.Attempt != 1 {
		t.Errorf("task %+v", now)
	}
	n.fill(200 << 20)
	n.waitState(v.ID, "ready")
	n.waitTask(v.TaskID, "succeeded")
}

// TestDiskFillsUp: the disk fills while chunks are made, to the reserve or to
// the last byte; with room again nothing is lost.
func TestDiskFillsUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave int64
	}{
		{"to the reserve", 40 << 20},
		{"to the last byte", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := startSmall(t, 300<<20)
			clip := busyClip(t, 30)
			p := n.push(clip, "--public", "--wait", "playable")
			n.waitBusy(p)
			n.fill(tt.leave)
			n.waitSaid(tooFull)
			n.poll("running jobs to give up", func() bool {
				n.fill(tt.leave)                                    // what they gave back
				return n.count(p.TaskID, "leased") == 0 || n.idle() // without a byte, no record can say so
			})
			before := n.cells(p.VideoID)
			if now := n.task(p.TaskID); now.State != "processing" {
				t.Fatalf("the task is %s, %+v", now.State, now.Error)
			}
			get(t, p.HLSURL) // what is there still plays
			n.fill(200 << 20)
			n.waitState(p.VideoID, "ready")
			if now := n.waitTask(p.TaskID, "succeeded"); now.Attempt != 1 {
				t.Errorf("the full disk counted as a failure: %+v", now)
			}
			n.wantKept(p.VideoID, before)
			expectDecodes(t, "after all that", p.HLSURL, 0, true, sourceTimes(t, clip))
		})
	}
}

// idle tells whether no worker has a job.
func (n *node) idle() bool {
	n.t.Helper()
	return !slices.ContainsFunc(n.workers(), func(w worker) bool { return w.JobID != "" })
}

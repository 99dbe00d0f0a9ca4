package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cells lists a video's cells on the disk, if there are any, with their times
// of writing.
func (n *node) cells(id string) map[string]time.Time {
	n.t.Helper()
	if n.made != nil {
		return n.made(id)
	}
	found := map[string]time.Time{}
	root := filepath.Join(n.data, "media", "videos", id, "cells")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found[strings.TrimPrefix(path, root)] = info.ModTime()
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

// encoders lists the ffmpeg processes that read from a directory.
func encoders(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range all {
		line, err := os.ReadFile(p)
		state, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "stat"))
		if err == nil && strings.Contains(string(line), "ffmpeg") && strings.Contains(string(line), dir) &&
			!strings.Contains(string(state), ") Z ") {
			found = append(found, p)
		}
	}
	return found
}

// TestKillInTheMiddle kills the node with -9 while it transcodes. The next
// start goes on from there.
func TestKillInTheMiddle(t *testing.T) {
	n := startNode(t)
	clip := ffmpeg(t, "a.mkv", "-f lavfi -i testsrc2=size=640x360:rate=25:duration=60 "+testTone+"-c:v mpeg4 -q:v 6 -c:a aac")
	p := n.push(clip, "--public", "--wait", "playable")
	n.wait(p.VideoID, time.Minute, "a quarter made", func(v video) bool { return v.Progress > 25 })
	n.kill()
	before := n.cells(p.VideoID)
	// The kernel kills them with the node; how soon they are gone is up to it.
	for end := time.Now().Add(10 * time.Second); len(encoders(t, n.data)) > 0; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("encoders outlive the node: %v", encoders(t, n.data))
			break
		}
	}

	n.start()
	v := n.waitState(p.VideoID, "ready")
	if v.TaskID != p.TaskID {
		t.Errorf("task %s was replaced by %s", p.TaskID, v.TaskID)
	}
	after := n.cells(p.VideoID)
	for name, at := range before {
		if !after[name].Equal(at) {
			t.Errorf("cell %s was made twice", name)
		}
	}
	if len(after) <= len(before) {
		t.Errorf("%d cells before, %d after: the kill came too late to prove anything", len(before), len(after))
	}
	expectDecodes(t, "after the crash", p.HLSURL, 0, true, sourceTimes(t, clip))
}

// TestStopInOrder ends a node that is transcoding: exit code 0, nothing lost.
func TestStopInOrder(t *testing.T) {
	n := startNode(t)
	p := n.push(longClip(t), "--public", "--wait", "playable")
	if code := n.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := encoders(t, n.data); len(left) > 0 {
		t.Errorf("encoders outlive the node: %v", left)
	}
	if _, err := os.Stat(filepath.Join(n.data, "run", "admin.sock")); err == nil {
		t.Error("the admin socket is left")
	}
	n.start()
	v := n.video(p.VideoID)
	n.wait(p.VideoID, time.Minute, "going on", func(now video) bool { return now.Progress > v.Progress })
}

// TestPushResumes kills push and node in the middle of an upload, and runs the
// same push again.
func TestPushResumes(t *testing.T) {
	n := startNode(t)
	clip := ffmpeg(t, "a.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 4 -movflags +faststart")
	sum := appendNoise(t, clip, 600<<20)

	push := n.command("push", clip, "--public", "--wait", "ready", "--json")
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	n.waitReceived(50 << 20)
	if err := push.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := push.Wait(); err == nil {
		t.Fatal("push ended before it was killed: the file is too small")
	}
	n.kill()

	n.start()
	p := n.push(clip, "--public", "--wait", "ready")
	if list := strings.Count(n.ctl("videos", "list", "--json"), `"title"`); list != 1 {
		t.Errorf("%d videos: push began again instead of going on", list)
	}
	if v := n.video(p.VideoID); v.SHA256 != sum {
		t.Errorf("SHA-256 is %s, the file's %s", v.SHA256, sum)
	}
}

// TestPushOutlivesARestart restarts the node under a push that is running.
func TestPushOutlivesARestart(t *testing.T) {
	n := startNode(t)
	clip := ffmpeg(t, "a.mp4", testPicture+testTone+x264+"-g 50 -c:a aac -t 4 -movflags +faststart")
	sum := appendNoise(t, clip, 600<<20)
	push := n.command("push", clip, "--public", "--wait", "ready", "--json")
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	n.waitReceived(50 << 20)
	n.kill()
	n.start()
	if err := push.Wait(); err != nil {
		t.Fatalf("push: %v", err)
	}
	if v := n.newest(); v.SHA256 != sum {
		t.Errorf("SHA-256 is %s, the file's %s", v.SHA256, sum)
	}
}

// appendNoise makes an MP4 larger by a box that players pass over, and returns
// the file's SHA-256.
func appendNoise(t *testing.T, path string, size uint32) string {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	head := append(binary.BigEndian.AppendUint32(nil, size), "free"...)
	noise := mathrand.NewChaCha8([32]byte{7})
	if _, err := io.Copy(file, io.MultiReader(bytes.NewReader(head), io.LimitReader(noise, int64(size)-8))); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, 1<<40)); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// waitReceived waits until the node has that much of an upload on its disk.
func (n *node) waitReceived(size int64) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 30*time.Second)
	defer cancel()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		files, _ := filepath.Glob(filepath.Join(n.data, "uploads", "*"))
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Size() > size {
				return
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			n.t.Fatal("the upload does not grow")
		}
	}
}

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// folderOf makes files, by their names, each with its content.
func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	mkv  = "\x1a\x45\xdf\xa3 webm, or so"
	junk = "\x00\x01\x02\xff\xfe no magic"
)

func TestVideosIn(t *testing.T) {
	dir := folderOf(t, map[string]string{
		"b.mkv": mkv, "a.TS": junk, "sub/c.mov": junk, "no extension": mkv,
		"readme.txt": "text", "code.ts": "export const x = 1", "cover.mp4": "\x89PNG\r\n\x1a\n", "empty.mp4": "", ".hidden.mp4": junk,
		"data.bin": junk, ".git/d.mp4": junk,
	})
	if err := os.Symlink(filepath.Join(dir, "b.mkv"), filepath.Join(dir, "link.mkv")); err != nil {
		t.Fatal(err)
	}
	for _, recursive := range []bool{false, true} {
		skipped := map[string]string{}
		got, err := videosIn(dir, recursive, func(name, why string) { skipped[filepath.Base(name)] = why })
		want := []string{"a.TS", "b.mkv", "no extension"}
		if recursive {
			want = append(want, "sub/c.mov")
		}
		for i := range want {
			want[i] = filepath.Join(dir, want[i])
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v, not %v", err, got, want)
		}
		for name, why := range map[string]string{
			"readme.txt": "text/plain", "code.ts": "text/plain", "cover.mp4": "image/png", "empty.mp4": "empty", ".hidden.mp4": "dot",
			"data.bin": "no video", "link.mkv": "no regular file",
		} {
			if !strings.Contains(skipped[name], why) {
				t.Errorf("%s was skipped because %q, not %q", name, skipped[name], why)
			}
		}
		if len(skipped) != 7 {
			t.Errorf("skipped %v", skipped)
		}
	}
}

func TestPushSeveral(t *testing.T) {
	f := startFake(t)
	dir := folderOf(t, map[string]string{"one.mkv": mkv, "sub/two.mp4": junk, "notes.txt": "text"})
	got := f.ctl(t, "push", dir, "--recursive", "--json")
	if got.code != 0 || strings.Count(got.out, `"id"`) != 2 || !strings.Contains(got.out, `"videos": [`) ||
		!strings.Contains(got.stderr, "notes.txt: it is no video but text/plain.") {
		t.Errorf("a folder: %+v", got)
	}
	got = f.ctl(t, "push", filepath.Join(dir, "one.mkv"), "/no/such.mp4", filepath.Join(dir, "sub/two.mp4"))
	if got.code != 1 || !containsAll(got.out, "one.mkv", "sub/two.mp4", "TOKEN-v3", "TOKEN-v4") ||
		!containsAll(got.stderr, "/no/such.mp4", "1 of 3 files were not pushed") {
		t.Errorf("one of three is not there: %+v", got)
	}
	got = f.ctl(t, "push", folderOf(t, map[string]string{"notes.txt": "text"}), "--recursive")
	if got.code != 1 || !strings.Contains(got.stderr, "there is no video in") {
		t.Errorf("no video: %+v", got)
	}
	if titles := []string{f.asked[0].GetTitle(), f.asked[1].GetTitle()}; !slices.Equal(titles, []string{"one", "two"}) {
		t.Errorf("titles %q", titles)
	}
}

// TestPushPipe: of unknown length, through the node's troubles; around the
// border of a piece.
func TestPushPipe(t *testing.T) {
	for _, size := range []int{1, pieceBytes, pieceBytes + 1} {
		f := startFake(t)
		data := bytes.Repeat([]byte("stream!"), size/7+1)[:size]
		calls := 0
		f.patch = troubled(f, &calls)
		got := f.pipe(t, data, "push", "-", "--json")
		if got.code != 0 || !bytes.Equal(f.received["uv1"], data) || f.asked[0].GetTitle() != "Standard input" || f.asked[0].GetSizeBytes() != 0 {
			t.Errorf("%d bytes: %d arrived; %d %s", size, len(f.received["uv1"]), got.code, got.stderr)
		}
		if calls < 3 {
			t.Errorf("%d bytes: no trouble in %d requests", size, calls)
		}
	}
}

// TestPushPipeToANode: a real node takes a source of unknown length.
func TestPushPipeToANode(t *testing.T) {
	dir, _ := startNode(t)
	data, err := os.ReadFile(clip(t))
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	e := &env{name: "streamgate", stdin: bytes.NewReader(data), stdout: &stdout, stderr: &stderr}
	code := run(t.Context(), e, []string{"push", "-", "--title", "From a pipe", "--json", "--data", dir})
	sum := sha256.Sum256(data)
	if code != 0 || !containsAll(stdout.String(), `"state": "ready"`, `"title": "From a pipe"`, `"sha256": "`+hex.EncodeToString(sum[:])+`"`) {
		t.Errorf("%d %s%s", code, stdout.String(), stderr.String())
	}
}

func TestPushPipeFailures(t *testing.T) {
	f := startFake(t)
	if got := f.pipe(t, nil, "push", "-"); got.code != 1 || got.stderr != "streamgate: standard input is empty\n" || len(f.asked) > 0 {
		t.Errorf("nothing: %+v", got)
	}
	f.patch = fullDisk
	if got := f.pipe(t, []byte("film"), "push", "-"); got.code != 1 || !strings.Contains(got.stderr, "The disk is full.") || len(f.videos) > 0 {
		t.Errorf("a full disk: %+v; %d videos stay", got, len(f.videos))
	}
}

func TestPushNamedPipe(t *testing.T) {
	f := startFake(t)
	fifo := filepath.Join(t.TempDir(), "camera.mkv")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(fifo, []byte("film"), 0) }()
	got := f.ctl(t, "push", fifo)
	if err := <-wrote; err != nil || got.code != 0 || string(f.received["uv1"]) != "film" || f.asked[0].GetTitle() != "camera" {
		t.Errorf("%v; %+v; received %q", err, got, f.received["uv1"])
	}
}

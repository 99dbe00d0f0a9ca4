package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWatcherDue: a file is due once it is as it was for a while, and only once
// unless it changes.
func TestWatcherDue(t *testing.T) {
	dir, state := folderOf(t, map[string]string{"notes.txt": "text"}), filepath.Join(t.TempDir(), "state")
	film := filepath.Join(dir, "film.mkv")
	var skipped []string
	open := func() *watcher {
		taken, err := openTaken(state, dir)
		if err != nil {
			t.Fatal(err)
		}
		return &watcher{folder: dir, quiet: quietFor, taken: taken, skip: func(name, _ string) { skipped = append(skipped, filepath.Base(name)) }}
	}
	w, now := open(), time.Unix(1000, 0)
	look := func(after time.Duration, want ...string) {
		t.Helper()
		now = now.Add(after)
		if got, err := w.due(now); err != nil || !slices.Equal(got, want) {
			t.Fatalf("due: %v, %v; not %v", got, err, want)
		}
	}
	grow := func(text string, at int64) {
		t.Helper()
		if err := errors.Join(os.WriteFile(film, []byte(text), 0o600), os.Chtimes(film, time.Time{}, time.Unix(at, 0))); err != nil {
			t.Fatal(err)
		}
	}
	look(0)
	grow(mkv, 1)
	look(time.Hour)
	grow(mkv+mkv, 2)
	look(quietFor)
	look(quietFor - 1)
	look(1, film)
	look(time.Hour, film) // it was not taken
	if err := w.taken.add(film, w.seen[film].look); err != nil {
		t.Fatal(err)
	}
	look(time.Hour)
	if _, err := openTaken(state, dir); err == nil || !strings.Contains(err.Error(), "has "+dir+" already") {
		t.Errorf("a second watcher: %v", err)
	}
	w.taken.close()
	w = open() // the command is run again
	look(time.Hour)
	look(time.Hour)
	grow(mkv, 3)
	look(0)
	look(quietFor, film)
	if err := os.Remove(film); err != nil {
		t.Fatal(err)
	}
	look(0)
	if len(w.taken.files) > 0 {
		t.Errorf("what is gone is remembered: %v", w.taken.files)
	}
	if !slices.Equal(skipped, []string{"notes.txt", "notes.txt"}) { // once for each run
		t.Errorf("skipped %q", skipped)
	}
}

// TestWatcherRun: what the node refuses is over, what may pass is tried again.
func TestWatcherRun(t *testing.T) {
	dir := folderOf(t, map[string]string{"bad.mkv": mkv, "good.mkv": mkv, "later.mkv": mkv})
	taken, err := openTaken(filepath.Join(t.TempDir(), "state"), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.close()
	w := &watcher{folder: dir, taken: taken, skip: func(string, string) {}}
	ctx, cancel := context.WithCancel(t.Context())
	var took []string
	err = w.run(ctx, time.Millisecond, func(name string) error {
		name = filepath.Base(name)
		took = append(took, name)
		switch name {
		case "bad.mkv":
			return errVideoFailed
		case "later.mkv":
			cancel()
			return errors.New("away")
		}
		return nil
	})
	if err != nil || !slices.Equal(took, []string{"bad.mkv", "good.mkv", "later.mkv"}) || len(taken.files) != 2 {
		t.Errorf("%v; took %q; taken %v", err, took, taken.files)
	}
}

// TestPushWatch is the command as it is called.
func TestPushWatch(t *testing.T) {
	f := startFake(t)
	got := f.ctl(t, "push", "--watch", filepath.Join(f.dir, "none"))
	if got.code != 1 || !strings.Contains(got.stderr, "none") {
		t.Errorf("no folder: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got = runContext(ctx, t, []string{"HOME=" + f.dir}, "push", "--watch", t.TempDir(), "--data", f.dir)
	if got.code != 0 || !strings.Contains(got.stderr, "Watching ") {
		t.Errorf("interrupted: %+v", got)
	}
	if got := runCommand(t, nil, "push", "--watch", t.TempDir(), "--data", f.dir); got.code != 1 || !strings.Contains(got.stderr, "set XDG_STATE_HOME or HOME") {
		t.Errorf("no home: %+v", got)
	}
}

// TestPushWatchTakes: what comes into the folder is pushed, and told as it is.
func TestPushWatchTakes(t *testing.T) {
	f := startFake(t)
	dir := folderOf(t, map[string]string{"film.mkv": mkv, "notes.txt": "text"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		e := &env{name: "streamgate", vars: []string{"HOME=" + f.dir}, stdout: in, stderr: io.Discard}
		code <- run(ctx, e, []string{"push", "--watch", dir, "--json", "--data", f.dir})
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !containsAll(lines.Text(), `"id":"v1"`, `"title":"film"`, `"state":"ready"`) {
		t.Errorf("it printed %q", lines.Text())
	}
	cancel()
	if got := <-code; got != 0 || string(f.received["uv1"]) != mkv || len(f.videos) != 1 {
		t.Errorf("code %d, %d videos", got, len(f.videos))
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// events answers GET /api/v1/events: the first stream breaks after one event,
// the second stays until its client goes.
func (f *fakeNode) events(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.streams++
	n := f.streams
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ": connected\n\n")
	if n == 1 {
		fmt.Fprint(w, "id: 1\nevent: video.changed\ndata: {\"video_id\":\"v1\",\"state\":\"ready\"}\n\n: heartbeat\n\nid: 2\nevent: video.ch")
		return
	}
	fmt.Fprint(w, "id: 3\nevent: upload.progress\ndata: {\"video_id\":\"v1\"}\n\nid: 4\nevent: video.changed\ndata: {\"video_id\":\"v2\"}\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		args string
		ids  string
	}{
		{"--count 3", "1 3 4"},
		{"--count 2 --type video.", "1 4"},
		{"--count 2 --video v1", "1 3"},
	} {
		f := startFake(t)
		got := f.ctl(t, append([]string{"events", "--json"}, strings.Fields(c.args)...)...)
		var ids []string
		for line := range strings.Lines(got.out) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil || len(e.Data) == 0 {
				t.Errorf("%q: %v", line, err)
			}
			ids = append(ids, e.ID)
		}
		if got.code != 0 || strings.Join(ids, " ") != c.ids || !strings.Contains(got.stderr, "Connected again") {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
	if got := startFake(t).ctl(t, "events", "--count", "1"); got.code != 0 || !containsAll(got.out, "video.changed", `{"video_id":"v1"`) {
		t.Errorf("for people: %+v", got)
	}
	if got := runCommand(t, nil, "events", "--data", t.TempDir()); got.code != 1 || !strings.Contains(got.stderr, "no node is running") {
		t.Errorf("no node: %+v", got)
	}
}

// TestEventsOfANode: what a real node tells, until the interruption, which is
// no failure.
func TestEventsOfANode(t *testing.T) {
	dir, _ := startNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, &env{name: "streamgate", stdout: in, stderr: io.Discard}, []string{"events", "--json", "--data", dir})
		in.Close()
	}()
	pushing, stop := context.WithCancel(t.Context())
	pushed := make(chan struct{})
	go func() { // until one is heard of: the stream may not be open yet
		defer close(pushed)
		for pushing.Err() == nil {
			runContext(pushing, t, []string{"HOME=" + dir}, "videos", "delete", "none", "--data", dir)
			if _, err := newClient(dir).library.CreateVideo(pushing, videoNamed("A film")); err != nil {
				return
			}
		}
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("no event came")
	}
	var e event
	if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Event != "video.changed" || e.videoID() == "" {
		t.Errorf("%s: %v", lines.Text(), err)
	}
	stop()
	<-pushed
	cancel()
	go io.Copy(io.Discard, out)
	if got := <-code; got != 0 {
		t.Errorf("interrupted, it ended with %d", got)
	}
}

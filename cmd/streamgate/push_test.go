package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tus is the part of tus 1.0.0 that push needs. patch may spoil a request.
func (f *fakeNode) tus(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	video := f.videos[strings.TrimPrefix(id, "u")]
	switch {
	case r.Header.Get("Tus-Resumable") != "1.0.0":
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	case r.Method == http.MethodPatch && f.patch != nil && !f.patch(w, r):
		return
	case video == nil:
		w.WriteHeader(http.StatusGone)
		return
	}
	if r.Method == http.MethodPatch {
		if r.Header.Get("Upload-Offset") != strconv.Itoa(len(f.received[id])) {
			w.WriteHeader(http.StatusConflict)
			return
		}
		data, _ := io.ReadAll(r.Body) // what has arrived counts
		f.received[id] = append(f.received[id], data...)
		if whole := r.Header.Get("Upload-Length"); whole != "" && video.SizeBytes > 0 {
			w.WriteHeader(http.StatusBadRequest) // tusd takes it once
			return
		} else if whole != "" {
			video.SizeBytes, _ = strconv.ParseFloat(whole, 64)
		}
		if len(f.received[id]) == int(video.SizeBytes) {
			video.State = "processing"
		}
	}
	if video.SizeBytes == 0 {
		w.Header().Set("Upload-Defer-Length", "1")
	}
	w.Header().Set("Upload-Offset", strconv.Itoa(len(f.received[id])))
	w.WriteHeader(http.StatusNoContent)
}

// createTus makes an upload of unknown length.
func (f *fakeNode) createTus(w http.ResponseWriter, r *http.Request) {
	_, text, _ := strings.Cut(r.Header.Get("Upload-Metadata"), "video_id ")
	id, err := base64.StdEncoding.DecodeString(text)
	if err != nil || r.Header.Get("Upload-Defer-Length") != "1" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Location", "https://public.example/tv/api/v1/uploads/u"+string(id))
	w.WriteHeader(http.StatusCreated)
}

// troubled is a patch that fails in three ways, of a video v1.
func troubled(f *fakeNode, calls *int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		switch *calls++; *calls {
		case 1: // the connection breaks; the length that came with it counts
			if whole := r.Header.Get("Upload-Length"); whole != "" {
				f.videos["v1"].SizeBytes, _ = strconv.ParseFloat(whole, 64)
			}
			part := make([]byte, r.ContentLength/2)
			n, _ := io.ReadFull(r.Body, part)
			f.received["uv1"] = append(f.received["uv1"], part[:n]...)
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			return false
		}
		return true
	}
}

func fullDisk(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusInsufficientStorage)
	json.NewEncoder(w).Encode(map[string]string{"detail": "The disk is full.", "code": "disk_full"})
	return false
}

// sample writes a file larger than one PATCH.
func sample(t *testing.T) (string, []byte) {
	t.Helper()
	data := bytes.Repeat([]byte("stream"), pieceBytes/4)
	path := filepath.Join(t.TempDir(), "my film.mp4")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestPush(t *testing.T) {
	f := startFake(t)
	path, data := sample(t)
	got := f.ctl(t, "push", path, "--json", "--priority", "70", "--profile", "small")
	var video struct {
		ID, State string
		TaskID    string `json:"task_id"`
		WatchURL  string `json:"watch_url"`
		HLSURL    string `json:"hls_url"`
		DASHURL   string `json:"dash_url"`
	}
	if err := json.Unmarshal([]byte(got.out), &video); got.code != 0 || err != nil || video.ID != "v1" || video.State != "ready" ||
		video.TaskID != "tv1" || video.WatchURL != "http://x/s/TOKEN-v1/" || video.HLSURL != "http://x/s/TOKEN-v1/master.m3u8" ||
		video.DASHURL != "http://x/s/TOKEN-v1/manifest.mpd" {
		t.Errorf("%+v", got)
	}
	if !bytes.Equal(f.received["uv1"], data) {
		t.Error("the bytes differ")
	}
	asked := f.asked[0]
	if asked.GetTitle() != "my film" || asked.GetSizeBytes() != float64(len(data)) || asked.GetPriority() != 70 || asked.GetProfile() != "small" {
		t.Errorf("asked for %+v", asked)
	}
	if f.videos["v1"].State != "ready" {
		t.Errorf("it did not wait: %s", f.videos["v1"].State)
	}
	// Pushed again, it is another video.
	if again := f.ctl(t, "push", path, "--public", "--title", "T", "--wait", "playable"); again.code != 0 ||
		!containsAll(again.out, "http://x/watch/v2", "http://x/v/v2/master.m3u8") || f.videos["v2"].State != "playable" || f.asked[1].Priority != nil {
		t.Errorf("%+v", again)
	}
}

// TestPushRidesOverTrouble: cut connections, locks, wrong offsets and 5xx.
func TestPushRidesOverTrouble(t *testing.T) {
	f := startFake(t)
	path, data := sample(t)
	calls := 0
	f.patch = func(w http.ResponseWriter, r *http.Request) bool {
		calls++
		switch calls {
		case 1: // the connection breaks after some bytes
			part := make([]byte, 1000)
			n, _ := io.ReadFull(r.Body, part)
			f.received["uv1"] = append(f.received["uv1"], part[:n]...)
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusLocked)
			return false
		case 3: // somebody else has moved the upload on
			f.received["uv1"] = append(f.received["uv1"], data[1000:2000]...)
		case 4:
			w.WriteHeader(http.StatusServiceUnavailable)
			return false
		}
		return true
	}
	if got := f.ctl(t, "push", path, "--json"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if !bytes.Equal(f.received["uv1"], data) {
		t.Errorf("the bytes differ after %d requests", calls)
	}
}

// TestPushResumes: interrupted and run again, it continues the same upload.
func TestPushResumes(t *testing.T) {
	f := startFake(t)
	path, data := sample(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.patch = func(http.ResponseWriter, *http.Request) bool {
		if len(f.received["uv1"]) > 0 {
			cancel()
			panic(http.ErrAbortHandler)
		}
		return true
	}
	vars := []string{"XDG_STATE_HOME=" + t.TempDir()}
	got := runContext(ctx, t, vars, "push", path, "--data", f.dir)
	if got.code != 1 || !strings.Contains(got.stderr, "run the same command again to continue") {
		t.Errorf("interrupted: %+v", got)
	}
	if n := len(f.received["uv1"]); n == 0 || n == len(data) {
		t.Fatalf("%d bytes arrived before the interruption", n)
	}
	f.patch = nil
	if got := runCommand(t, vars, "push", path, "--data", f.dir, "--json"); got.code != 0 || !strings.Contains(got.out, `"id": "v1"`) {
		t.Errorf("again: %+v", got)
	}
	if len(f.videos) != 1 || !bytes.Equal(f.received["uv1"], data) {
		t.Errorf("%d videos", len(f.videos))
	}
}

// TestPushContinuesWithARule: who may watch is what the last command line says.
func TestPushContinuesWithARule(t *testing.T) {
	f := startFake(t)
	path, _ := sample(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.patch = func(http.ResponseWriter, *http.Request) bool {
		cancel()
		panic(http.ErrAbortHandler)
	}
	vars := []string{"XDG_STATE_HOME=" + t.TempDir()}
	runContext(ctx, t, vars, "push", path, "--public", "--data", f.dir)
	if !f.videos["v1"].Public {
		t.Fatal("the video is not public")
	}
	f.patch = nil
	rule := filepath.Join(t.TempDir(), "rule.json")
	if err := os.WriteFile(rule, []byte(`{"wallets":["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runCommand(t, vars, "push", path, "--rule", rule, "--data", f.dir)
	if v := f.videos["v1"]; got.code != 0 || len(f.videos) != 1 || v.Public || !v.Gated {
		t.Errorf("%+v; the video is public: %v, gated: %v", got, v.Public, v.Gated)
	}
	got = runCommand(t, vars, "push", path, "--rule", rule, "--public", "--data", f.dir)
	if got.code != 2 {
		t.Errorf("both at once: %+v", got)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`[`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := runCommand(t, vars, "push", path, "--rule", bad, "--data", f.dir); got.code != 1 || !strings.Contains(got.stderr, "is not a JSON object") {
		t.Errorf("no JSON: %+v", got)
	}
}

// TestPushAfterExpiry: a remembered upload that is gone is begun anew.
func TestPushAfterExpiry(t *testing.T) {
	f := startFake(t)
	path, data := sample(t)
	f.patch = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/uv1") {
			w.WriteHeader(http.StatusGone)
			return false
		}
		return true
	}
	if got := f.ctl(t, "push", path, "--json"); got.code != 0 || !strings.Contains(got.out, `"id": "v2"`) || !bytes.Equal(f.received["uv2"], data) {
		t.Errorf("%+v", got)
	}
}

func TestPushFailures(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	film, _ := sample(t)
	for _, c := range []struct {
		name, file, ends string
		patch            func(http.ResponseWriter, *http.Request) bool
		want             string
	}{
		{name: "not a video", file: film, ends: "failed", want: "The file is no video. (not_a_video)"},
		{name: "cancelled", file: film, ends: "cancelled", want: "was cancelled"},
		{name: "empty", file: empty, want: "is empty"},
		{name: "a folder", file: t.TempDir(), want: "is a folder, not a file; push the videos in it with --recursive"},
		{name: "full disk", file: film, want: "The disk is full.", patch: fullDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startFake(t)
			f.ends, f.patch = c.ends, c.patch
			got := f.ctl(t, "push", c.file)
			if got.code != 1 || !strings.Contains(got.stderr, c.want) || got.out != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestPushFailureAsJSON: a program learns the node's own code.
func TestPushFailureAsJSON(t *testing.T) {
	film := filepath.Join(folderOf(t, map[string]string{"film.mkv": mkv}), "film.mkv")
	for _, c := range []struct {
		ends, code string
		status     int
		patch      func(http.ResponseWriter, *http.Request) bool
	}{{ends: "failed", code: "not_a_video"}, {code: "disk_full", status: http.StatusInsufficientStorage, patch: fullDisk}} {
		f := startFake(t)
		f.ends, f.patch = c.ends, c.patch
		got := f.ctl(t, "push", film, "--json")
		lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
		var p problem
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &p); err != nil || got.code != 1 || got.out != "" || p.Code != c.code || p.Status != c.status {
			t.Errorf("%s: %+v, %v", c.code, got, err)
		}
	}
}

func TestBackoffGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cause, begun := newBackoff(), errors.New("still away"), time.Now()
		for {
			if err := b.wait(t.Context(), cause); err != nil {
				if !errors.Is(err, cause) {
					t.Errorf("got %v", err)
				}
				break
			}
		}
		if took := time.Since(begun); took < patience-longDelay || took > patience {
			t.Errorf("gave up after %v", took)
		}
	})
}

func TestProgressBar(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&env{stderr: &out, terminal: true})
	p.begin("Uploading", 100)
	p.moved(100)
	p.note("Done.")
	if text := out.String(); !containsAll(text, "Uploading", strings.Repeat("█", barWidth), "100%", "\r\x1b[KDone.\n") {
		t.Errorf("%q", text)
	}
}

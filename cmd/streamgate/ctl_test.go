package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
)

// fakeNode implements the services that the commands call, on a Unix socket
// in a data directory. Videos pass through their states as they are asked for.
type fakeNode struct {
	rpc.UnimplementedLibraryHandler
	rpc.UnimplementedTranscoderHandler
	rpc.UnimplementedAccessHandler

	dir     string
	uploads *fakeUploads

	mu       sync.Mutex
	videos   map[string]*rpc.Video
	order    []string
	received map[string][]byte // by upload id
	keys     []*rpc.Key
	ends     string // the state in which videos end; "" is ready
	patch    func(w http.ResponseWriter, r *http.Request) bool
	asked    []*rpc.CreateVideoRequest
	streams  int // of events
}

func startFake(t *testing.T) *fakeNode {
	t.Helper()
	f := &fakeNode{dir: t.TempDir(), videos: map[string]*rpc.Video{}, received: map[string][]byte{}}
	f.uploads = &fakeUploads{node: f, at: map[string]int{}}
	mux := http.NewServeMux()
	mux.Handle(rpc.NewLibraryHandler(f))
	mux.Handle(rpc.NewUploadsHandler(f.uploads))
	mux.Handle(rpc.NewTranscoderHandler(f))
	mux.Handle(rpc.NewAccessHandler(f))
	mux.HandleFunc("/api/v1/uploads/{id}", f.tus)
	mux.HandleFunc("POST /api/v1/uploads", f.createTus)
	mux.HandleFunc("/api/v1/events", f.events)
	if err := os.Mkdir(filepath.Join(f.dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", filepath.Join(f.dir, "run", "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(mux)
	srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
	return f
}

func (f *fakeNode) CreateVideo(_ context.Context, r *rpc.CreateVideoRequest) (*rpc.Video, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	id := fmt.Sprintf("v%d", len(f.videos)+1)
	v := &rpc.Video{Id: id, Title: r.GetTitle(), State: "uploading", Public: r.GetPublic(), SizeBytes: r.GetSizeBytes(),
		UploadUrl: "https://public.example/tv/api/v1/uploads/u" + id, CreatedAt: timestamppb.Now()}
	f.videos[id], f.order = v, append([]string{id}, f.order...)
	return clone(v), nil
}

// GetVideo moves the video on by one state.
func (f *fakeNode) GetVideo(_ context.Context, r *rpc.GetVideoRequest) (*rpc.Video, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.videos[r.GetId()]
	if !ok {
		return nil, rpc.Errorf(connect.CodeNotFound, "video_not_found", "There is no video %q.", r.GetId())
	}
	end := f.ends
	if end == "" {
		end = "ready"
	}
	switch v.State {
	case "processing":
		v.State = "playable"
		if end == "failed" {
			v.State, v.Error = "failed", &rpc.Failure{Code: "not_a_video", Message: "The file is no video."}
		}
	case "playable":
		if end == "cancelled" {
			v.Error = &rpc.Failure{Code: "cancelled", Message: "The transcode was cancelled."}
			break
		}
		v.State = end
	}
	v.TaskId = "t" + v.Id
	if v.State == "uploading" {
		v.TaskId = ""
	}
	if v.Public {
		v.HlsUrl, v.DashUrl, v.WatchUrl = "http://x/v/"+v.Id+"/master.m3u8", "http://x/v/"+v.Id+"/manifest.mpd", "http://x/watch/"+v.Id
	}
	return clone(v), nil
}

func clone(v *rpc.Video) *rpc.Video {
	return &rpc.Video{Id: v.Id, Title: v.Title, State: v.State, Public: v.Public, SizeBytes: v.SizeBytes, UploadUrl: v.UploadUrl,
		TaskId: v.TaskId, HlsUrl: v.HlsUrl, DashUrl: v.DashUrl, WatchUrl: v.WatchUrl, Error: v.Error, CreatedAt: v.CreatedAt}
}

func (f *fakeNode) ListVideos(_ context.Context, r *rpc.ListVideosRequest) (*rpc.ListVideosResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := f.order
	if i := slices.Index(ids, r.GetCursor()); i >= 0 {
		ids = ids[i:]
	}
	out := &rpc.ListVideosResponse{}
	for i, id := range ids {
		if i == min(2, int(r.GetLimit())) { // small pages
			out.NextCursor = id
			break
		}
		out.Videos = append(out.Videos, clone(f.videos[id]))
	}
	return out, nil
}

func (f *fakeNode) DeleteVideo(_ context.Context, r *rpc.DeleteVideoRequest) (*rpc.DeleteVideoResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.videos, r.GetId())
	f.order = slices.DeleteFunc(f.order, func(id string) bool { return id == r.GetId() })
	return &rpc.DeleteVideoResponse{}, nil
}

func (f *fakeNode) GetTask(_ context.Context, r *rpc.GetTaskRequest) (*rpc.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := "processing"
	if f.ends == "cancelled" {
		state = "cancelled"
	}
	eta := 12.5
	return &rpc.Task{Id: r.GetId(), VideoId: "v1", State: state, Speed: 2.5, Eta: &eta, Progress: 40}, nil
}

func (f *fakeNode) ListTasks(ctx context.Context, _ *rpc.ListTasksRequest) (*rpc.ListTasksResponse, error) {
	t, err := f.GetTask(ctx, &rpc.GetTaskRequest{Id: "t1"})
	return &rpc.ListTasksResponse{Tasks: []*rpc.Task{t}}, err
}

// change answers a bulk call: it changes t1, and refuses what else is named.
func (f *fakeNode) change(r *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	out := &rpc.ChangeTasksResponse{Matched: 1, Changed: 1}
	if len(r.Ids) > 0 {
		out.Matched = int32(len(r.Ids))
	}
	for _, id := range r.Ids {
		if id != "t1" {
			out.Refused = append(out.Refused, &rpc.RefusedChange{Id: id, Error: &rpc.Failure{Code: "task_over", Message: "It is over."}})
		}
	}
	return out, nil
}

func (f *fakeNode) CancelTasks(_ context.Context, r *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return f.change(r)
}

func (f *fakeNode) PrioritiseTasks(_ context.Context, r *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	if r.GetPriority() != 90 {
		return nil, rpc.Invalid("priority_missing", "No priority.")
	}
	return f.change(r)
}

func (f *fakeNode) ListJobs(context.Context, *rpc.ListJobsRequest) (*rpc.ListJobsResponse, error) {
	failure := &rpc.Failure{Code: "transcode_failed", Message: "It failed."}
	return &rpc.ListJobsResponse{Jobs: []*rpc.Job{{
		Id: "t1/chunk/000003", Kind: "chunk", State: "done", FromSegment: 3, ToSegment: 9, Failures: 1, Error: failure,
		Attempts: []*rpc.Attempt{{Worker: "worker-1", Error: failure, Log: "out of luck"}},
	}}}, nil
}

func (f *fakeNode) PauseQueue(context.Context, *rpc.PauseQueueRequest) (*rpc.QueueState, error) {
	return &rpc.QueueState{Paused: true, TasksWaiting: 7}, nil
}

func (f *fakeNode) ListWorkers(context.Context, *rpc.ListWorkersRequest) (*rpc.ListWorkersResponse, error) {
	return &rpc.ListWorkersResponse{Workers: []*rpc.Worker{{
		Id: "worker-1", State: "active", TaskId: "t1", JobId: "t1/chunk/000003", Kind: "chunk", FromSegment: 3, ToSegment: 9,
		Progress: 50, Speed: 2.5, CpuSeconds: 3, ResidentBytes: 2e8,
	}, {Id: "worker-2", State: "idle"}}}, nil
}

func (f *fakeNode) DrainWorker(_ context.Context, r *rpc.DrainWorkerRequest) (*rpc.Worker, error) {
	return &rpc.Worker{Id: r.Id, State: "draining"}, nil
}

func (f *fakeNode) SetVideoRule(_ context.Context, r *rpc.SetVideoRuleRequest) (*rpc.VideoRule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.videos[r.GetVideoId()].Public, f.videos[r.GetVideoId()].Gated = false, true
	return &rpc.VideoRule{VideoId: r.GetVideoId(), Rule: r.GetRule()}, nil
}

func (f *fakeNode) CreateSession(_ context.Context, r *rpc.CreateSessionRequest) (*rpc.Session, error) {
	base := "http://x/s/TOKEN-" + r.GetVideoId()
	return &rpc.Session{WatchUrl: base + "/", HlsUrl: base + "/master.m3u8", DashUrl: base + "/manifest.mpd"}, nil
}

func (f *fakeNode) CreateKey(_ context.Context, r *rpc.CreateKeyRequest) (*rpc.Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := &rpc.Key{Id: "k1", Name: r.GetName(), Scope: r.GetScope(), CreatedAt: timestamppb.Now()}
	f.keys = append(f.keys, k)
	return &rpc.Key{Id: k.Id, Secret: "sg_k1_SECRET"}, nil
}

func (f *fakeNode) ListKeys(context.Context, *rpc.ListKeysRequest) (*rpc.ListKeysResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &rpc.ListKeysResponse{Keys: slices.Clone(f.keys)}, nil
}

func (f *fakeNode) RevokeKey(_ context.Context, r *rpc.RevokeKeyRequest) (*rpc.RevokeKeyResponse, error) {
	if r.GetId() != "k1" {
		return nil, rpc.Errorf(connect.CodeNotFound, "key_not_found", "There is no key %q.", r.GetId())
	}
	return &rpc.RevokeKeyResponse{}, nil
}

func (f *fakeNode) ctl(t *testing.T, args ...string) outcome {
	t.Helper()
	return runCommand(t, []string{"HOME=" + f.dir}, append(args, "--data", f.dir)...)
}

// pipe is ctl with something on standard input.
func (f *fakeNode) pipe(t *testing.T, in []byte, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	e := &env{name: "streamgate", vars: []string{"HOME=" + f.dir}, stdin: bytes.NewReader(in), stdout: &stdout, stderr: &stderr}
	return outcome{run(t.Context(), e, append(args, "--data", f.dir)), stdout.String(), stderr.String()}
}

func videoNamed(title string) *rpc.CreateVideoRequest { return &rpc.CreateVideoRequest{Title: title} }

func TestKeys(t *testing.T) {
	f := startFake(t)
	if got := f.ctl(t, "keys", "create", "--scope", "uploader", "--name", "camera"); got.out != "sg_k1_SECRET\n" || got.code != 0 {
		t.Errorf("create: %+v", got)
	}
	if got := f.ctl(t, "keys", "list"); !containsAll(got.out, "k1", "uploader", "camera") || strings.Contains(got.out, "SECRET") {
		t.Errorf("list: %+v", got)
	}
	if got := f.ctl(t, "keys", "revoke", "k1"); got.code != 0 || !strings.Contains(got.out, "Revoked key k1") {
		t.Errorf("revoke: %+v", got)
	}
	if got := f.ctl(t, "keys", "revoke", "k9"); got.code != 1 || got.stderr != "streamgate: There is no key \"k9\".\n" {
		t.Errorf("revoke an unknown one: %+v", got)
	}
}

func TestVideosAndTasks(t *testing.T) {
	f := startFake(t)
	for i := range 5 {
		if _, err := f.CreateVideo(t.Context(), &rpc.CreateVideoRequest{Title: fmt.Sprint("film ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"videos list", []string{"ID", "v1", "v2", "v3", "v4", "v5", "film 0", "uploading"}},
		{"videos list --json", []string{`"videos": [`, `"id": "v5"`, `"created_at"`}},
		{"videos show v2", []string{"film 1", "uploading"}},
		{"videos show v2 --json", []string{`"title": "film 1"`, `"upload_url"`}},
		{"videos delete v2", []string{"Deleted video v2"}},
		{"tasks list", []string{"t1", "processing", "40%", "2.5×", "12s"}},
		{"tasks list --json", []string{`"tasks"`, `"eta": 12.5`}},
		{"tasks show t1", []string{"t1", "v1", "processing"}},
		{"tasks cancel t1", []string{"Task t1 is cancelled"}},
		{"tasks cancel --state queued", []string{"1 of 1 tasks cancelled"}},
		{"tasks cancel --state queued --json", []string{`"changed": 1`, `"refused": []`}},
		{"tasks priority 90 t1", []string{"Task t1 is changed"}},
		{"tasks jobs t1", []string{"chunk", "3-8", "transcode_failed: It failed.", "worker-1"}},
		{"tasks jobs t1 --log", []string{"out of luck"}},
		{"queue pause", []string{"paused; streamgate queue resume", "7"}},
		{"workers list", []string{"worker-1", "active", "chunk 3-8", "50%", "2.5×", "3.0 s", "200 MB", "worker-2", "idle"}},
		{"workers drain worker-1", []string{"Worker worker-1 is draining."}},
	} {
		got := f.ctl(t, strings.Fields(c.args)...)
		if got.code != 0 || !containsAll(got.out, c.want...) {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
	if got := f.ctl(t, "tasks", "cancel", "t1", "t2"); got.code != 1 || !containsAll(got.stderr, "t2: It is over.", "1 tasks were not cancelled") {
		t.Errorf("one of two: %+v", got)
	}
	for _, args := range []string{"tasks pause", "tasks priority", "tasks priority many t1", "tasks priority 101 t1", "queue pause now"} {
		if got := f.ctl(t, strings.Fields(args)...); got.code != 2 || got.stderr == "" {
			t.Errorf("%s: %+v", args, got)
		}
	}
	if got := f.ctl(t, "videos", "show", "v2"); got.code != 1 || !strings.Contains(got.stderr, `There is no video "v2".`) {
		t.Errorf("a deleted one: %+v", got)
	}
	if got := f.ctl(t, "videos", "list", "--limit", "3", "--json"); strings.Count(got.out, `"id"`) != 3 {
		t.Errorf("--limit 3: %s", got.out)
	}
	var list struct{ Videos []json.RawMessage }
	if err := json.Unmarshal([]byte(f.ctl(t, "videos", "list", "--json", "--limit", "0").out), &list); err != nil || len(list.Videos) < 4 {
		t.Errorf("--limit 0: %d videos, %v", len(list.Videos), err)
	}
}

func containsAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

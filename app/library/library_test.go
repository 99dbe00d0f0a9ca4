package library

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
	"streamgate/store/files"
	"streamgate/store/storetest"
)

// uploads and transcoder are the two peers.
type uploads struct {
	rpc.UnimplementedUploadsHandler
	err error
	got *rpc.CreateUploadRequest
}

func (u *uploads) CreateUpload(_ context.Context, req *rpc.CreateUploadRequest) (*rpc.Upload, error) {
	u.got = req
	return &rpc.Upload{Id: "up1", VideoId: req.VideoId}, u.err
}

type transcoder struct {
	rpc.UnimplementedTranscoderHandler
	err       error
	cancelled []string
	state     string // of every task; "" is of none
}

func (tr *transcoder) GetTask(_ context.Context, req *rpc.GetTaskRequest) (*rpc.Task, error) {
	return tr.task(req.Id)
}

func (tr *transcoder) PauseTask(_ context.Context, req *rpc.PauseTaskRequest) (*rpc.Task, error) {
	tr.state = "paused"
	return tr.task(req.Id)
}

func (tr *transcoder) ResumeTask(_ context.Context, req *rpc.ResumeTaskRequest) (*rpc.Task, error) {
	tr.state = "processing"
	return tr.task(req.Id)
}

func (tr *transcoder) task(id string) (*rpc.Task, error) {
	if tr.state == "" && tr.err == nil {
		return nil, rpc.NotFound(store.ErrNotFound, "task", id)
	}
	return &rpc.Task{Id: id, State: tr.state}, tr.err
}

func (tr *transcoder) CancelTask(_ context.Context, req *rpc.CancelTaskRequest) (*rpc.Task, error) {
	tr.cancelled = append(tr.cancelled, req.Id)
	return &rpc.Task{}, tr.err
}

type fixture struct {
	*Service
	uploads    *uploads
	transcoder *transcoder
}

func setup(t *testing.T) fixture {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	objects, err := files.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{uploads: &uploads{}, transcoder: &transcoder{}}
	f.Service = New(Config{
		Catalog: db.Catalog(), Objects: objects, Uploads: f.uploads, Transcoder: f.transcoder,
		Profiles: []string{"default", "small"}, Log: slog.New(slog.DiscardHandler),
	})
	return f
}

func as(t *testing.T, scope rpc.Scope) context.Context {
	return rpc.WithIdentity(t.Context(), rpc.Identity{KeyID: "k", Scope: scope})
}

func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	if reason, _ := rpc.Reason(err); reason != want {
		t.Errorf("error %v, want reason %q", err, want)
	}
}

func TestCreateVideo(t *testing.T) {
	f := setup(t)
	ctx := rpc.WithBaseURL(as(t, rpc.ScopeUploader), "http://tv.example")
	v, err := f.CreateVideo(ctx, &rpc.CreateVideoRequest{Title: "  A film ", Public: true})
	if err != nil {
		t.Fatal(err)
	}
	if v.Title != "A film" || v.State != "uploading" || v.Priority != 50 || v.Profile != "default" ||
		v.UploadUrl != "http://tv.example/api/v1/uploads" || v.WatchUrl != "http://tv.example/watch/"+v.Id ||
		v.HlsUrl != "http://tv.example/v/"+v.Id+"/master.m3u8" || v.PosterUrl != "" || f.uploads.got != nil {
		t.Errorf("CreateVideo = %v", v)
	}

	zero := int32(0)
	sum := strings.Repeat("AB", 32)
	v, err = f.CreateVideo(ctx, &rpc.CreateVideoRequest{
		Title: "B", Profile: "small", Priority: &zero, SizeBytes: 1 << 40, Sha256: sum,
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.Priority != 0 || v.Profile != "small" || v.UploadUrl != "http://tv.example/api/v1/uploads/up1" ||
		v.HlsUrl != "" || v.SizeBytes != 0 {
		t.Errorf("CreateVideo = %v", v)
	}
	if got := f.uploads.got; got.VideoId != v.Id || got.SizeBytes != 1<<40 || got.Sha256 != strings.ToLower(sum) {
		t.Errorf("CreateUpload got %v", got)
	}
}

func TestCreateVideoInvalid(t *testing.T) {
	f := setup(t)
	below, above := int32(-1), int32(101)
	for _, tt := range []struct {
		req  *rpc.CreateVideoRequest
		want string
	}{
		{&rpc.CreateVideoRequest{Title: " "}, "invalid_title"},
		{&rpc.CreateVideoRequest{Title: strings.Repeat("é", 201)}, "invalid_title"},
		{&rpc.CreateVideoRequest{Title: "a\x00b"}, "invalid_title"},
		{&rpc.CreateVideoRequest{Title: "t", Priority: &below}, "invalid_priority"},
		{&rpc.CreateVideoRequest{Title: "t", Priority: &above}, "invalid_priority"},
		{&rpc.CreateVideoRequest{Title: "t", Profile: "none"}, "unknown_profile"},
		{&rpc.CreateVideoRequest{Title: "t", SizeBytes: -1}, "invalid_size"},
		{&rpc.CreateVideoRequest{Title: "t", SizeBytes: 1.5}, "invalid_size"},
		{&rpc.CreateVideoRequest{Title: "t", SizeBytes: math.NaN()}, "invalid_size"},
		{&rpc.CreateVideoRequest{Title: "t", SizeBytes: math.Inf(1)}, "invalid_size"},
		{&rpc.CreateVideoRequest{Title: "t", Sha256: "abc"}, "invalid_sha256"},
		{&rpc.CreateVideoRequest{Title: "t", Sha256: strings.Repeat("g", 64)}, "invalid_sha256"},
	} {
		_, err := f.CreateVideo(as(t, rpc.ScopeUploader), tt.req)
		wantReason(t, err, tt.want)
	}
	if _, err := f.CreateVideo(as(t, rpc.ScopeUploader), &rpc.CreateVideoRequest{Title: strings.Repeat("é", 200)}); err != nil {
		t.Error(err)
	}
}

// A size that uploads refuse leaves no video behind.
func TestCreateVideoRefusedSize(t *testing.T) {
	f := setup(t)
	f.uploads.err = rpc.StatusErrorf(413, connect.CodeInvalidArgument, "too_large", "Too large.")
	_, err := f.CreateVideo(as(t, rpc.ScopeUploader), &rpc.CreateVideoRequest{Title: "t", SizeBytes: 9})
	wantReason(t, err, "too_large")
	if list, err := f.ListVideos(as(t, rpc.ScopeRead), &rpc.ListVideosRequest{}); err != nil || len(list.Videos) != 0 {
		t.Errorf("left %v, %v", list, err)
	}
}

// plan is of four segments and two renditions.
func plan() store.Plan {
	return store.Plan{
		Timeline: store.Timeline{Timescale: 1000, Bounds: []int64{0, 1000, 2000, 3000, 4000}},
		Renditions: []store.Rendition{
			{Name: "360p", Kind: store.KindVideo, Codecs: "avc1.64001e", Width: 640, Height: 360, Bandwidth: 900_000},
			{Name: "audio", Kind: store.KindAudio, Codecs: "mp4a.40.2", Copy: true},
		},
	}
}

func TestGetVideo(t *testing.T) {
	f := setup(t)
	err := errors.Join(
		f.Catalog.Videos.Create(t.Context(), store.Video{
			ID: "v1", State: store.VideoPlayable, Public: true, Poster: true, SizeBytes: 7, SHA256: "ab",
			DurationSeconds: 4, TaskID: "t1", Failure: &store.Failure{Code: "c", Message: "m"},
		}),
		f.Catalog.Plans.SavePlan(t.Context(), "v1", plan()),
		f.Catalog.Plans.MarkCells(t.Context(), "v1", store.Cell{Rendition: "360p", Segment: 2}, store.Cell{Rendition: "audio"}, store.Cell{Rendition: "audio", Segment: 1}),
	)
	if err != nil {
		t.Fatal(err)
	}
	v, err := f.GetVideo(as(t, rpc.ScopeRead), &rpc.GetVideoRequest{Id: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	if v.Progress != 37.5 || len(v.Renditions) != 2 || v.Renditions[0].Progress != 25 || v.Renditions[1].Progress != 50 {
		t.Errorf("progress %v, renditions %v", v.Progress, v.Renditions)
	}
	if v.SizeBytes != 7 || v.Error.GetCode() != "c" || v.TaskId != "t1" || v.UploadUrl != "" ||
		v.PosterUrl != "/v/v1/poster.jpg" || v.DashUrl != "/v/v1/manifest.mpd" {
		t.Errorf("GetVideo = %v", v)
	}
	// Segments 0 and 1 lack the picture, 2 lacks the sound.
	if len(v.Made) != 0 {
		t.Errorf("made %v", v.Made)
	}
	err = f.Catalog.Plans.MarkCells(t.Context(), "v1", store.Cell{Rendition: "360p", Segment: 0}, store.Cell{Rendition: "360p", Segment: 1})
	if err != nil {
		t.Fatal(err)
	}
	v, err = f.GetVideo(as(t, rpc.ScopeRead), &rpc.GetVideoRequest{Id: "v1"})
	if err != nil || len(v.Made) != 1 || v.Made[0].Start != 0 || v.Made[0].End != 2 {
		t.Errorf("made %v, %v", v.Made, err)
	}
	list, err := f.ListVideos(as(t, rpc.ScopeRead), &rpc.ListVideosRequest{})
	if err != nil || list.Videos[0].Progress != v.Progress || list.Videos[0].Renditions != nil || list.Videos[0].Made != nil {
		t.Errorf("listed %v, %v", list, err)
	}
	_, err = f.GetVideo(as(t, rpc.ScopeRead), &rpc.GetVideoRequest{Id: "v2"})
	wantReason(t, err, "video_not_found")
}

func TestListVideos(t *testing.T) {
	f := setup(t)
	for _, id := range []string{"a", "b", "c"} {
		if err := f.Catalog.Videos.Create(t.Context(), store.Video{ID: id, State: store.VideoReady}); err != nil {
			t.Fatal(err)
		}
	}
	ctx := as(t, rpc.ScopeRead)
	var ids []string
	for req := (&rpc.ListVideosRequest{Limit: 2, State: "ready"}); ; {
		page, err := f.ListVideos(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Videos {
			ids = append(ids, v.Id)
		}
		if page.NextCursor == "" {
			break
		}
		req.Cursor = page.NextCursor
	}
	if !slices.Equal(ids, []string{"c", "b", "a"}) {
		t.Errorf("listed %v", ids)
	}
	for want, req := range map[string]*rpc.ListVideosRequest{
		"invalid_limit":  {Limit: 201},
		"invalid_state":  {State: "done"},
		"invalid_cursor": {Cursor: "made up"},
	} {
		_, err := f.ListVideos(ctx, req)
		wantReason(t, err, want)
	}
}

func TestUpdateVideo(t *testing.T) {
	f := setup(t)
	v, err := f.CreateVideo(as(t, rpc.ScopeUploader), &rpc.CreateVideoRequest{Title: "old"})
	if err != nil {
		t.Fatal(err)
	}
	yes, title, empty := true, "new", ""
	v, err = f.UpdateVideo(as(t, rpc.ScopeOperator), &rpc.UpdateVideoRequest{Id: v.Id, Public: &yes})
	if err != nil || !v.Public || v.Title != "old" || v.UpdatedAt.AsTime().Before(v.CreatedAt.AsTime()) {
		t.Errorf("UpdateVideo = %v, %v", v, err)
	}
	v, err = f.UpdateVideo(as(t, rpc.ScopeOperator), &rpc.UpdateVideoRequest{Id: v.Id, Title: &title})
	if err != nil || !v.Public || v.Title != "new" {
		t.Errorf("UpdateVideo = %v, %v", v, err)
	}
	_, err = f.UpdateVideo(as(t, rpc.ScopeOperator), &rpc.UpdateVideoRequest{Id: v.Id, Title: &empty})
	wantReason(t, err, "invalid_title")
	_, err = f.UpdateVideo(as(t, rpc.ScopeOperator), &rpc.UpdateVideoRequest{Id: "none"})
	wantReason(t, err, "video_not_found")
}

func TestDeleteVideo(t *testing.T) {
	f := setup(t)
	c := f.Catalog
	_, err := store.PutBytes(t.Context(), f.Objects, store.CellKey("v1", "360p", 0), []byte("x"), store.Replace)
	err = errors.Join(err,
		c.Videos.Create(t.Context(), store.Video{ID: "v1", State: store.VideoPlayable}),
		c.Plans.SavePlan(t.Context(), "v1", plan()),
		c.Tasks.Create(t.Context(), store.Task{ID: "t1", VideoID: "v1", State: store.TaskSucceeded}),
		c.Tasks.Create(t.Context(), store.Task{ID: "t2", VideoID: "v1", State: store.TaskProcessing}),
		c.Tasks.Create(t.Context(), store.Task{ID: "t3", VideoID: "v2", State: store.TaskProcessing}),
	)
	if err != nil {
		t.Fatal(err)
	}

	f.transcoder.err = errors.New("not reachable")
	if _, err := f.DeleteVideo(as(t, rpc.ScopeOperator), &rpc.DeleteVideoRequest{Id: "v1"}); !errors.Is(err, f.transcoder.err) {
		t.Errorf("a failed cancellation was passed over: %v", err)
	}
	f.transcoder.err = rpc.Errorf(connect.CodeFailedPrecondition, "task_finished", "It has just ended.")
	if _, err := f.DeleteVideo(as(t, rpc.ScopeOperator), &rpc.DeleteVideoRequest{Id: "v1"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.transcoder.cancelled, []string{"t2", "t2"}) {
		t.Errorf("cancelled %v", f.transcoder.cancelled)
	}
	objects, err := storetest.List(t.Context(), f.Objects, store.VideoPrefix("v1"))
	if err != nil || len(objects) != 0 {
		t.Errorf("objects left: %v, %v", objects, err)
	}
	if _, err := c.Plans.Plan(t.Context(), "v1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("plan left: %v", err)
	}
	_, err = f.DeleteVideo(as(t, rpc.ScopeOperator), &rpc.DeleteVideoRequest{Id: "v1"})
	wantReason(t, err, "video_not_found")
}

// What a worker writes after its video was removed is swept as well, by any node,
// once nobody can write any more; not of a video that is still there.
func TestSweepLate(t *testing.T) {
	f := setup(t)
	ctx := rpc.System(t.Context())
	begun := now()
	for _, id := range []string{"v1", "v2"} {
		if err := f.Catalog.Videos.Create(ctx, store.Video{ID: id, State: store.VideoReady}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.DeleteVideo(ctx, &rpc.DeleteVideoRequest{Id: "v1"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Catalog.Removals.Create(ctx, store.Removal{VideoID: "v2", Removed: begun}); err != nil { // and the node died
		t.Fatal(err)
	}
	for _, id := range []string{"v1", "v2"} {
		if _, err := store.PutBytes(ctx, f.Objects, store.CellKey(id, "360p", 0), []byte("x"), store.Replace); err != nil {
			t.Fatal(err)
		}
	}
	left := func(id string) int {
		t.Helper()
		objects, err := storetest.List(ctx, f.Objects, store.VideoPrefix(id))
		if err != nil {
			t.Fatal(err)
		}
		return len(objects)
	}
	other := New(f.Config) // the node that removed it may be gone
	if err := other.sweepLate(ctx, begun.Add(lateWriters-time.Second)); err != nil || left("v1") != 1 {
		t.Errorf("while a worker may write: %v, %d objects", err, left("v1"))
	}
	for range 2 {
		if err := other.sweepLate(ctx, now().Add(lateWriters)); err != nil || left("v1") != 0 || left("v2") != 1 {
			t.Errorf("later: %v, %d and %d objects", err, left("v1"), left("v2"))
		}
	}
	if removals, _, err := f.Catalog.Removals.List(ctx, store.Query{}); err != nil || len(removals) != 1 || removals[0].VideoID != "v2" {
		t.Errorf("the removals are %v: %v", removals, err)
	}
}

// A removal that was cut short goes on at any node: it is in the record.
func TestRemovalCutShort(t *testing.T) {
	f := setup(t)
	ctx := rpc.System(t.Context())
	if err := f.Catalog.Videos.Create(ctx, store.Video{ID: "v1", State: store.VideoReady}); err != nil {
		t.Fatal(err)
	}
	objects := storetest.Faulty(f.Objects)
	objects.Break(func(op storetest.Op, _ string) (fault storetest.Fault) {
		if op == storetest.OpDelete {
			fault.Err = store.ErrUnavailable
		}
		return fault
	})
	cut := f.Config
	cut.Objects = objects
	if _, err := New(cut).DeleteVideo(ctx, &rpc.DeleteVideoRequest{Id: "v1"}); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("the deletion says %v", err)
	}
	if _, err := f.GetVideo(ctx, &rpc.GetVideoRequest{Id: "v1"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("the video is still shown: %v", err)
	}
	if err := New(f.Config).removeDue(ctx, now()); err != nil {
		t.Error(err)
	}
	if _, err := f.Catalog.Videos.Get(ctx, "v1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its record stays: %v", err)
	}
}

func TestScopes(t *testing.T) {
	f := setup(t)
	for name, tt := range map[string]struct {
		need rpc.Scope
		call func(context.Context) error
	}{
		"CreateVideo": {rpc.ScopeUploader, func(ctx context.Context) error {
			_, err := f.CreateVideo(ctx, &rpc.CreateVideoRequest{Title: "t"})
			return err
		}},
		"GetVideo": {rpc.ScopeRead, func(ctx context.Context) error {
			_, err := f.GetVideo(ctx, &rpc.GetVideoRequest{})
			return err
		}},
		"ListVideos": {rpc.ScopeRead, func(ctx context.Context) error {
			_, err := f.ListVideos(ctx, &rpc.ListVideosRequest{})
			return err
		}},
		"UpdateVideo": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := f.UpdateVideo(ctx, &rpc.UpdateVideoRequest{})
			return err
		}},
		"DeleteVideo": {rpc.ScopeOperator, func(ctx context.Context) error {
			_, err := f.DeleteVideo(ctx, &rpc.DeleteVideoRequest{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for scope := rpc.ScopeNone; scope <= rpc.ScopeAdmin; scope++ {
				reason, _ := rpc.Reason(tt.call(as(t, scope)))
				refused := reason == "unauthenticated" || reason == "permission_denied"
				if refused != (scope < tt.need) {
					t.Errorf("scope %q: reason %q", scope, reason)
				}
			}
		})
	}
}

// Who has seen a task's end sees the video's, though its record tells later.
func TestAVideoNeverContradictsItsTask(t *testing.T) {
	broke := &store.Failure{Code: "transcode_failed", Message: "It broke."}
	for _, tt := range []struct {
		name        string
		video       store.VideoState
		task        store.TaskState
		failure     *store.Failure
		state, code string
	}{
		{"failed", store.VideoProcessing, store.TaskFailed, broke, "failed", "transcode_failed"},
		{"cancelled", store.VideoProcessing, store.TaskCancelled, nil, "failed", "cancelled"},
		{"cancelled while it plays", store.VideoPlayable, store.TaskCancelled, nil, "playable", "cancelled"},
		{"cancelled when all was made", store.VideoReady, store.TaskCancelled, nil, "ready", ""},
		{"failed when all was made", store.VideoReady, store.TaskFailed, broke, "ready", ""},
		{"under way", store.VideoProcessing, store.TaskProcessing, nil, "processing", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := setup(t)
			err := errors.Join(
				f.Catalog.Videos.Create(t.Context(), store.Video{ID: "v1", State: tt.video, TaskID: "t1"}),
				f.Catalog.Tasks.Create(t.Context(), store.Task{ID: "t1", VideoID: "v1", State: tt.task, Failure: tt.failure}),
				f.Catalog.Videos.Create(t.Context(), store.Video{ID: "v2", State: tt.video, TaskID: "t2"}), // its task is gone
			)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.GetVideo(as(t, rpc.ScopeRead), &rpc.GetVideoRequest{Id: "v1"})
			if err != nil || got.State != tt.state || got.Error.GetCode() != tt.code {
				t.Errorf("got %v, %v", got, err)
			}
			list, err := f.ListVideos(as(t, rpc.ScopeRead), &rpc.ListVideosRequest{})
			if err != nil || len(list.Videos) != 2 || list.Videos[1].State != tt.state || list.Videos[0].State != string(tt.video) {
				t.Errorf("listed %v, %v", list, err)
			}
		})
	}
}

// What is being made for a video that plays is listed after what is shown, and
// marked.
func TestTheNextEditionIsListed(t *testing.T) {
	f := setup(t)
	row := func(name string) store.Rendition {
		return store.Rendition{Name: name, Kind: store.KindVideo, Timescale: 1}
	}
	plan := store.Plan{
		Timeline:   store.Timeline{Timescale: 1, Bounds: []int64{0, 4, 8}, Frames: []int{0, 4, 8}},
		Renditions: []store.Rendition{row("720p"), row("360p")},
		Next:       &store.Edition{TaskID: "t2", Renditions: []store.Rendition{row("720p-2"), row("360p")}},
		Retired:    []store.Retired{{Rendition: row("480p")}},
	}
	ctx := t.Context()
	for _, err := range []error{
		f.Catalog.Videos.Create(ctx, store.Video{ID: "v1", State: store.VideoReady}),
		f.Catalog.Plans.SavePlan(ctx, "v1", plan),
		f.Catalog.Plans.MarkCells(ctx, "v1", store.Cell{Rendition: "720p"}, store.Cell{Rendition: "720p", Segment: 1},
			store.Cell{Rendition: "360p"}, store.Cell{Rendition: "360p", Segment: 1}, store.Cell{Rendition: "720p-2", Segment: 1, Bytes: 7}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	v, err := f.GetVideo(as(t, rpc.ScopeRead), &rpc.GetVideoRequest{Id: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	cells, err := f.GetCells(as(t, rpc.ScopeRead), &rpc.GetCellsRequest{VideoId: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Renditions) != 3 || len(cells.Renditions) != 3 || v.Progress != 100 {
		t.Fatalf("%d and %d renditions, progress %v", len(v.Renditions), len(cells.Renditions), v.Progress)
	}
	for i, want := range []struct {
		name     string
		next     bool
		progress float64
	}{{"720p", false, 100}, {"360p", false, 100}, {"720p-2", true, 50}} {
		r, c := v.Renditions[i], cells.Renditions[i]
		if r.Name != want.name || r.Next != want.next || r.Progress != want.progress || c.Name != want.name || c.Next != want.next {
			t.Errorf("row %d: %v and %v, want %+v", i, r, c, want)
		}
	}
}

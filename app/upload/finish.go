package upload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// taskNotQueued is the code of an upload that is safe and whose task is not yet.
const taskNotQueued = "task_not_queued"

// outcome is what became of a finished upload.
type outcome struct {
	VideoID   string `json:"video_id"`
	TaskID    string `json:"task_id"`
	SHA256    string `json:"sha256"`
	SizeBytes int64  `json:"size_bytes"`
}

// finish hands a whole upload over: its bytes become the video's source, the
// video says so, a task is queued, and last the upload's record is closed. It
// starts from whatever an earlier try has left, so that it can be repeated
// until it succeeds. An upload that can never succeed (wrong checksum, the
// video has a source or is gone) is discarded.
//
// The caller holds the upload's lock. The work goes on when the client has
// gone: its bytes are here.
func (s *Service) finish(ctx context.Context, id string) (out outcome, err error) {
	ctx = rpc.System(context.WithoutCancel(ctx))
	rec, err := s.Catalog.Uploads.Get(ctx, id)
	if err != nil {
		return outcome{}, rpc.NotFound(fmt.Errorf("read the upload: %w", err), "upload", id)
	}
	ctx, span := s.beginSpan(ctx, rec)
	defer func() { endSpan(span, out, err) }()
	release, err := s.locks.hold(ctx, "video/"+rec.VideoID) // two uploads may end at once
	if err != nil {
		return outcome{}, err
	}
	defer release()

	video, err := s.handOver(ctx, rec)
	if err != nil {
		return outcome{}, err
	}
	span.AddEvent("source stored")
	taskID, err := s.submit(ctx, video.ID)
	if err != nil {
		s.Log.Warn("a source waits for its task", "video", video.ID, "err", err)
		return outcome{}, rpc.Errorf(connect.CodeUnavailable, taskNotQueued,
			"The source is safe but its task could not be queued yet; the node does that as soon as it can. Do not send it again.")
	}
	if err := s.complete(ctx, rec); err != nil {
		return outcome{}, err
	}
	return outcome{VideoID: video.ID, TaskID: taskID, SHA256: video.SHA256, SizeBytes: video.SizeBytes}, nil
}

// handOver gives the upload's bytes to its video.
func (s *Service) handOver(ctx context.Context, rec store.Upload) (store.Video, error) {
	video, err := s.Catalog.Videos.Get(ctx, rec.VideoID)
	if isNotFound(err) {
		return video, s.reject(ctx, rec, rpc.NotFound(err, "video", rec.VideoID))
	}
	if err != nil {
		return video, fmt.Errorf("read the video: %w", err)
	}
	sum, err := s.secure(ctx, rec, video)
	if err != nil {
		return video, err
	}
	video, err = s.Catalog.Videos.Update(ctx, video.ID, func(v *store.Video) error {
		if v.State == store.VideoUploading {
			v.State, v.SHA256, v.SizeBytes, v.Updated = store.VideoProcessing, sum, rec.SizeBytes, s.now()
		}
		return nil
	})
	if isNotFound(err) { // deleted just now
		if derr := s.Objects.Delete(ctx, store.VideoPrefix(rec.VideoID)); derr != nil {
			return video, fmt.Errorf("remove the source of a deleted video: %w", derr)
		}
		return video, s.reject(ctx, rec, rpc.NotFound(err, "video", rec.VideoID))
	}
	if err != nil {
		return video, fmt.Errorf("give the video its source: %w", err)
	}
	events.VideoChanged.Announce(s.Bus, s.Log, events.Video{VideoID: video.ID, State: string(video.State)})
	return video, nil
}

// secure makes the bytes the video's source object and returns their SHA-256.
// No file means that an earlier try has done it.
func (s *Service) secure(ctx context.Context, rec store.Upload, video store.Video) (string, error) {
	_, err := os.Stat(s.spool.path(rec.ID))
	if errors.Is(err, fs.ErrNotExist) && rec.SizeBytes > 0 {
		return s.adopted(ctx, rec, video)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look at received bytes: %w", err)
	}
	if video.State != store.VideoUploading {
		if rec.SizeBytes == 0 && video.SizeBytes == 0 {
			return video.SHA256, nil // an empty file: nothing to tell the two cases apart, nor any need
		}
		return "", s.reject(ctx, rec, sourceExists(video.ID))
	}
	sum, err := s.sum(rec)
	if err != nil {
		return "", err
	}
	for _, want := range []string{rec.WantSHA256, video.WantSHA256} {
		if want != "" && want != sum {
			return "", s.reject(ctx, rec, wholeMismatch(want, sum))
		}
	}
	if _, err := s.Objects.Adopt(ctx, store.SourceKey(video.ID), s.spool.path(rec.ID)); err != nil {
		return "", s.writeError(fmt.Errorf("store the source: %w", err))
	}
	return sum, nil
}

// sum is the file's SHA-256: the one that ran along, else computed now. It
// makes the file of an empty upload, which has had no byte to make it.
func (s *Service) sum(rec store.Upload) (string, error) {
	if l := s.liveOf(rec.ID); l.n == rec.SizeBytes && l.n > 0 {
		return hex.EncodeToString(l.sum.Sum(nil)), nil
	}
	f, err := os.OpenFile(s.spool.path(rec.ID), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("open received bytes: %w", err)
	}
	defer f.Close()
	return sumOf(io.LimitReader(f, rec.SizeBytes), rec.SizeBytes)
}

// adopted returns the SHA-256 of a source that an earlier try has stored.
func (s *Service) adopted(ctx context.Context, rec store.Upload, video store.Video) (string, error) {
	src, obj, err := s.Objects.Get(ctx, store.SourceKey(video.ID))
	if err != nil && !isNotFound(err) {
		return "", fmt.Errorf("look for the source: %w", err)
	}
	if err == nil {
		defer src.Close()
	}
	if err != nil || obj.Size != rec.SizeBytes {
		s.Log.Error("the bytes of an upload are lost", "video", video.ID)
		return "", s.reject(ctx, rec, uploadGone())
	}
	if video.State != store.VideoUploading {
		return video.SHA256, nil
	}
	return sumOf(src, obj.Size)
}

// sumOf is the SHA-256 of exactly n bytes.
func sumOf(r io.Reader, n int64) (string, error) {
	h := newSHA256()
	m, err := io.CopyBuffer(h, r, make([]byte, bufferSize))
	if err == nil && m != n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("compute the SHA-256: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// submit queues the video's task. If a task exists the step was done before,
// even if that task has ended since.
func (s *Service) submit(ctx context.Context, videoID string) (string, error) {
	tasks, _, err := s.Catalog.Tasks.List(ctx, store.Query{Parent: videoID, Limit: 1})
	if err != nil {
		return "", fmt.Errorf("look for the task: %w", err)
	}
	if len(tasks) > 0 {
		return tasks[0].ID, nil
	}
	task, err := s.Transcoder.CreateTask(ctx, &rpc.CreateTaskRequest{VideoId: videoID})
	if err != nil {
		return "", fmt.Errorf("create the task: %w", err)
	}
	return task.GetId(), nil
}

// complete closes the record; after this nothing is repeated.
func (s *Service) complete(ctx context.Context, rec store.Upload) error {
	s.dropParts(ctx, rec)
	_, err := s.Catalog.Uploads.Update(ctx, rec.ID, func(u *store.Upload) error {
		u.State, u.Offset, u.Expires = store.UploadComplete, u.SizeBytes, s.now().Add(s.ExpireAfter)
		if u.Fetch != nil {
			over := *u.Fetch
			u.Fetch, over.URL = &over, "" // its secrets are needed no more
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("close the upload: %w", err)
	}
	s.forget(rec.ID)
	events.UploadCompleted.Announce(s.Bus, s.Log, events.Upload{
		UploadID: rec.ID, VideoID: rec.VideoID, Offset: rec.SizeBytes, SizeBytes: rec.SizeBytes, Trace: rpc.Traceparent(ctx)})
	s.Log.Info("source received", "video", rec.VideoID, "bytes", rec.SizeBytes)
	return nil
}

// reject discards an upload that can never succeed, and returns why.
func (s *Service) reject(ctx context.Context, rec store.Upload, why error) error {
	end := s.discard
	if failure := failureOf(why); rec.Fetch != nil && failure != nil {
		end = func(ctx context.Context, rec store.Upload) error { return s.failFetch(ctx, rec, *failure) }
	}
	if err := end(ctx, rec); err != nil {
		s.Log.Warn("a refused upload stays until the next try", "video", rec.VideoID, "err", err)
	}
	return why
}

// discard removes an upload's bytes; its record stays to say that they are
// gone, and its video waits for another upload.
func (s *Service) discard(ctx context.Context, rec store.Upload) error {
	if err := s.spool.remove(rec.ID); err != nil {
		return err
	}
	s.forget(rec.ID)
	s.detach(ctx, rec)
	_, err := s.Catalog.Uploads.Update(ctx, rec.ID, func(u *store.Upload) error {
		u.State, u.Offset = store.UploadExpired, 0
		return nil
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("close the upload: %w", err)
	}
	return nil
}

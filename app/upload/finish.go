package upload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// submitTimeout bounds the call of the transcoder, which may be another node.
const submitTimeout = 30 * time.Second

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
// Of several uploads of one video the first that is named in the video's record
// gets to store its bytes. It does not give up its place: it becomes the source,
// on whichever node, or the video goes.
//
// The caller has the upload's lock, and this node its hold. The work goes on when the client has
// gone: its bytes are here.
func (s *Service) finish(ctx context.Context, id string) (out outcome, err error) {
	ctx = rpc.System(context.WithoutCancel(ctx))
	rec, err := s.Catalog.Uploads.Get(ctx, id)
	if err != nil {
		return outcome{}, rpc.NotFound(fmt.Errorf("read the upload: %w", err), "upload", id)
	}
	if !s.holds(rec) {
		return outcome{}, uploadLocked()
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
	switch {
	case isNotFound(err):
		return video, s.reject(ctx, rec, rpc.NotFound(err, "video", rec.VideoID))
	case err != nil:
		return video, fmt.Errorf("read the video: %w", err)
	case s.gave(rec, video):
		return video, nil // an earlier try did
	case video.State != store.VideoUploading:
		return video, s.reject(ctx, rec, sourceExists(video.ID))
	}
	sum, err := s.secure(ctx, rec, video)
	if err != nil {
		return video, err
	}
	video, err = s.Catalog.Videos.Update(ctx, video.ID, func(v *store.Video) error {
		if v.State == store.VideoUploading {
			v.State, v.SHA256, v.SizeBytes, v.Updated = store.VideoProcessing, sum, rec.SizeBytes, s.now()
			v.SourceUpload = rec.ID
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

// gave tells whether the video has its source, and from this upload. Earlier
// versions wrote down only which upload was made with the video; then its bytes
// must have gone there.
func (s *Service) gave(rec store.Upload, video store.Video) bool {
	if video.State == store.VideoUploading || video.SourceUpload != "" {
		return video.State != store.VideoUploading && video.SourceUpload == rec.ID
	}
	here, err := s.keeper(rec).has(rec)
	return video.UploadID == rec.ID && err == nil && !here
}

// secure makes the bytes the video's source object and returns their SHA-256.
func (s *Service) secure(ctx context.Context, rec store.Upload, video store.Video) (string, error) {
	bytes := s.keeper(rec)
	here, err := bytes.has(rec)
	if err != nil {
		return "", err
	}
	if !here && rec.SizeBytes > 0 {
		return s.storedSum(ctx, rec)
	}
	sum, err := bytes.sum(rec)
	if err != nil {
		return "", err
	}
	for _, want := range []string{rec.WantSHA256, video.WantSHA256} {
		if want != "" && want != sum {
			return "", s.reject(ctx, rec, wholeMismatch(want, sum))
		}
	}
	if err := s.claimVideo(ctx, rec); err != nil {
		return "", err
	}
	if err := bytes.give(ctx, rec, store.SourceKey(video.ID)); err != nil {
		return "", s.writeError(fmt.Errorf("store the source: %w", err))
	}
	return sum, nil
}

// errClaimed comes out of an update, and no further.
var errClaimed = errors.New("another upload is about to be the source")

// claimVideo names the upload in its video as the source to be. Before, it can no
// longer be given up by anybody. A node that is alone has locks for that, and the
// source's bytes tell the rest: it writes down less.
func (s *Service) claimVideo(ctx context.Context, rec store.Upload) error {
	if s.alone(rec) {
		return nil
	}
	if !rec.Finishing {
		if _, err := s.update(ctx, rec, func(u *store.Upload) error { u.Finishing = true; return nil }); err != nil {
			return fmt.Errorf("record that all bytes are here: %w", err)
		}
	}
	_, err := s.Catalog.Videos.Update(ctx, rec.VideoID, func(v *store.Video) error {
		switch {
		case v.State != store.VideoUploading:
			return sourceExists(v.ID)
		case v.SourceUpload != "" && v.SourceUpload != rec.ID:
			return errClaimed
		}
		v.SourceUpload = rec.ID
		return nil
	})
	reason, _ := rpc.Reason(err)
	switch {
	case errors.Is(err, errClaimed):
		return sourcePending(rec.VideoID)
	case isNotFound(err):
		return s.reject(ctx, rec, rpc.NotFound(err, "video", rec.VideoID))
	case reason != "":
		return s.reject(ctx, rec, err)
	case err != nil:
		return fmt.Errorf("claim the video: %w", err)
	}
	return nil
}

// alone tells whether no other node can have to do with the upload.
func (s *Service) alone(rec store.Upload) bool { return s.Alive == nil && rec.Stored == nil }

// stored tells whether the upload's bytes are its video's source object: nobody
// else may store one once the video names this upload.
func (s *Service) stored(ctx context.Context, rec store.Upload) (bool, error) {
	video, err := s.Catalog.Videos.Get(ctx, rec.VideoID)
	if isNotFound(err) || err == nil && video.SourceUpload != rec.ID && (video.SourceUpload != "" || !s.alone(rec)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the video: %w", err)
	}
	obj, err := s.Objects.Stat(ctx, store.SourceKey(rec.VideoID))
	if err != nil && !isNotFound(err) {
		return false, fmt.Errorf("look for the source: %w", err)
	}
	return err == nil && obj.Size == rec.SizeBytes, nil
}

// storedSum is the SHA-256 of a source that an earlier try has stored:
// bytes_missing if there is none.
func (s *Service) storedSum(ctx context.Context, rec store.Upload) (string, error) {
	stored, err := s.stored(ctx, rec)
	if err != nil {
		return "", err
	}
	if !stored {
		s.Log.Error("the bytes of an upload are missing", "video", rec.VideoID)
		return "", bytesMissing()
	}
	src, obj, err := s.Objects.Get(ctx, store.SourceKey(rec.VideoID))
	if err != nil {
		return "", fmt.Errorf("read the source: %w", err)
	}
	defer src.Close()
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
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	task, err := s.Transcoder.CreateTask(ctx, &rpc.CreateTaskRequest{VideoId: videoID})
	if err != nil {
		return "", fmt.Errorf("create the task: %w", err)
	}
	return task.GetId(), nil
}

// complete closes the record; after this nothing is repeated.
func (s *Service) complete(ctx context.Context, rec store.Upload) error {
	s.dropParts(ctx, rec)
	_, err := s.update(ctx, rec, func(u *store.Upload) error {
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
	if err := s.keeper(rec).remove(ctx, rec); err != nil {
		s.Log.Warn("bytes of an upload that is complete stay for a while", "video", rec.VideoID, "err", err)
	}
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
// gone, and its video waits for another upload. The record comes first: that
// this node still has the upload is known by it.
func (s *Service) discard(ctx context.Context, rec store.Upload) error {
	_, err := s.update(ctx, rec, func(u *store.Upload) error {
		u.State, u.Offset = store.UploadExpired, 0
		return nil
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("close the upload: %w", err)
	}
	if err := s.keeper(rec).remove(ctx, rec); err != nil {
		return err
	}
	s.forget(rec.ID)
	s.detach(ctx, rec)
	return nil
}

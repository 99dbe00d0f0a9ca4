package upload

import (
	"context"
	"fmt"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// create opens an upload. rec says for what: VideoID, or Metadata for a new
// video; a partial upload needs neither.
func (s *Service) create(ctx context.Context, rec store.Upload) (_ store.Upload, err error) {
	now := s.now()
	rec.ID, rec.State, rec.Offset = store.NewID(), store.UploadReceiving, 0
	rec.Created, rec.Expires = now, now.Add(s.ExpireAfter)
	if rec.SizeBytes > s.MaxSize {
		return rec, s.tooLarge()
	}
	made, err := s.target(ctx, &rec)
	if err != nil {
		return rec, err
	}
	if err := s.ledger.add(ctx, rec.ID, rec.SizeBytes); err != nil {
		return rec, err
	}
	defer func() {
		if err != nil {
			s.forget(rec.ID)
		}
	}()
	if made != nil {
		if err := s.Catalog.Videos.Create(ctx, *made); err != nil {
			return rec, fmt.Errorf("create the video: %w", err)
		}
		events.VideoChanged.Announce(s.Bus, s.Log, events.Video{VideoID: made.ID, State: string(made.State)})
	}
	if err := s.Catalog.Uploads.Create(ctx, rec); err != nil {
		return rec, fmt.Errorf("create the upload: %w", err)
	}
	if rec.Partial {
		return rec, nil
	}
	return rec, s.attach(ctx, rec)
}

// target finds the video that the upload is for, or returns the one to make.
func (s *Service) target(ctx context.Context, rec *store.Upload) (*store.Video, error) {
	if rec.Partial {
		rec.VideoID = ""
		return nil, nil
	}
	if rec.VideoID != "" {
		_, err := s.awaiting(ctx, rec.VideoID)
		return nil, err
	}
	title, err := titleFrom(rec.Metadata)
	if err != nil {
		return nil, err
	}
	rec.VideoID = store.NewID()
	video := &store.Video{
		ID: rec.VideoID, Title: title, State: store.VideoUploading, Profile: rpc.DefaultProfile, Priority: rpc.DefaultPriority,
		WantSHA256: rec.WantSHA256, UploadID: rec.ID, Created: rec.Created, Updated: rec.Created,
	}
	return video, describe(video, rec.Metadata)
}

// awaiting returns a video that has no source yet.
func (s *Service) awaiting(ctx context.Context, videoID string) (store.Video, error) {
	video, err := s.Catalog.Videos.Get(ctx, videoID)
	if err != nil {
		return video, rpc.NotFound(fmt.Errorf("read the video: %w", err), "video", videoID)
	}
	if video.State != store.VideoUploading {
		return video, sourceExists(videoID)
	}
	return video, nil
}

// attach names the upload in its video, so that the video's upload_url leads
// to it. If the video has got a source or is gone, the upload is undone.
func (s *Service) attach(ctx context.Context, rec store.Upload) error {
	_, err := s.Catalog.Videos.Update(ctx, rec.VideoID, func(v *store.Video) error {
		if v.State != store.VideoUploading {
			return sourceExists(v.ID)
		}
		v.UploadID = rec.ID
		return nil
	})
	if err == nil {
		return nil
	}
	if derr := s.Catalog.Uploads.Delete(ctx, rec.ID); derr != nil {
		s.Log.Warn("an upload without a video stays until it expires", "err", derr)
	}
	return rpc.NotFound(fmt.Errorf("attach the upload: %w", err), "video", rec.VideoID)
}

// removeEmpty removes the video that was made with an upload, if nothing but
// that upload was to fill it.
func (s *Service) removeEmpty(ctx context.Context, rec store.Upload) error {
	if rec.VideoID == "" || rec.Metadata["video_id"] != "" || rec.Metadata["title"]+rec.Metadata["filename"] == "" {
		return nil // it was there before
	}
	video, err := s.Catalog.Videos.Get(ctx, rec.VideoID)
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read the video: %w", err)
	case video.State != store.VideoUploading || video.UploadID != rec.ID:
		return nil
	}
	if err := s.Catalog.Videos.Delete(ctx, rec.VideoID); err != nil && !isNotFound(err) {
		return fmt.Errorf("delete the empty video: %w", err)
	}
	events.VideoDeleted.Announce(s.Bus, s.Log, events.Video{VideoID: video.ID, State: string(video.State)})
	return nil
}

// detach is the reverse of attach: the video waits for another upload.
func (s *Service) detach(ctx context.Context, rec store.Upload) {
	if rec.VideoID == "" {
		return
	}
	_, err := s.Catalog.Videos.Update(ctx, rec.VideoID, func(v *store.Video) error {
		if v.UploadID == rec.ID {
			v.UploadID = ""
		}
		return nil
	})
	if err != nil && !isNotFound(err) {
		s.Log.Warn("a video still names an upload that is gone", "video", rec.VideoID, "err", err)
	}
}

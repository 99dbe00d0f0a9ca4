package upload

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// asked is what a caller says of the video that is made with an upload.
type asked struct {
	title, profile string
	public         bool
	priority       int
	rule           *structpb.Struct // who may watch; nil: no rule
}

// create opens an upload. rec says for what: VideoID; else a new video is made as
// asked. A partial upload needs neither.
func (s *Service) create(ctx context.Context, rec store.Upload, asked asked) (_ store.Upload, err error) {
	now := s.now()
	rec.ID, rec.State, rec.Offset = store.NewID(), store.UploadReceiving, 0
	rec.Created, rec.Expires, rec.Hold = now, now.Add(s.ExpireAfter), s.firstHold()
	rec.Stored = s.newStored(rec.SizeBytes)
	if rec.SizeBytes > s.MaxSize {
		return rec, s.tooLarge()
	}
	made, err := s.target(ctx, &rec, asked)
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
		if err := s.makeVideo(ctx, *made, asked.rule); err != nil {
			return rec, err
		}
	}
	if err := s.Catalog.Uploads.Create(ctx, rec); err != nil {
		return rec, fmt.Errorf("create the upload: %w", err)
	}
	s.ledger.recorded(rec.ID)
	if rec.Partial {
		return rec, nil
	}
	return rec, s.attach(ctx, rec)
}

// target finds the video that the upload is for, or returns the one to make.
func (s *Service) target(ctx context.Context, rec *store.Upload, asked asked) (*store.Video, error) {
	if rec.Partial {
		rec.VideoID = ""
		return nil, nil
	}
	if rec.VideoID != "" {
		_, err := s.awaiting(ctx, rec.VideoID)
		return nil, err
	}
	rec.VideoID = store.NewID()
	return &store.Video{
		ID: rec.VideoID, Title: asked.title, State: store.VideoUploading, Public: asked.public,
		Profile: asked.profile, Priority: asked.priority,
		WantSHA256: rec.WantSHA256, UploadID: rec.ID, Created: rec.Created, Updated: rec.Created,
	}, nil
}

// makeVideo makes an upload's video. With a rule that is refused there is none.
func (s *Service) makeVideo(ctx context.Context, v store.Video, rule *structpb.Struct) error {
	if err := s.Catalog.Videos.Create(ctx, v); err != nil {
		return fmt.Errorf("create the video: %w", err)
	}
	if rule != nil {
		_, err := s.Access().SetVideoRule(ctx, &rpc.SetVideoRuleRequest{VideoId: v.ID, Rule: rule})
		if err != nil {
			if derr := s.Catalog.Videos.Delete(context.WithoutCancel(ctx), v.ID); derr != nil {
				s.Log.Warn("a video without an upload stays", "video", v.ID, "err", derr)
			}
			return err
		}
	}
	events.VideoChanged.Announce(s.Bus, s.Log, events.Video{VideoID: v.ID, State: string(v.State)})
	return nil
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
	made := rec.Metadata["video_id"] == "" && rec.Metadata["title"]+rec.Metadata["filename"] != ""
	if rec.Fetch != nil {
		made = rec.Fetch.MadeVideo
	}
	if rec.VideoID == "" || !made {
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
		if v.SourceUpload == rec.ID && v.State == store.VideoUploading {
			v.SourceUpload = ""
		}
		return nil
	})
	if err != nil && !isNotFound(err) {
		s.Log.Warn("a video still names an upload that is gone", "video", rec.VideoID, "err", err)
	}
}

package library

import (
	"context"
	"fmt"
	"time"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// maxExactFloat: sizes travel as doubles; above this they are not exact.
const maxExactFloat = 1 << 53

// CreateVideo implements rpc.LibraryHandler.
func (s *Service) CreateVideo(ctx context.Context, req *rpc.CreateVideoRequest) (*rpc.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	v, err := s.newVideo(req)
	if err != nil {
		return nil, err
	}
	if err := s.Catalog.Videos.Create(ctx, v); err != nil {
		return nil, fmt.Errorf("create video: %w", err)
	}
	if v.SizeBytes > 0 {
		if v, err = s.reserve(ctx, v); err != nil {
			return nil, err
		}
	}
	s.announce(events.VideoChanged, v)
	return s.detail(ctx, v)
}

// reserve makes the video's upload; a video that cannot have one is taken
// back, so that a refused size leaves nothing behind.
func (s *Service) reserve(ctx context.Context, v store.Video) (store.Video, error) {
	up, err := s.Uploads.CreateUpload(ctx, &rpc.CreateUploadRequest{
		VideoId: v.ID, SizeBytes: float64(v.SizeBytes), Sha256: v.WantSHA256,
	})
	if err != nil {
		derr := s.Catalog.Videos.Delete(context.WithoutCancel(ctx), v.ID)
		if derr != nil {
			s.Log.WarnContext(ctx, "video without an upload stays", "video", v.ID, "err", derr)
		}
		return v, err
	}
	return s.Catalog.Videos.Update(ctx, v.ID, func(v *store.Video) error {
		v.UploadID = up.Id
		return nil
	})
}

func (s *Service) newVideo(req *rpc.CreateVideoRequest) (store.Video, error) {
	v := store.Video{
		ID: store.NewID(), State: store.VideoUploading, Public: req.Public, Created: now(),
	}
	v.Updated = v.Created
	var err error
	if v.Title, err = rpc.Title(req.Title); err != nil {
		return v, err
	}
	if v.Priority, err = rpc.Priority(req.Priority, rpc.DefaultPriority); err != nil {
		return v, err
	}
	if v.Profile, err = rpc.Profile(req.Profile, s.Profiles); err != nil {
		return v, err
	}
	size := req.SizeBytes
	if !(size >= 0 && size <= maxExactFloat) || size != float64(int64(size)) { // the first also catches NaN
		return v, rpc.Invalid("invalid_size", "size_bytes must be a whole number of bytes, 0 if unknown.")
	}
	v.SizeBytes = int64(size)
	v.WantSHA256, err = rpc.SHA256(req.Sha256)
	return v, err
}

func now() time.Time { return time.Now().UTC() }

package upload

import (
	"cmp"
	"context"
	"fmt"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/app/upload/fetch"
	"streamgate/store"
)

// FetchUpload implements rpc.UploadsHandler: an upload is made whose bytes
// RunFetches brings.
func (s *Service) FetchUpload(ctx context.Context, req *rpc.FetchUploadRequest) (*rpc.Upload, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	if s.stopping.Err() != nil {
		return nil, stopping()
	}
	u, err := fetch.Check(req.GetSourceUrl())
	if err != nil {
		return nil, err
	}
	want, err := rpc.SHA256(req.GetSha256())
	if err != nil {
		return nil, err
	}
	asked, err := s.askedOf(req)
	if err != nil {
		return nil, err
	}
	f := &store.Fetch{URL: u.String(), Shown: fetch.Shown(u), MadeVideo: req.GetVideoId() == "", Untitled: req.GetVideoId()+req.GetTitle() == ""}
	if asked.title == "" {
		asked.title = rpc.TitleOf(cmp.Or(fetch.Name(u), u.Hostname()))
	}
	rec, err := s.create(ctx, store.Upload{VideoID: req.GetVideoId(), SizeBytes: -1, WantSHA256: want, Fetch: f}, asked)
	if err != nil {
		return nil, err
	}
	s.fetches.wake()
	return message(ctx, rec), nil
}

// askedOf is what a request says of the video that is made with its upload.
func (s *Service) askedOf(req *rpc.FetchUploadRequest) (asked asked, err error) {
	if req.GetVideoId() != "" {
		if req.GetTitle() != "" || req.GetPublic() || req.GetProfile() != "" || req.Priority != nil {
			return asked, rpc.Invalid("video_exists", "title, public, profile and priority are for a new video; leave them out, or leave out video_id.")
		}
		return asked, nil
	}
	if req.GetTitle() != "" {
		if asked.title, err = rpc.Title(req.GetTitle()); err != nil {
			return asked, err
		}
	}
	if asked.profile, err = rpc.Profile(req.GetProfile(), s.Profiles); err != nil {
		return asked, err
	}
	asked.public = req.GetPublic()
	asked.priority, err = rpc.Priority(req.Priority, rpc.DefaultPriority)
	return asked, err
}

// DeleteUpload implements rpc.UploadsHandler.
func (s *Service) DeleteUpload(ctx context.Context, req *rpc.DeleteUploadRequest) (*rpc.DeleteUploadResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, s.LockWait)
	defer cancel()
	release, err := s.locks.hold(waiting, req.GetId())
	if err != nil {
		return nil, rpc.Errorf(connect.CodeUnavailable, "upload_locked", "Another request is using the upload %q; try again soon.", req.GetId())
	}
	defer release()
	rec, err := s.Catalog.Uploads.Get(ctx, req.GetId())
	if err != nil {
		return nil, rpc.NotFound(fmt.Errorf("read the upload: %w", err), "upload", req.GetId())
	}
	return &rpc.DeleteUploadResponse{}, s.terminate(ctx, rec)
}

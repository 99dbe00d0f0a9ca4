package upload

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// basePath is where the tus uploads are.
const basePath = "/api/v1/uploads/"

// CreateUpload implements rpc.UploadsHandler.
func (s *Service) CreateUpload(ctx context.Context, req *rpc.CreateUploadRequest) (*rpc.Upload, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	size := req.GetSizeBytes()
	if !(size >= 1) || size != math.Trunc(size) {
		return nil, rpc.Invalid("invalid_size", "size_bytes must be a whole number of at least 1.")
	}
	if size > float64(s.MaxSize) {
		return nil, s.tooLarge()
	}
	want, err := rpc.SHA256(req.GetSha256())
	if err != nil {
		return nil, err
	}
	if req.GetVideoId() == "" {
		return nil, rpc.Invalid("video_missing", "video_id is required.")
	}
	rec, err := s.create(ctx, store.Upload{VideoID: req.GetVideoId(), SizeBytes: int64(size), WantSHA256: want}, asked{})
	if err != nil {
		return nil, err
	}
	return message(ctx, rec), nil
}

// GetUpload implements rpc.UploadsHandler.
func (s *Service) GetUpload(ctx context.Context, req *rpc.GetUploadRequest) (*rpc.Upload, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	rec, err := s.Catalog.Uploads.Get(ctx, req.GetId())
	if err != nil {
		return nil, rpc.NotFound(fmt.Errorf("read the upload: %w", err), "upload", req.GetId())
	}
	return message(ctx, rec), nil
}

// ListUploads implements rpc.UploadsHandler.
func (s *Service) ListUploads(ctx context.Context, req *rpc.ListUploadsRequest) (*rpc.ListUploadsResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	q, err := rpc.Page(req.GetLimit(), req.GetCursor())
	if err != nil {
		return nil, err
	}
	q.State = string(store.UploadReceiving)
	recs, next, err := s.Catalog.Uploads.List(ctx, q)
	if err != nil {
		return nil, rpc.ListError(err, "uploads")
	}
	resp := &rpc.ListUploadsResponse{NextCursor: next}
	for _, rec := range recs {
		resp.Uploads = append(resp.Uploads, message(ctx, rec))
	}
	return resp, nil
}

func message(ctx context.Context, rec store.Upload) *rpc.Upload {
	out := &rpc.Upload{
		Id: rec.ID, VideoId: rec.VideoID, State: string(rec.State),
		Offset: float64(rec.Offset), SizeBytes: float64(max(0, rec.SizeBytes)),
		CreatedAt: timestamppb.New(rec.Created), ExpiresAt: timestamppb.New(rec.Expires),
		UploadUrl: rpc.BaseURL(ctx) + basePath + rec.ID,
	}
	if f := rec.Fetch; f != nil {
		out.SourceUrl = f.Shown
		if f.Failure != nil {
			out.Error = &rpc.Failure{Code: f.Failure.Code, Message: f.Failure.Message}
		}
	}
	return out
}

package library

import (
	"context"
	"slices"

	"streamgate/app/rpc"
	"streamgate/store"
)

// ListVideos implements rpc.LibraryHandler. Its videos come without their
// renditions.
func (s *Service) ListVideos(ctx context.Context, req *rpc.ListVideosRequest) (*rpc.ListVideosResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	q, err := rpc.Page(req.Limit, req.Cursor)
	if err != nil {
		return nil, err
	}
	if req.State != "" && !slices.Contains(states(), store.VideoState(req.State)) {
		return nil, rpc.Invalid("invalid_state", "There is no video state %q.", req.State)
	}
	q.State = req.State
	videos, next, err := s.videos.List(ctx, q)
	if err != nil {
		return nil, rpc.ListError(err, "videos")
	}
	out := &rpc.ListVideosResponse{NextCursor: next, Videos: make([]*rpc.Video, len(videos))}
	for i, v := range videos {
		if out.Videos[i], err = s.summary(ctx, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// summary is detail without what only GetVideo tells. A finished video's plan
// need not be read for it.
func (s *Service) summary(ctx context.Context, v store.Video) (*rpc.Video, error) {
	if v.State == store.VideoReady {
		out := view(v)
		address(out, v, rpc.BaseURL(ctx))
		out.Progress = 100
		return out, nil
	}
	out, err := s.detail(ctx, v)
	if err != nil {
		return nil, err
	}
	out.Renditions, out.Made = nil, nil
	return out, nil
}

func states() []store.VideoState {
	return []store.VideoState{
		store.VideoUploading, store.VideoProcessing, store.VideoPlayable, store.VideoReady, store.VideoFailed,
	}
}

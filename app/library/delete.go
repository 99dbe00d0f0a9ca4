package library

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// lateWriters is how long a worker may go on with a cancelled job: cells it
// writes after the deletion are swept then.
const lateWriters = 5 * time.Second

// DeleteVideo implements rpc.LibraryHandler.
func (s *Service) DeleteVideo(ctx context.Context, req *rpc.DeleteVideoRequest) (*rpc.DeleteVideoResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	v, err := s.videos.Get(ctx, req.Id)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.Id)
	}
	if err := s.remove(ctx, v); err != nil {
		return nil, err
	}
	return &rpc.DeleteVideoResponse{}, nil
}

// remove removes a video with all that belongs to it.
func (s *Service) remove(ctx context.Context, v store.Video) error {
	cancelled, err := s.cancelTasks(ctx, v.ID)
	if err != nil {
		return err
	}
	if err := s.sweep(ctx, v.ID); err != nil {
		return err
	}
	if err := s.Catalog.Videos.Delete(ctx, v.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("delete video %s: %w", v.ID, err)
	}
	if cancelled > 0 {
		time.AfterFunc(lateWriters, func() { s.sweepLate(v.ID) })
	}
	s.announce(events.VideoDeleted, v)
	return nil
}

// cancelTasks ends the video's unfinished tasks and returns how many it ended.
func (s *Service) cancelTasks(ctx context.Context, videoID string) (int, error) {
	cancelled := 0
	for t, err := range store.All(ctx, s.Catalog.Tasks, store.Query{Parent: videoID}) {
		if err != nil {
			return cancelled, fmt.Errorf("list tasks of %s: %w", videoID, err)
		}
		if t.State.Final() {
			continue
		}
		_, err := s.Transcoder.CancelTask(ctx, &rpc.CancelTaskRequest{Id: t.ID})
		switch code := connect.CodeOf(err); {
		case err == nil:
			cancelled++
		case code != connect.CodeFailedPrecondition && code != connect.CodeNotFound: // it has not just ended
			return cancelled, err
		}
	}
	return cancelled, nil
}

// sweep removes the video's objects and plan.
func (s *Service) sweep(ctx context.Context, videoID string) error {
	if err := s.Objects.Delete(ctx, store.VideoPrefix(videoID)); err != nil {
		return fmt.Errorf("delete objects of %s: %w", videoID, err)
	}
	if err := s.Catalog.Plans.DeletePlan(ctx, videoID); err != nil {
		return fmt.Errorf("delete plan of %s: %w", videoID, err)
	}
	return nil
}

func (s *Service) sweepLate(videoID string) {
	ctx, cancel := context.WithTimeout(context.Background(), lateWriters)
	defer cancel()
	if err := s.sweep(ctx, videoID); err != nil {
		s.Log.Warn("late objects of a deleted video may stay", "video", videoID, "err", err)
	}
}

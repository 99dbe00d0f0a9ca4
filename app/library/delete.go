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

// lateWriters is how long after a removal a worker may still write: one that was
// cut off goes on until its lease ends, and clocks differ.
const lateWriters = 2 * time.Minute

// DeleteVideo implements rpc.LibraryHandler.
func (s *Service) DeleteVideo(ctx context.Context, req *rpc.DeleteVideoRequest) (*rpc.DeleteVideoResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	v, err := s.videos.Get(ctx, req.Id)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.Id)
	}
	if err := s.cancelTasks(ctx, v.ID); err != nil {
		return nil, err
	}
	// From here on any node ends what this one begins.
	v, err = s.videos.Update(ctx, v.ID, func(v *store.Video) error {
		v.DeleteAt, v.Removing = now(), true
		return nil
	})
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.Id)
	}
	return &rpc.DeleteVideoResponse{}, s.remove(ctx, v)
}

// remove removes a video, whose tasks have been ended, with all that belongs to it.
func (s *Service) remove(ctx context.Context, v store.Video) error {
	if err := s.noteRemoval(ctx, v.ID); err != nil {
		return fmt.Errorf("note the removal of %s: %w", v.ID, err)
	}
	if err := s.sweep(ctx, v.ID); err != nil {
		return err
	}
	if err := s.Catalog.Videos.Delete(ctx, v.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("delete video %s: %w", v.ID, err)
	}
	s.announce(events.VideoDeleted, v)
	return nil
}

// noteRemoval makes sure that what is written late of the video is swept.
func (s *Service) noteRemoval(ctx context.Context, videoID string) error {
	r := store.Removal{VideoID: videoID, Removed: now()}
	err := s.Catalog.Removals.Create(ctx, r)
	if errors.Is(err, store.ErrExists) { // of an earlier try
		_, err = s.Catalog.Removals.Update(ctx, videoID, func(old *store.Removal) error { *old = r; return nil })
	}
	return err
}

// cancelTasks ends the video's unfinished tasks.
func (s *Service) cancelTasks(ctx context.Context, videoID string) error {
	for t, err := range store.All(ctx, s.Catalog.Tasks, store.Query{Parent: videoID}) {
		if err != nil {
			return fmt.Errorf("list tasks of %s: %w", videoID, err)
		}
		if t.State.Final() {
			continue
		}
		_, err := s.Transcoder.CancelTask(ctx, &rpc.CancelTaskRequest{Id: t.ID})
		switch code := connect.CodeOf(err); {
		case err == nil:
		case code != connect.CodeFailedPrecondition && code != connect.CodeNotFound: // it has not just ended
			return err
		}
	}
	return nil
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

// sweepLate removes what was written of videos after they had been removed, once
// nobody writes any more. Whichever node does it, twice is harmless.
func (s *Service) sweepLate(ctx context.Context, at time.Time) error {
	var failed error
	for r, err := range store.All(ctx, s.Catalog.Removals, store.Query{}) {
		if err != nil {
			return errors.Join(failed, fmt.Errorf("list the removals: %w", err))
		}
		if at.Sub(r.Removed) >= lateWriters {
			failed = errors.Join(failed, s.forget(ctx, r))
		}
	}
	return failed
}

// forget ends a removal, unless that of its video is not over.
func (s *Service) forget(ctx context.Context, r store.Removal) error {
	if _, err := s.Catalog.Videos.Get(ctx, r.VideoID); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := s.sweep(ctx, r.VideoID); err != nil {
		return err
	}
	if err := s.Catalog.Removals.Delete(ctx, r.VideoID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("forget the removal of %s: %w", r.VideoID, err)
	}
	return nil
}

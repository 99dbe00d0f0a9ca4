package library

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	// UndoFor is how long a deletion can be undone.
	UndoFor = 30 * time.Second
	// removeEvery is how often what is due is looked for.
	removeEvery = 2 * time.Second
)

// Deletions are deletions that can be undone for a while. A video that is deleted
// is shown to nobody from then on, its sessions end, and its tasks go on; when it
// is due, Service.RunDeletions removes it. Who keeps the time is the record: any
// node can begin, undo and end a deletion, whatever becomes of the others.
type Deletions struct {
	Videos store.Table[store.Video] // the deleted ones too
	Bus    *nats.Conn
	Log    *slog.Logger
}

// Delete deletes a video, for good at the DeleteAt of what it returns:
// video_not_found. Scope: operator.
func (d *Deletions) Delete(ctx context.Context, id string) (store.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return store.Video{}, err
	}
	v, err := store.Shown(d.Videos).Update(ctx, id, func(v *store.Video) error {
		v.DeleteAt = now().Add(UndoFor)
		return nil
	})
	if err != nil {
		return v, rpc.NotFound(err, "video", id)
	}
	d.announce(v)
	return v, nil
}

// errRemoving and errNotDeleted come out of updates, and no further.
var (
	errRemoving   = errors.New("it is being removed")
	errNotDeleted = errors.New("it is not deleted")
)

// Undo brings a deleted video back, and leaves one that is there as it is:
// deletion_over. Scope: operator.
func (d *Deletions) Undo(ctx context.Context, id string) (store.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return store.Video{}, err
	}
	v, err := d.Videos.Update(ctx, id, func(v *store.Video) error {
		if v.Removing {
			return errRemoving
		}
		v.DeleteAt = time.Time{}
		return nil
	})
	if errors.Is(err, errRemoving) || errors.Is(err, store.ErrNotFound) {
		return v, rpc.Errorf(connect.CodeFailedPrecondition, "deletion_over",
			"The video is gone for good: a deletion can be undone for %d seconds.", int(UndoFor.Seconds()))
	}
	if err != nil {
		return v, fmt.Errorf("undo the deletion of %s: %w", id, err)
	}
	d.announce(v)
	return v, nil
}

// List returns the videos that are deleted and not gone, newest first. Scope: read.
func (d *Deletions) List(ctx context.Context) ([]store.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	return deleted(ctx, d.Videos)
}

// announce has whoever shows the video look again. That it is deleted is told
// when it is gone.
func (d *Deletions) announce(v store.Video) {
	events.VideoChanged.Announce(d.Bus, d.Log, events.Video{VideoID: v.ID, State: v.Row().State})
}

func deleted(ctx context.Context, videos store.Table[store.Video]) (out []store.Video, err error) {
	for v, err := range store.All(ctx, videos, store.Query{State: store.DeletedVideos}) {
		if err != nil {
			return nil, fmt.Errorf("list the deleted videos: %w", err)
		}
		out = append(out, v)
	}
	return out, nil
}

// RunDeletions removes the deleted videos that are due, until ctx is done. One
// that was cut short is done again, on whichever node.
func (s *Service) RunDeletions(ctx context.Context) error {
	tick := time.NewTicker(removeEvery)
	defer tick.Stop()
	for {
		if err := s.removeDue(ctx, now()); err != nil && ctx.Err() == nil {
			s.Log.Warn("deleted videos stay for now", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) removeDue(ctx context.Context, at time.Time) error {
	list, err := deleted(ctx, s.Catalog.Videos)
	for _, v := range list {
		if !at.Before(v.DeleteAt) {
			err = errors.Join(err, s.removeDeleted(ctx, v.ID))
		}
	}
	return err
}

// removeDeleted removes a deleted video. That it has begun is in the record
// before: an undo comes before it, or not at all.
func (s *Service) removeDeleted(ctx context.Context, id string) error {
	v, err := s.Catalog.Videos.Update(ctx, id, func(v *store.Video) error {
		if !v.Deleted() {
			return errNotDeleted
		}
		v.Removing = true
		return nil
	})
	switch {
	case errors.Is(err, errNotDeleted), errors.Is(err, store.ErrNotFound): // undone, or another node was faster
		return nil
	case err != nil:
		return fmt.Errorf("begin to remove %s: %w", id, err)
	}
	if err := s.remove(ctx, v); err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "deleted video removed", "video", id)
	return nil
}

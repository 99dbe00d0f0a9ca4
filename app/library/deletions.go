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
// is shown to nobody from then on, its sessions end, and its task is paused; when
// it is due, Service.RunDeletions removes it. Who keeps the time is the record: any
// node can begin, undo and end a deletion, whatever becomes of the others. If the
// transcoder cannot be asked, the task goes on until the video is removed.
type Deletions struct {
	Videos     store.Table[store.Video] // the deleted ones too
	Transcoder rpc.TranscoderClient
	Bus        *nats.Conn
	Log        *slog.Logger
}

// Delete deletes a video, for good at the DeleteAt of what it returns:
// video_not_found. Scope: operator.
func (d *Deletions) Delete(ctx context.Context, id string) (store.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return store.Video{}, err
	}
	shown := store.Shown(d.Videos)
	v, err := shown.Get(ctx, id)
	if err != nil {
		return v, rpc.NotFound(err, "video", id)
	}
	held := d.underWay(ctx, v)
	v, err = shown.Update(ctx, id, func(v *store.Video) error {
		v.DeleteAt, v.HeldTask = now().Add(UndoFor), held
		return nil
	})
	if err != nil {
		return v, rpc.NotFound(err, "video", id)
	}
	if held != "" {
		_, err := d.Transcoder.PauseTask(ctx, &rpc.PauseTaskRequest{Id: held})
		d.warn("the task of a deleted video goes on until the video is removed", v, err)
	}
	d.announce(v)
	return v, nil
}

// underWay is the video's task if it runs or waits to: not one that somebody has
// paused, which an undo is to leave so.
func (d *Deletions) underWay(ctx context.Context, v store.Video) string {
	if v.TaskID == "" {
		return ""
	}
	task, err := d.Transcoder.GetTask(ctx, &rpc.GetTaskRequest{Id: v.TaskID})
	d.warn("the task of a deleted video is not known and goes on until the video is removed", v, err)
	switch store.TaskState(task.GetState()) {
	case store.TaskQueued, store.TaskProcessing:
		return v.TaskID
	}
	return ""
}

// warn logs why a task could not be changed, unless it has ended meanwhile or is
// as it should be.
func (d *Deletions) warn(what string, v store.Video, err error) {
	switch code := connect.CodeOf(err); {
	case err == nil, code == connect.CodeFailedPrecondition, code == connect.CodeNotFound:
	default:
		d.Log.Warn(what, "video", v.ID, "err", err)
	}
}

// errRemoving and errNotDeleted come out of updates, and no further.
var (
	errRemoving   = errors.New("it is being removed")
	errNotDeleted = errors.New("it is not deleted")
)

// Undo brings a deleted video back with the task that the deletion has paused,
// and leaves one that is there as it is: deletion_over. Scope: operator.
func (d *Deletions) Undo(ctx context.Context, id string) (store.Video, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return store.Video{}, err
	}
	held := ""
	v, err := d.Videos.Update(ctx, id, func(v *store.Video) error {
		if v.Removing {
			return errRemoving
		}
		held = v.HeldTask
		v.DeleteAt, v.HeldTask = time.Time{}, ""
		return nil
	})
	if errors.Is(err, errRemoving) || errors.Is(err, store.ErrNotFound) {
		return v, rpc.Errorf(connect.CodeFailedPrecondition, "deletion_over",
			"The video is gone for good: a deletion can be undone for %d seconds.", int(UndoFor.Seconds()))
	}
	if err != nil {
		return v, fmt.Errorf("undo the deletion of %s: %w", id, err)
	}
	if held != "" {
		_, err := d.Transcoder.ResumeTask(ctx, &rpc.ResumeTaskRequest{Id: held})
		d.warn("the task of a video that is back stays paused: resume it", v, err)
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

// RunDeletions removes the deleted videos that are due, and what was written late
// of those that are gone, until ctx is done. One that was cut short is done again,
// on whichever node.
func (s *Service) RunDeletions(ctx context.Context) error {
	tick := time.NewTicker(removeEvery)
	defer tick.Stop()
	for {
		at := now()
		if err := errors.Join(s.removeDue(ctx, at), s.sweepLate(ctx, at)); err != nil && ctx.Err() == nil {
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
	if err := s.cancelTasks(ctx, v.ID); err != nil {
		return err
	}
	if err := s.remove(ctx, v); err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "deleted video removed", "video", id)
	return nil
}

package upload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	// sweepInterval is how often the janitor looks.
	sweepInterval = 30 * time.Second
	// orphanInterval is how often stored bytes are looked through for those of no
	// upload: rare ones, and all of them have to be listed.
	orphanInterval = time.Hour
	// keepClosed is how long the record of a closed upload stays, so that a
	// client that comes back late is told what became of it.
	keepClosed = 7 * 24 * time.Hour
	// clockMargin is how much later an upload is given up on a node that does not
	// hold it: its clock may be ahead of the holder's.
	clockMargin = 10 * time.Minute
)

// RunExpiry is the janitor: until ctx is done it expires abandoned uploads and
// those whose video is gone or has its source from elsewhere, finishes whole ones
// that an error or a dead node kept from being finished, removes files of none,
// and forgets closed ones. On many nodes each has one: what another holds that may
// still run is left alone, and so are bytes that only a dead one can reach.
func (s *Service) RunExpiry(ctx context.Context) error {
	tick := time.NewTicker(min(sweepInterval, s.ExpireAfter))
	defer tick.Stop()
	orphans := time.NewTicker(orphanInterval)
	defer orphans.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err = s.sweep(ctx)
		case <-orphans.C:
			err = s.dropOrphanParts(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.Log.Error("uploads could not be tidied", "err", err)
		}
	}
}

func (s *Service) sweep(ctx context.Context) error {
	ctx = rpc.System(ctx)
	open, err := s.list(ctx, store.UploadReceiving)
	if err != nil {
		return err
	}
	errs := []error{s.dropClaims(ctx, open), s.dropOrphans(ctx)}
	for _, rec := range open {
		if s.over(ctx, rec) {
			errs = append(errs, s.expire(ctx, rec.ID))
		} else if whole(rec) {
			s.settle(ctx, rec)
		}
	}
	for _, state := range []store.UploadState{store.UploadComplete, store.UploadExpired, store.UploadFailed} {
		errs = append(errs, s.dropClosed(ctx, state))
	}
	return errors.Join(errs...)
}

// over tells whether this node may give the upload up: nobody wants it any more.
// What a node that may still run holds is for that one to tell.
func (s *Service) over(ctx context.Context, rec store.Upload) bool {
	return !s.held(rec) && (s.abandoned(rec) || s.useless(ctx, rec))
}

// abandoned tells whether an upload has rested too long. A whole one never
// has: it only waits to be finished.
func (s *Service) abandoned(rec store.Upload) bool {
	end := rec.Expires
	if !s.holds(rec) {
		end = end.Add(clockMargin)
	}
	return rec.State == store.UploadReceiving && !whole(rec) && !s.now().Before(end)
}

// useless tells whether an unfinished upload can no longer become a source:
// its video was deleted or has another. Its bytes may fill the disk.
func (s *Service) useless(ctx context.Context, rec store.Upload) bool {
	if rec.VideoID == "" || rec.State != store.UploadReceiving || whole(rec) { // a whole one is settled, which tells
		return false
	}
	video, err := s.Catalog.Videos.Get(ctx, rec.VideoID)
	return isNotFound(err) || err == nil && video.State != store.VideoUploading
}

// expire gives up an abandoned or useless upload, unless it moved while its lock was
// waited for.
func (s *Service) expire(ctx context.Context, id string) error {
	release, err := s.locks.hold(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	rec, err := s.Catalog.Uploads.Get(ctx, id)
	if isNotFound(err) || err == nil && !s.over(ctx, rec) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	if rec, err = s.seized(ctx, rec); err != nil {
		return err
	}
	if rec.Fetch != nil {
		return s.failFetch(ctx, rec, *failureOf(uploadGone()))
	}
	if err := s.discard(ctx, rec); err != nil {
		return err
	}
	events.UploadExpired.Announce(s.Bus, s.Log, events.Upload{
		UploadID: rec.ID, VideoID: rec.VideoID, Offset: rec.Offset, SizeBytes: max(0, rec.SizeBytes)})
	s.Log.Info("upload given up", "video", rec.VideoID, "bytes", rec.Offset)
	return nil
}

func (s *Service) dropClosed(ctx context.Context, state store.UploadState) error {
	recs, err := s.list(ctx, state)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		if s.now().Sub(rec.Expires) < keepClosed {
			continue
		}
		if err := s.Catalog.Uploads.Delete(ctx, rec.ID); err != nil && !isNotFound(err) {
			return fmt.Errorf("forget an upload: %w", err)
		}
	}
	return nil
}

package upload

import (
	"context"
	"fmt"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Recover takes up what an earlier process left: it finishes the uploads that
// are whole and removes files that belong to none. It may run while requests
// are served, and running it twice is harmless.
func (s *Service) Recover(ctx context.Context) error {
	ctx = rpc.System(ctx)
	open, err := s.list(ctx, store.UploadReceiving)
	if err != nil {
		return err
	}
	if err := s.dropOrphans(); err != nil {
		return err
	}
	for _, rec := range open {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.settle(ctx, rec)
	}
	return nil
}

// dropOrphans removes the files of no open upload: one PUT at a time of the
// crash, or bytes whose upload was closed before they were removed.
func (s *Service) dropOrphans() error {
	ids, err := s.spool.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if s.ledger.has(id) { // also one that began just now
			continue
		}
		if err := s.spool.remove(id); err != nil {
			return err
		}
	}
	return nil
}

// settle finishes an upload that is whole. A final upload that is not was cut
// off while it was joined: its client never learned of it and will ask again.
func (s *Service) settle(ctx context.Context, rec store.Upload) {
	if !whole(rec) && !rec.Final {
		return
	}
	release, err := s.locks.hold(ctx, rec.ID)
	if err != nil {
		return // the node stops
	}
	defer release()
	rec, err = s.Catalog.Uploads.Get(ctx, rec.ID)
	switch {
	case err != nil || rec.State != store.UploadReceiving:
		return // somebody else did
	case whole(rec):
		_, err = s.finish(ctx, rec.ID)
	default:
		err = s.discard(ctx, rec)
	}
	if err != nil {
		s.Log.Warn("an upload could not be finished", "video", rec.VideoID, "err", err)
	}
}

// whole tells whether all bytes of an upload are here and it can be finished.
func whole(rec store.Upload) bool {
	return !rec.Partial && rec.SizeBytes >= 0 && rec.Offset == rec.SizeBytes
}

// list returns every upload in a state.
func (s *Service) list(ctx context.Context, state store.UploadState) ([]store.Upload, error) {
	var all []store.Upload
	for rec, err := range store.All(ctx, s.Catalog.Uploads, store.Query{State: string(state)}) {
		if err != nil {
			return nil, fmt.Errorf("list uploads: %w", err)
		}
		all = append(all, rec)
	}
	return all, nil
}

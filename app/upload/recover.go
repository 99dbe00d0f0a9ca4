package upload

import (
	"context"
	"fmt"
	"strings"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Recover takes up what an earlier process left: it finishes the uploads that
// are whole and removes files that belong to none. It may run while requests
// are served, and running it twice is harmless. The janitor does the same.
func (s *Service) Recover(ctx context.Context) error {
	ctx = rpc.System(ctx)
	open, err := s.list(ctx, store.UploadReceiving)
	if err != nil {
		return err
	}
	if err := s.dropOrphans(ctx); err != nil {
		return err
	}
	if err := s.dropOrphanParts(ctx); err != nil {
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

// dropOrphans removes this node's files of no open upload: one PUT at a time of
// the crash, bytes whose upload was closed before they were removed, or closed by
// another node.
func (s *Service) dropOrphans(ctx context.Context) error {
	ids, err := s.spool.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if s.ledger.has(id) { // also one that began just now
			continue
		}
		if open, err := s.isOpen(ctx, id); err != nil || open {
			if err != nil {
				return err
			}
			continue
		}
		if err := s.spool.remove(id); err != nil {
			return err
		}
	}
	return nil
}

// isOpen tells whether an upload is unfinished, on whichever node.
func (s *Service) isOpen(ctx context.Context, id string) (bool, error) {
	rec, err := s.Catalog.Uploads.Get(ctx, id)
	if err != nil && !isNotFound(err) {
		return false, fmt.Errorf("look up whose bytes there are: %w", err)
	}
	return err == nil && rec.State == store.UploadReceiving, nil
}

// dropOrphanParts removes stored bytes of no open upload: what a node wrote late
// that had lost it, or what could not be removed at its end. An upload's record is
// there before its first byte.
func (s *Service) dropOrphanParts(ctx context.Context) error {
	if !s.Shared {
		return nil
	}
	last := ""
	for o, err := range s.Objects.List(ctx, store.UploadsPrefix) {
		if err != nil {
			return fmt.Errorf("list stored bytes: %w", err)
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(o.Key, store.UploadsPrefix), "/")
		if id == last {
			continue
		}
		last = id
		open, err := s.isOpen(ctx, id)
		if err == nil && !open {
			err = s.Objects.Delete(ctx, uploadPrefix(id))
		}
		if err != nil {
			return fmt.Errorf("remove stored bytes: %w", err)
		}
	}
	return nil
}

// dropClaims ends what this node keeps of uploads that ended on another one, or
// are held by it. open are those that are open.
func (s *Service) dropClaims(ctx context.Context, open []store.Upload) error {
	still := make(map[string]bool, len(open))
	for i := range open {
		still[open[i].ID] = !s.held(open[i])
	}
	for _, id := range s.ledger.inStore() {
		if still[id] {
			continue
		}
		rec, err := s.Catalog.Uploads.Get(ctx, id) // it may be newer than the list
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("look up an upload: %w", err)
		}
		if err != nil || rec.State != store.UploadReceiving || s.held(rec) {
			s.forget(id)
		}
	}
	return nil
}

// settle finishes an upload that is whole. A final upload that is not was cut
// off while it was joined: its client never learned of it and will ask again.
// Those of other nodes are left alone.
func (s *Service) settle(ctx context.Context, rec store.Upload) {
	if !whole(rec) && !rec.Final {
		return
	}
	release, err := s.locks.hold(ctx, rec.ID)
	if err != nil {
		return // the node stops
	}
	defer release()
	if rec, err = s.Catalog.Uploads.Get(ctx, rec.ID); isNotFound(err) || err == nil && rec.State != store.UploadReceiving {
		return // somebody else did
	}
	ours := false
	if err == nil {
		ours, err = s.ours(ctx, rec)
	}
	if err == nil && ours {
		rec, err = s.seized(ctx, rec)
	}
	switch {
	case err != nil || !ours:
	case whole(rec):
		_, err = s.finish(ctx, rec.ID)
	case rec.Final:
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

// openIDs lists the uploads that are open, on any node.
func (s *Service) openIDs(ctx context.Context) ([]string, error) {
	open, err := s.list(ctx, store.UploadReceiving)
	ids := make([]string, len(open))
	for i := range open {
		ids[i] = open[i].ID
	}
	return ids, err
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

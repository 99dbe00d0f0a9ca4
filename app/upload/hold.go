package upload

import (
	"context"
	"errors"
	"fmt"

	"streamgate/store"
)

// An upload belongs to the node that its record names (store.Hold): only that
// one writes to it, finishes it, gives it up or removes its bytes. Another takes
// it over when the holder lets go or is dead, and when the bytes that were
// acknowledged are where it can reach them. What a node still does that has lost
// the hold fails, since every change of the record compares the hold.

// errHeld comes out of updates, and no further: somebody else was faster.
var errHeld = errors.New("the upload's hold has changed")

func (s *Service) firstHold() store.Hold { return store.Hold{Token: 1, Owner: s.Owner} }

func (s *Service) holds(rec store.Upload) bool { return rec.Hold.Owner == s.Owner }

// firm tells whether this node holds the upload under a token that it can go on
// with. The caller has the upload's lock.
func (s *Service) firm(rec store.Upload) bool { return s.holds(rec) && !s.liveOf(rec.ID).torn }

// held tells whether another process that may still run holds the upload.
func (s *Service) held(rec store.Upload) bool {
	o := rec.Hold.Owner
	return !s.holds(rec) && o != (store.Owner{}) && s.Alive != nil && s.Alive(o.Node, o.Boot)
}

// ours tells whether this node holds the upload, or may take it over without
// asking since nothing that was acknowledged is lost by it.
func (s *Service) ours(ctx context.Context, rec store.Upload) (bool, error) {
	if s.holds(rec) {
		return true, nil
	}
	if s.held(rec) {
		return false, nil
	}
	return s.reaches(ctx, rec)
}

// reaches tells whether this node can go on with the upload of a dead one.
func (s *Service) reaches(ctx context.Context, rec store.Upload) (bool, error) {
	if rec.Offset == 0 || rec.Fetch != nil && !whole(rec) {
		return true, nil // nobody relies on bytes of it
	}
	return s.keeper(rec).reaches(ctx, rec)
}

// take makes this node the holder, or says why it cannot be: upload_locked,
// upload_elsewhere. The caller has the upload's lock. One that is over or gone
// is for the caller to see.
func (s *Service) take(ctx context.Context, id string) error {
	rec, err := s.Catalog.Uploads.Get(ctx, id)
	if isNotFound(err) || err == nil && (rec.State != store.UploadReceiving || s.firm(rec)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	if rec.Stored != nil && s.held(rec) {
		return s.takeFrom(ctx, rec)
	}
	if ours, err := s.ours(ctx, rec); err != nil || !ours {
		return orElse(err, uploadElsewhere())
	}
	_, err = s.seize(ctx, rec)
	return err
}

// takeToDelete is take for whoever wants no byte of it: source_exists.
func (s *Service) takeToDelete(ctx context.Context, id string) error {
	rec, err := s.Catalog.Uploads.Get(ctx, id)
	if isNotFound(err) || err == nil && (rec.State != store.UploadReceiving || s.holds(rec)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	if rec.Finishing {
		return sourceExists(rec.VideoID)
	}
	return s.takeFrom(ctx, rec)
}

// takeFrom is take of an upload that another node may be busy with.
func (s *Service) takeFrom(ctx context.Context, rec store.Upload) error {
	if s.held(rec) {
		if err := s.askRelease(ctx, rec); err != nil {
			return err
		}
	}
	rec, err := s.Catalog.Uploads.Get(ctx, rec.ID) // what the holder has written last
	if isNotFound(err) || err == nil && rec.State != store.UploadReceiving {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	_, err = s.seize(ctx, rec)
	return err
}

// seize makes this node the holder of an upload that is as rec says:
// upload_locked.
func (s *Service) seize(ctx context.Context, rec store.Upload) (store.Upload, error) {
	now, err := s.Catalog.Uploads.Update(ctx, rec.ID, func(u *store.Upload) error {
		if u.Hold != rec.Hold || u.Finishing != rec.Finishing || u.State != store.UploadReceiving {
			return errHeld
		}
		u.Hold = store.Hold{Token: u.Hold.Token + 1, Owner: s.Owner}
		return nil
	})
	if errors.Is(err, errHeld) || isNotFound(err) {
		return rec, uploadLocked()
	}
	if err != nil {
		return rec, fmt.Errorf("take the upload over: %w", err)
	}
	l := s.liveOf(rec.ID)
	l.restart(-1)
	l.torn = false
	return now, s.enter(ctx, now)
}

// seized is rec under this node's hold. The caller has the upload's lock, and
// has made sure that it may be taken.
func (s *Service) seized(ctx context.Context, rec store.Upload) (store.Upload, error) {
	if s.firm(rec) {
		return rec, nil
	}
	return s.seize(ctx, rec)
}

// update changes the record of an upload, if its hold is still rec's:
// upload_locked.
func (s *Service) update(ctx context.Context, rec store.Upload, change func(*store.Upload) error) (store.Upload, error) {
	now, err := s.Catalog.Uploads.Update(ctx, rec.ID, func(u *store.Upload) error {
		if u.Hold != rec.Hold {
			return errHeld
		}
		return change(u)
	})
	if errors.Is(err, errHeld) {
		return rec, uploadLocked()
	}
	return now, err
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

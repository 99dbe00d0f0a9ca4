package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/tus/tusd/v2/pkg/handler"

	"streamgate/app/rpc"
	"streamgate/store"
)

// dataStore is what tusd keeps uploads in: records in the catalog, bytes in
// the spool.
type dataStore struct{ s *Service }

// composer lists the tus extensions that dataStore offers.
func (s *Service) composer() *handler.StoreComposer {
	d := dataStore{s}
	c := handler.NewStoreComposer()
	c.UseCore(d)
	c.UseTerminater(d)
	c.UseConcater(d)
	c.UseLengthDeferrer(d)
	c.UseLocker(tusLocker{s})
	return c
}

// NewUpload implements handler.DataStore.
func (d dataStore) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	rec, err := d.open(ctx, info)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	return &tusUpload{s: d.s, rec: rec}, nil
}

func (d dataStore) open(ctx context.Context, info handler.FileInfo) (store.Upload, error) {
	want, err := rpc.SHA256(info.MetaData["sha256"])
	if err != nil {
		return store.Upload{}, err
	}
	rec := store.Upload{
		VideoID: info.MetaData["video_id"], SizeBytes: info.Size, WantSHA256: want, Metadata: info.MetaData,
		Partial: info.IsPartial, Final: info.IsFinal, Parts: info.PartialUploads,
	}
	if info.SizeIsDeferred {
		rec.SizeBytes = -1
	}
	if rec.Final {
		if err := d.s.checkParts(ctx, rec.Parts); err != nil {
			return rec, err
		}
	}
	asked, err := d.s.askedIn(rec)
	if err != nil {
		return rec, err
	}
	return d.s.create(ctx, rec, asked)
}

// GetUpload implements handler.DataStore.
func (d dataStore) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	if !validID(id) {
		return nil, refuse(ctx, uploadNotFound(id))
	}
	rec, err := d.s.Catalog.Uploads.Get(ctx, id)
	switch {
	case isNotFound(err):
		return nil, refuse(ctx, uploadNotFound(id))
	case err != nil:
		return nil, refuse(ctx, fmt.Errorf("read the upload: %w", err))
	case rec.State == store.UploadExpired || rec.State == store.UploadFailed || d.s.abandoned(rec):
		return nil, refuse(ctx, uploadGone())
	}
	if rec.VideoID != "" {
		if _, err := d.s.Catalog.Videos.Get(ctx, rec.VideoID); isNotFound(err) {
			return nil, refuse(ctx, videoDeleted())
		} else if err != nil {
			return nil, refuse(ctx, fmt.Errorf("read the upload's video: %w", err))
		}
	}
	return &tusUpload{s: d.s, rec: rec}, nil
}

// AsTerminatableUpload implements handler.TerminaterDataStore.
func (d dataStore) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload {
	return u.(*tusUpload)
}

// AsConcatableUpload implements handler.ConcaterDataStore.
func (d dataStore) AsConcatableUpload(u handler.Upload) handler.ConcatableUpload {
	return u.(*tusUpload)
}

// AsLengthDeclarableUpload implements handler.LengthDeferrerDataStore.
func (d dataStore) AsLengthDeclarableUpload(u handler.Upload) handler.LengthDeclarableUpload {
	return u.(*tusUpload)
}

// tusUpload is one upload as tusd sees it. tusd holds its lock.
type tusUpload struct {
	s   *Service
	rec store.Upload
}

// GetInfo implements handler.Upload.
func (u *tusUpload) GetInfo(ctx context.Context) (handler.FileInfo, error) {
	offset, err := u.s.offset(ctx, u.rec)
	if err != nil {
		return handler.FileInfo{}, refuse(ctx, err)
	}
	if u.rec.State == store.UploadReceiving {
		exchangeOf(ctx).expires = u.rec.Expires
	}
	return handler.FileInfo{
		ID: u.rec.ID, Size: max(0, u.rec.SizeBytes), SizeIsDeferred: u.rec.SizeBytes < 0, Offset: offset,
		MetaData: u.rec.Metadata, IsPartial: u.rec.Partial, IsFinal: u.rec.Final, PartialUploads: u.rec.Parts,
	}, nil
}

// WriteChunk implements handler.Upload. It returns the number of bytes that
// are durable.
func (u *tusUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	n, err := u.write(ctx, offset, src)
	return n, refuse(ctx, err)
}

func (u *tusUpload) write(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	if !u.s.holds(u.rec) {
		return 0, uploadLocked()
	}
	t, err := u.s.transfer(ctx, u.rec, offset)
	if err != nil {
		return 0, err
	}
	defer t.close()
	ex := exchangeOf(ctx)
	t.check = ex.check
	t.mark = func(ctx context.Context, at int64, change func(*store.Upload)) error {
		rec, err := u.s.mark(ctx, u.rec, t.marked, at, change)
		ex.expires = rec.Expires
		return err
	}
	err = t.receive(ctx, interruptibleBody{src: src, interrupt: ex.interrupt}) // tusd sets the deadlines
	if t.check != nil && (err != nil || !t.check.matches()) {
		t.live.restart(-1)
		u.s.ledger.wrote(u.rec.ID, offset)
		if err == nil {
			err = chunkMismatch()
		}
		return 0, err // the next append cuts the bytes off
	}
	if t.at > t.marked {
		if err := t.commit(ctx); err != nil {
			return t.marked - offset, err
		}
	}
	return t.marked - offset, err
}

// mark records how many bytes are durable, after so many were before, and that
// the upload is alive.
func (s *Service) mark(ctx context.Context, rec store.Upload, from, at int64, change func(*store.Upload)) (store.Upload, error) {
	rec, err := s.update(ctx, rec, func(u *store.Upload) error {
		if u.State != store.UploadReceiving {
			return uploadGone()
		}
		if u.Stored != nil && u.Offset != from {
			return errHeld
		}
		if change != nil {
			change(u)
		}
		u.Offset, u.Expires = at, s.now().Add(s.ExpireAfter)
		return nil
	})
	if err != nil {
		return rec, fmt.Errorf("record received bytes: %w", err)
	}
	return rec, nil
}

// FinishUpload implements handler.Upload; tusd calls it once all bytes are
// here.
func (u *tusUpload) FinishUpload(ctx context.Context) error {
	if u.rec.Partial {
		return nil // it waits for its final upload
	}
	_, err := u.s.finish(ctx, u.rec.ID)
	return refuse(ctx, err)
}

// DeclareLength implements handler.LengthDeclarableUpload.
func (u *tusUpload) DeclareLength(ctx context.Context, length int64) error {
	if err := u.s.ledger.grow(ctx, u.rec.ID, length); err != nil {
		return refuse(ctx, err)
	}
	rec, err := u.s.update(ctx, u.rec, func(r *store.Upload) error {
		r.SizeBytes = length
		return nil
	})
	if err != nil {
		return refuse(ctx, fmt.Errorf("record the length: %w", err))
	}
	u.rec = rec
	return nil
}

// Terminate implements handler.TerminatableUpload.
func (u *tusUpload) Terminate(ctx context.Context) error {
	return refuse(ctx, u.s.terminate(ctx, u.rec))
}

// terminate gives up an upload that is not complete. The caller has its lock, and
// this node its hold.
func (s *Service) terminate(ctx context.Context, rec store.Upload) error {
	if rec.State == store.UploadComplete || rec.Finishing {
		return sourceExists(rec.VideoID)
	}
	if rec.State == store.UploadReceiving && !s.holds(rec) {
		return uploadLocked()
	}
	if err := s.removeEmpty(ctx, rec); err != nil {
		return err
	}
	return s.erase(ctx, rec)
}

// erase removes an upload and its bytes without a trace.
func (s *Service) erase(ctx context.Context, rec store.Upload) error {
	if rec.State == store.UploadReceiving {
		if _, err := s.update(ctx, rec, func(u *store.Upload) error { u.State = store.UploadExpired; return nil }); err != nil && !isNotFound(err) {
			return fmt.Errorf("close the upload: %w", err)
		}
	}
	if err := s.keeper(rec).remove(ctx, rec); err != nil {
		return err
	}
	s.forget(rec.ID)
	s.detach(ctx, rec)
	if err := s.Catalog.Uploads.Delete(ctx, rec.ID); err != nil && !isNotFound(err) {
		return fmt.Errorf("delete the upload: %w", err)
	}
	return nil
}

// GetReader implements handler.Upload. Uploads are not for download.
func (u *tusUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

// refuse hands an error to tusd, which knows only its own, and leaves the
// original with the exchange for the answer's body.
func refuse(ctx context.Context, err error) error {
	var own handler.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	exchangeOf(ctx).err = err
	return handler.NewError("refused", "", http.StatusInternalServerError) // answer.finish knows the true status
}

package upload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// PutSource serves PUT /api/v1/videos/{id}/source: the whole file in one
// request. It answers 202 with the task's Location once the bytes are safe
// and the task is queued; a request that breaks off leaves nothing behind.
// What can be refused is refused before the first byte is read, so that a
// client that sent "Expect: 100-continue" sends none.
func (s *Service) PutSource(w http.ResponseWriter, r *http.Request) {
	release, ok := s.slot()
	if !ok {
		refuseBusy(w, r)
		return
	}
	defer release()
	out, err := s.put(w, r)
	if err != nil {
		refuseRequest(w, r, err)
		return
	}
	body, err := json.Marshal(out)
	if err != nil {
		rpc.WriteProblem(w, r, fmt.Errorf("encode the answer: %w", err))
		return
	}
	w.Header().Set("Location", rpc.BaseURL(r.Context())+"/api/v1/tasks/"+out.TaskID)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(append(body, '\n')) // the client may have gone
}

func (s *Service) put(w http.ResponseWriter, r *http.Request) (outcome, error) {
	ctx := r.Context()
	rec, err := s.admit(r)
	if err != nil {
		return outcome{}, err
	}
	if err := s.ledger.add(ctx, rec.ID, rec.SizeBytes); err != nil {
		return outcome{}, err
	}
	h := newInterrupt(w, r)
	defer h.end(w.Header())
	// Before Recover or the janitor can see it; who asks wants to give it up.
	unlock, err := s.locks.holdUntil(ctx, rec.ID, func() { h.now(uploadGone()) })
	if err != nil {
		return outcome{}, err
	}
	defer unlock()
	defer context.AfterFunc(s.stopping, func() { h.now(stopping()) })()
	body := interruptibleBody{src: http.MaxBytesReader(w, r.Body, s.MaxSize), interrupt: h, idle: s.IdleTimeout}
	if err := s.store(ctx, &rec, body); err != nil {
		if rerr := s.dropBroken(context.WithoutCancel(ctx), rec); rerr != nil {
			s.Log.Warn("bytes of a broken upload stay for a while", "err", rerr)
		}
		return outcome{}, s.bodyError(err)
	}
	return s.finish(ctx, rec.ID)
}

// admit checks everything that can be known before the body.
func (s *Service) admit(r *http.Request) (store.Upload, error) {
	ctx, rec := r.Context(), store.Upload{}
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return rec, err
	}
	if s.stopping.Err() != nil {
		return rec, stopping()
	}
	if r.Header.Get("Content-Range") != "" { // RFC 9110 §14.5
		return rec, rpc.Invalid("range_unsupported", "A source is sent whole; to send it in pieces use tus.")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return rec, rpc.StatusErrorf(http.StatusUnsupportedMediaType, connect.CodeInvalidArgument,
			"coding_unsupported", "A source is sent as it is, without Content-Encoding.")
	}
	want, err := wantedDigest(r.Header)
	if err != nil {
		return rec, err
	}
	if r.ContentLength > s.MaxSize {
		return rec, s.tooLarge()
	}
	video, err := s.awaiting(ctx, r.PathValue("id"))
	if err != nil {
		return rec, err
	}
	now := s.now()
	return store.Upload{
		Stored: s.newStored(r.ContentLength),
		ID:     store.NewID(), VideoID: video.ID, State: store.UploadReceiving, SizeBytes: r.ContentLength,
		WantSHA256: want, Created: now, Expires: now.Add(s.ExpireAfter), Hold: s.firstHold(),
	}, nil
}

// store receives the body and, once it is durable, makes the record from
// which finish can go on after a crash.
func (s *Service) store(ctx context.Context, rec *store.Upload, body io.Reader) error {
	if rec.Stored != nil {
		return s.storeShared(ctx, rec, body)
	}
	t, err := s.transfer(ctx, *rec, 0)
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.receive(ctx, body); err != nil {
		return err
	}
	if err := t.commit(ctx); err != nil {
		return err
	}
	rec.Offset, rec.SizeBytes = t.at, t.at
	if err := s.Catalog.Uploads.Create(ctx, *rec); err != nil {
		return fmt.Errorf("record the upload: %w", err)
	}
	s.ledger.recorded(rec.ID)
	return nil
}

// storeShared makes the record first, so that nobody takes the parts for what is
// left of an upload that has gone.
func (s *Service) storeShared(ctx context.Context, rec *store.Upload, body io.Reader) error {
	if err := s.Catalog.Uploads.Create(ctx, *rec); err != nil {
		return fmt.Errorf("record the upload: %w", err)
	}
	s.ledger.recorded(rec.ID)
	t, err := s.transfer(ctx, *rec, 0)
	if err != nil {
		return err
	}
	defer t.close()
	t.mark = func(ctx context.Context, at int64, change func(*store.Upload)) error {
		_, err := s.mark(ctx, *rec, t.marked, at, change)
		return err
	}
	if err := t.receive(ctx, body); err != nil {
		return err
	}
	if err := t.commit(ctx); err != nil {
		return err
	}
	*rec, err = s.update(ctx, *rec, func(u *store.Upload) error { u.SizeBytes = t.at; return nil })
	if err != nil {
		return fmt.Errorf("record the length: %w", err)
	}
	return nil
}

// dropBroken removes what a PUT leaves that broke off.
func (s *Service) dropBroken(ctx context.Context, rec store.Upload) error {
	if rec.Stored != nil {
		return s.erase(ctx, rec)
	}
	s.forget(rec.ID)
	return s.keeper(rec).remove(ctx, rec)
}

// bodyError names what went wrong with a request's body.
func (s *Service) bodyError(err error) error {
	var tooMany *http.MaxBytesError
	switch reason, _ := rpc.Reason(err); {
	case reason != "":
		return err
	case errors.As(err, &tooMany):
		return s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return rpc.StatusErrorf(http.StatusRequestTimeout, connect.CodeDeadlineExceeded, "timeout",
			"No byte came for %v; nothing was kept.", s.IdleTimeout)
	case errors.Is(err, errBody), errors.Is(err, context.Canceled):
		return rpc.Invalid("body_incomplete", "The connection broke before the whole source had arrived; nothing was kept.")
	}
	return err
}

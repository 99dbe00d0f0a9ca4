package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/app/upload/fetch"
	"streamgate/store"
)

// Why a fetch ends before its file is whole and is not at fault.
var (
	errStopping = errors.New("the node stops")
	errLetGo    = errors.New("somebody else wants the upload") // to delete it
)

// maxFetchPause bounds the growing pause between two tries.
const maxFetchPause = time.Minute

// fetchOne takes one upload as far as it goes: until its video has it, it has
// failed, or somebody else wants it. An error is one of ours.
func (s *Service) fetchOne(ctx context.Context, id string) error {
	ctx, letGo := context.WithCancelCause(ctx)
	defer letGo(nil)
	release, err := s.locks.holdUntil(ctx, id, func() { letGo(errLetGo) })
	if err != nil {
		return nil //nolint:nilerr // the node stops
	}
	defer release()
	rec, err := s.Catalog.Uploads.Get(ctx, id)
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read the upload: %w", err)
	case rec.State != store.UploadReceiving || whole(rec) || s.held(rec):
		return nil
	}
	if rec, err = s.seized(ctx, rec); err != nil {
		return err
	}
	if rec, err = s.beginFetch(ctx, rec); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadlineCause(ctx, rec.Fetch.Begun.Add(s.FetchTimeout), s.fetchTimeout())
	defer cancel()
	err = s.fetchWhole(ctx, rec)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		if err = cause; errors.Is(err, errLetGo) || errors.Is(err, errStopping) || errors.Is(err, context.Canceled) {
			return nil
		}
	}
	if err == nil {
		return nil
	}
	if why := failureOf(err); why != nil {
		return s.failFetch(context.WithoutCancel(ctx), rec, *why)
	}
	return err
}

// beginFetch notes when the upload was first fetched.
func (s *Service) beginFetch(ctx context.Context, rec store.Upload) (store.Upload, error) {
	if !rec.Fetch.Begun.IsZero() {
		return rec, nil
	}
	return s.updateFetch(ctx, rec, func(u *store.Upload) { u.Fetch.Begun = s.now() })
}

// updateFetch changes an upload's record, whose Fetch the change may write to.
func (s *Service) updateFetch(ctx context.Context, rec store.Upload, change func(*store.Upload)) (store.Upload, error) {
	rec, err := s.update(ctx, rec, func(u *store.Upload) error {
		own := *u.Fetch
		u.Fetch = &own
		change(u)
		return nil
	})
	if err != nil {
		return rec, fmt.Errorf("record the fetch: %w", err)
	}
	return rec, nil
}

// fetchWhole tries until the file is whole, with growing pauses between tries
// that bring nothing, and hands it over.
func (s *Service) fetchWhole(ctx context.Context, rec store.Upload) error {
	over, idle := false, 0
	for {
		had, err := s.offset(ctx, rec)
		if err != nil {
			return err
		}
		if over {
			had = 0
		}
		got, err := s.fetchSome(ctx, rec, had)
		if err == nil {
			_, err = s.finish(ctx, rec.ID)
			return err
		}
		var fault *fetch.Error
		if !errors.As(err, &fault) || !fault.Passing {
			return err
		}
		if rec, err = s.Catalog.Uploads.Get(ctx, rec.ID); err != nil {
			return fmt.Errorf("read the upload: %w", err)
		}
		if idle++; got > had {
			idle = 1
		}
		if over = fault.Over; idle > s.FetchRetries {
			return fault
		}
		s.fetches.pause(ctx, rec.ID, max(fault.After, min(s.FetchPause<<(idle-1), maxFetchPause)))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// fetchSome makes one try to get what is missing after the first bytes, and
// returns how many are on the disk afterwards. Without an error all are.
func (s *Service) fetchSome(ctx context.Context, rec store.Upload, from int64) (int64, error) {
	if s.useless(ctx, rec) {
		return from, videoDeleted()
	}
	answer, err := s.fetcher.Open(ctx, fetch.Want{URL: rec.Fetch.URL, From: from, Validator: rec.Fetch.Validator})
	if err != nil {
		return from, err
	}
	defer answer.Close()
	if rec, err = s.takeAnswer(ctx, rec, answer); err != nil {
		return from, err
	}
	t, err := s.transfer(ctx, rec, answer.From)
	if err != nil {
		return from, err
	}
	defer t.close()
	t.mark = func(ctx context.Context, at int64, change func(*store.Upload)) error {
		if s.useless(ctx, rec) {
			return videoDeleted()
		}
		_, err := s.mark(ctx, rec, t.marked, at, change)
		return err
	}
	err = t.receive(ctx, s.bounded(answer, rec.SizeBytes))
	kept := context.WithoutCancel(ctx) // also what came before somebody else wanted the upload
	if cerr := t.commit(kept); cerr != nil {
		return t.marked, cerr
	}
	switch {
	case err != nil:
	case rec.SizeBytes < 0:
		_, err = s.updateFetch(kept, rec, func(u *store.Upload) { u.SizeBytes = t.at })
	case t.at < rec.SizeBytes:
		err = fetch.CutShort()
	}
	return t.at, err
}

// takeAnswer records what an answer says of the file, reserves room for it, and
// may name its video after it.
func (s *Service) takeAnswer(ctx context.Context, rec store.Upload, a *fetch.Answer) (store.Upload, error) {
	if a.Size > s.MaxSize {
		return rec, s.tooLarge()
	}
	if a.Size > 0 {
		if err := s.ledger.grow(ctx, rec.ID, a.Size); err != nil {
			return rec, err
		}
	}
	if rec.Fetch.Untitled && a.Name != "" {
		if err := s.nameVideo(ctx, rec.VideoID, rpc.TitleOf(a.Name)); err != nil {
			return rec, err
		}
	}
	return s.updateFetch(ctx, rec, func(u *store.Upload) {
		if u.Stored != nil {
			u.Hold.Token++ // an earlier try may have stored what it did not record
		}
		if a.From == 0 {
			u.Offset = 0
			if u.Stored != nil {
				u.Stored = &store.Stored{PartBytes: u.Stored.PartBytes}
			}
		}
		u.SizeBytes, u.Fetch.Validator, u.Fetch.Untitled = a.Size, a.Validator, false
	})
}

func (s *Service) nameVideo(ctx context.Context, videoID, title string) error {
	video, err := s.Catalog.Videos.Update(ctx, videoID, func(v *store.Video) error {
		v.Title, v.Updated = title, s.now()
		return nil
	})
	if isNotFound(err) {
		return videoDeleted()
	}
	if err != nil {
		return fmt.Errorf("name the video: %w", err)
	}
	events.VideoChanged.Announce(s.Bus, s.Log, events.Video{VideoID: video.ID, State: string(video.State)})
	return nil
}

// failFetch ends a fetch: its bytes go, its record says why, and a video that was
// made with it has failed; another waits for its source again.
func (s *Service) failFetch(ctx context.Context, rec store.Upload, why store.Failure) error {
	now, err := s.Catalog.Uploads.Get(ctx, rec.ID)
	if isNotFound(err) || err == nil && (now.State != store.UploadReceiving || now.Hold.Owner != rec.Hold.Owner) {
		return nil // it is over already, or another node's
	}
	if err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	rec = now
	if err := s.failVideo(ctx, rec, why); err != nil {
		return err
	}
	_, err = s.updateFetch(ctx, rec, func(u *store.Upload) {
		u.State, u.Offset, u.Expires = store.UploadFailed, 0, s.now().Add(s.ExpireAfter)
		u.Fetch.URL, u.Fetch.Failure = "", &why
	})
	if err != nil && !isNotFound(err) {
		return err
	}
	if err := s.keeper(rec).remove(ctx, rec); err != nil {
		return err
	}
	s.forget(rec.ID)
	events.UploadFailed.Announce(s.Bus, s.Log, events.Upload{UploadID: rec.ID, VideoID: rec.VideoID, SizeBytes: max(0, rec.SizeBytes)})
	s.Log.Info("a fetch has failed", "video", rec.VideoID, "code", why.Code)
	return nil
}

func (s *Service) failVideo(ctx context.Context, rec store.Upload, why store.Failure) error {
	if !rec.Fetch.MadeVideo {
		s.detach(ctx, rec)
		return nil
	}
	failed := false
	video, err := s.Catalog.Videos.Update(ctx, rec.VideoID, func(v *store.Video) error {
		if failed = v.State == store.VideoUploading && v.UploadID == rec.ID; failed {
			v.State, v.Failure, v.UploadID, v.Updated = store.VideoFailed, &why, "", s.now()
		}
		return nil
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("record that the video has failed: %w", err)
	}
	if failed && err == nil {
		payload := events.Video{VideoID: video.ID, State: string(video.State)}
		events.VideoChanged.Announce(s.Bus, s.Log, payload)
		events.VideoFailed.Announce(s.Bus, s.Log, payload)
	}
	return nil
}

// failureOf is what an error says to people; nil if it is one of ours.
func failureOf(err error) *store.Failure {
	var fault *fetch.Error
	if errors.As(err, &fault) {
		return &store.Failure{Code: fault.Code, Message: fault.Message}
	}
	var coded *connect.Error
	if reason, _ := rpc.Reason(err); reason != "" && !passing[reason] && errors.As(err, &coded) {
		return &store.Failure{Code: reason, Message: coded.Message()}
	}
	return nil
}

func (s *Service) fetchTimeout() error {
	return rpc.StatusErrorf(http.StatusGatewayTimeout, connect.CodeDeadlineExceeded, "fetch_timeout",
		"The fetch took longer than %v (upload.fetch.timeout).", s.FetchTimeout)
}

// bounded gives no more of an answer than it may have: as much as it said, or as
// the largest source.
func (s *Service) bounded(a *fetch.Answer, size int64) io.Reader {
	if size < 0 {
		return &boundedReader{a, s.MaxSize - a.From, s.tooLarge()}
	}
	return &boundedReader{a, size - a.From, fetch.CutShort()}
}

// boundedReader is a reader that may give so many bytes.
type boundedReader struct {
	io.Reader
	left int64
	over error
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.over
	}
	return n, err
}

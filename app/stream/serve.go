package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"time"

	"streamgate/app/media"
	"streamgate/app/rpc"
	"streamgate/store"
)

// serveDocument answers playlists, the manifest and inits.
func (s *Service) serveDocument(a *answer, r *http.Request, v *video, t target) error {
	if t.rendition != "" {
		if _, ok := v.plan.Rendition(t.rendition); !ok {
			return errNotFound
		}
	}
	docs := v.lists
	if t.rendition == "" {
		docs = v.rates
	}
	d, err := docs.get(t.name, func() (*document, error) { return s.render(r.Context(), v, t) })
	if err != nil {
		return err
	}
	caching := s.headers.list
	if t.kind == kindInit {
		caching = s.headers.immutable
	}
	s.sendDocument(a, r, d, caching.of(t.scope))
	return nil
}

func (s *Service) render(ctx context.Context, v *video, t target) (*document, error) {
	var body []byte
	var err error
	contentType := s.headers.hls
	switch {
	case t.kind == kindManifest:
		contentType = s.headers.dash
		body, err = media.MPD(v.plan, s.measured(ctx, v))
	case t.kind == kindInit:
		r, _ := v.plan.Rendition(t.rendition)
		return newDocument(r.Init, s.mp4(r), false), nil
	case t.rendition == "":
		body, err = media.MasterPlaylist(v.plan, s.measured(ctx, v))
	case path.Base(t.name) == media.IFramesName:
		body, err = media.IFramePlaylist(v.plan, t.rendition)
	default:
		body, err = media.MediaPlaylist(v.plan, t.rendition)
	}
	if err != nil {
		return nil, err
	}
	return newDocument(body, contentType, true), nil
}

func (s *Service) mp4(r *store.Rendition) []string {
	if r.Kind == store.KindAudio {
		return s.headers.audioMP4
	}
	return s.headers.videoMP4
}

// serveCell sends a cell's file, held until it exists.
func (s *Service) serveCell(a *answer, r *http.Request, v *video, t target) error {
	rendition, ok := v.plan.Rendition(t.rendition)
	if !ok || t.segment >= v.plan.Timeline.Segments() {
		return errNotFound
	}
	f, object, err := s.cell(r.Context(), t, v.id, rendition.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := a.Header()
	h["Content-Type"] = s.mp4(rendition)
	h["Cache-Control"] = s.headers.immutable.of(t.scope)
	s.sendFile(a, r, f, object)
	return nil
}

// serveStill sends the poster or a part of the storyboard, if it is made.
func (s *Service) serveStill(a *answer, r *http.Request, v *video, t target) error {
	f, object, err := s.Objects.Get(r.Context(), store.StillKey(v.id, t.name))
	if errors.Is(err, store.ErrNotFound) {
		return errNoStill
	}
	if err != nil {
		return fmt.Errorf("open still: %w", err)
	}
	defer f.Close()
	h := a.Header()
	h["Content-Type"] = s.headers.jpeg
	if path.Ext(t.name) == ".vtt" {
		h["Content-Type"] = s.headers.vtt
	}
	h["Cache-Control"] = s.headers.still.of(t.scope)
	s.sendFile(a, r, f, object)
	return nil
}

// sendFile is http.ServeContent with a short way for the usual request: the
// size is known, so nothing is sought, sniffed or parsed.
func (s *Service) sendFile(a *answer, r *http.Request, f io.ReadSeeker, object store.Object) {
	h := a.Header()
	h["Accept-Ranges"] = s.headers.ranges
	h["Etag"] = []string{`"` + object.ETag + `"`}
	if !plain(r.Header) {
		http.ServeContent(a, r, "", time.Time{}, f)
		return
	}
	h["Content-Length"] = []string{strconv.FormatInt(object.Size, 10)}
	a.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		a.ReadFrom(&io.LimitedReader{R: f, N: object.Size}) //nolint:errcheck // the client may have gone
	}
}

// cell opens the target's cell in a rendition. If it does not exist yet, the
// transcoder is asked for it and the caller held until it does; errCell when
// that takes too long. Whoever was held is admitted once more: the session may
// have ended meanwhile.
func (s *Service) cell(ctx context.Context, t target, videoID, rendition string) (io.ReadSeekCloser, store.Object, error) {
	key := store.CellKey(videoID, rendition, t.segment)
	f, object, err := s.Objects.Get(ctx, key)
	if !errors.Is(err, store.ErrNotFound) {
		return f, object, err
	}
	since := time.Now()
	held, cancel := context.WithTimeout(ctx, s.Hold)
	defer cancel()
	err = s.waiters.wait(held, key, awaited{
		look: func(ctx context.Context) (bool, error) {
			_, err := s.Objects.Stat(ctx, key)
			if errors.Is(err, store.ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		},
		demand: func(ctx context.Context) error { return s.demand(ctx, videoID, rendition, t.segment) },
	})
	s.metrics.held(since)
	if err != nil {
		return nil, store.Object{}, fromHold(ctx, err, errCell)
	}
	if _, err := s.admit(ctx, t, time.Now()); err != nil {
		return nil, store.Object{}, err
	}
	return s.Objects.Get(ctx, key)
}

func (s *Service) demand(ctx context.Context, videoID, rendition string, segment int) error {
	_, err := s.Transcoder.Demand(rpc.System(ctx), &rpc.DemandRequest{
		VideoId: videoID, Rendition: rendition, Segment: int32(segment), // at most maxDigits digits
	})
	if err != nil {
		s.Log.Debug("demand failed", "video", videoID, "rendition", rendition, "segment", segment, "err", err)
	}
	return fromTranscoder(err)
}

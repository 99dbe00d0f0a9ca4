package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/store"
)

// Service answers players. Make one with New.
type Service struct {
	Config
	headers headers
	metrics *metrics
	plans   *planCache
	waiters *waiters
	iframes *iframes
	subs    []*nats.Subscription
}

// New returns a service that listens to the bus until Close.
func New(c Config) (*Service, error) {
	c = c.withDefaults()
	s := &Service{Config: c, headers: newHeaders(), plans: newPlanCache(c), waiters: newWaiters(c.Waiters, c.Poll), iframes: newIFrames(c.IFrameBytes)}
	var err error
	if s.metrics, err = newMetrics(c.Metrics, s.waiters.count); err != nil {
		return nil, fmt.Errorf("stream metrics: %w", err)
	}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close stops listening and ends all holds with 503. Requests that are being
// answered go on.
func (s *Service) Close() {
	for _, sub := range s.subs {
		sub.Unsubscribe() //nolint:errcheck // the bus may be gone already
	}
	s.waiters.close()
}

func (s *Service) listen() error {
	changed := func(e events.Video) {
		s.plans.forget(e.VideoID)
		s.waiters.hint(planKey(e.VideoID))
	}
	cells := func(e events.Cells) {
		if !s.waiters.empty() {
			s.waiters.hint(store.CellKey(e.VideoID, e.Rendition, e.Segment))
		}
	}
	var errs []error
	keep := func(sub *nats.Subscription, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		s.subs = append(s.subs, sub)
	}
	keep(events.VideoChanged.Listen(s.Bus, changed))
	keep(events.VideoDeleted.Listen(s.Bus, changed))
	keep(events.CellsReady.Listen(s.Bus, cells))
	return errors.Join(errs...)
}

// Handler serves /s/ and /v/.
func (s *Service) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w}
	t, ok := parse(r.URL.Path)
	s.headers.common(a.Header())
	switch {
	case r.Method == http.MethodOptions:
		s.headers.preflight(a)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		s.fail(a, r, t, errMethod)
	case !ok:
		s.fail(a, r, target{scope: t.scope}, errNotFound)
	default:
		if err := s.answer(a, r, t); err != nil {
			s.fail(a, r, t, err)
		}
	}
	s.metrics.count(t.kind, a)
}

// answer serves a well-formed address. It returns an error only as long as
// nothing has been written.
func (s *Service) answer(a *answer, r *http.Request, t target) error {
	v, err := s.admit(r.Context(), t, time.Now())
	if err != nil {
		return err
	}
	switch t.kind {
	case kindStill:
		return s.serveStill(a, r, v, t)
	case kindSession:
		a.Header()["Cache-Control"] = s.headers.list.session
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
	if v, err = s.planned(r.Context(), v); err != nil {
		return err
	}
	switch t.kind {
	case kindCell:
		return s.serveCell(a, r, v, t)
	case kindIFrame:
		return s.serveIFrame(a, r, v, t)
	default:
		return s.serveDocument(a, r, v, t)
	}
}

// admit returns the video if the request may see it.
func (s *Service) admit(ctx context.Context, t target, now time.Time) (*video, error) {
	id := t.owner
	if t.scope == scopeSession {
		var err error
		if id, err = s.Tickets.Verify(t.owner, now); err != nil {
			return nil, fromTicket(err)
		}
	}
	v, err := s.plans.get(ctx, id, now)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoVideo
	}
	if err == nil && t.scope == scopePublic && !v.record.Public {
		return nil, errNoSession
	}
	return v, err
}

func planKey(videoID string) string { return store.VideoPrefix(videoID) + "plan" }

// planned returns v, held until it has a plan.
func (s *Service) planned(ctx context.Context, v *video) (*video, error) {
	if v.plan != nil {
		return v, nil
	}
	since := time.Now()
	held, cancel := context.WithTimeout(ctx, s.Hold)
	defer cancel()
	if !v.refused() {
		id := v.id
		err := s.waiters.wait(held, planKey(id), awaited{look: func(ctx context.Context) (bool, error) {
			now, err := s.plans.load(ctx, id)
			return err == nil && (now.plan != nil || now.refused()), err
		}})
		s.metrics.held(since)
		if err != nil {
			return nil, s.notPlanned(ctx, err)
		}
		if v, err = s.plans.get(held, id, time.Now()); err != nil {
			return nil, s.notPlanned(ctx, err)
		}
	}
	switch {
	case v.refused():
		return nil, refusal(v)
	case v.plan == nil:
		return nil, errPlan
	}
	return v, nil
}

func (s *Service) notPlanned(ctx context.Context, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return errNoVideo
	}
	return fromHold(ctx, err, errPlan)
}

// refusal is what the player of a refused source is told. The detail is the
// sentence that the uploader was told.
func refusal(v *video) error {
	p := problem{http.StatusGone, "video_failed", "This video could not be made."}
	if f := v.record.Failure; f != nil {
		p.detail = f.Message
	}
	return p
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"streamgate/store"
)

const (
	// loadTimeout bounds one reading of a video from the store.
	loadTimeout = 5 * time.Second
	// patience is how long a request waits for a reading, if what is known will do.
	patience = time.Second
	// keptWithoutStore is for how long a video is served as it was last read while
	// the store cannot be reached.
	keptWithoutStore = time.Minute
)

// video is what is known of one video at one moment. Only the documents and
// the bookkeeping change.
type video struct {
	id     string
	record store.Video
	plan   *store.Plan // nil until it is planned
	cells  store.Cells // as of loading; for the rates in rates
	lists  *documents  // what depends on the plan alone
	rates  *documents  // master and manifest: they also tell measured rates

	loaded time.Time
	stale  atomic.Bool
	used   atomic.Int64 // Unix nanoseconds of the last use
}

// planCache keeps the plans of the videos that are being watched in memory,
// with what was made of them.
type planCache struct {
	plans  store.Plans
	videos store.Table[store.Video]
	fresh  time.Duration
	max    int

	flight singleflight.Group
	// changes counts forget calls: a load during which it moved may have read
	// what was there before, and is stale at birth.
	changes atomic.Uint64

	mu    sync.RWMutex
	known map[string]*video
}

func newPlanCache(c Config) *planCache {
	return &planCache{plans: c.Plans, videos: c.Videos, fresh: c.Fresh, max: c.Known, known: map[string]*video{}}
}

// get returns a video, from memory if it is known; store.ErrNotFound. While the
// store cannot be reached, or takes its time, a video that was read less than
// keptWithoutStore ago is good enough, unless it is known to have changed.
func (s *planCache) get(ctx context.Context, id string, now time.Time) (*video, error) {
	s.mu.RLock()
	v := s.known[id]
	s.mu.RUnlock()
	if v == nil || v.stale.Load() || now.Sub(v.loaded) >= keptWithoutStore {
		return s.load(ctx, id)
	}
	v.used.Store(now.UnixNano())
	if now.Sub(v.loaded) < s.fresh {
		return v, nil
	}
	return s.loadOr(ctx, v)
}

// load reads a video from the store; concurrent calls share one reading,
// which no caller's departure interrupts.
func (s *planCache) load(ctx context.Context, id string) (*video, error) {
	select {
	case r := <-s.start(ctx, id):
		v, _ := r.Val.(*video)
		return v, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// loadOr is load, with old for what the store cannot say now.
func (s *planCache) loadOr(ctx context.Context, old *video) (*video, error) {
	slow := time.NewTimer(patience)
	defer slow.Stop()
	var err error
	select {
	case r := <-s.start(ctx, old.id):
		if v, ok := r.Val.(*video); ok && r.Err == nil {
			return v, nil
		}
		err = r.Err
	case <-slow.C:
		err = store.ErrUnavailable
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	away := errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
	if away && !old.stale.Load() {
		return old, nil
	}
	return nil, err
}

// start begins a reading, or joins the one that is under way.
func (s *planCache) start(ctx context.Context, id string) <-chan singleflight.Result {
	return s.flight.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return s.read(ctx, id)
	})
}

func (s *planCache) read(ctx context.Context, id string) (*video, error) {
	changes := s.changes.Load()
	now := time.Now()
	s.mu.RLock()
	old := s.known[id]
	s.mu.RUnlock()

	record, err := s.videos.Get(ctx, id)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			s.drop(id)
		}
		return nil, fmt.Errorf("read video: %w", err)
	}
	v := &video{id: id, record: record, loaded: now, lists: newDocuments(), rates: newDocuments()}
	if err := s.readPlan(ctx, v, old); err != nil {
		return nil, err
	}
	v.used.Store(now.UnixNano())
	s.put(v)
	if s.changes.Load() != changes {
		v.stale.Store(true)
	}
	return v, nil
}

// readPlan fills the plan and the cells. A plan changes with its revision only,
// so what was made of it is kept. The record, which is read first, tells the
// revision: so a change is seen even if its event was missed.
func (s *planCache) readPlan(ctx context.Context, v, old *video) error {
	if old != nil && (old.plan == nil || old.plan.Revision < v.record.PlanRevision) {
		old = nil
	}
	if old != nil {
		v.plan, v.lists = old.plan, old.lists
		if old.cells.Complete(old.plan) {
			v.cells = old.cells
			if old.record.Storyboard == v.record.Storyboard {
				v.rates = old.rates
			}
			return nil
		}
	} else {
		plan, err := s.plans.Plan(ctx, v.id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read plan: %w", err)
		}
		v.plan = &plan
	}
	cells, err := s.plans.Cells(ctx, v.id)
	if err != nil {
		return fmt.Errorf("read cells: %w", err)
	}
	v.cells = cells
	if old != nil && old.record.Storyboard == v.record.Storyboard && sameRates(v.plan, old.cells, cells) {
		v.rates = old.rates
	}
	return nil
}

// sameRates tells whether the same renditions are complete in a and b.
func sameRates(p *store.Plan, a, b store.Cells) bool {
	n := p.Timeline.Segments()
	for _, r := range p.Renditions {
		if (a[r.Name].Count == n) != (b[r.Name].Count == n) {
			return false
		}
	}
	return true
}

// put keeps a video; the one unused for longest is dropped for it if there are
// too many.
func (s *planCache) put(v *video) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[v.id] = v
	if len(s.known) <= s.max {
		return
	}
	var oldest *video
	for _, k := range s.known {
		if k != v && (oldest == nil || k.used.Load() < oldest.used.Load()) {
			oldest = k
		}
	}
	delete(s.known, oldest.id)
}

func (s *planCache) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// forget makes the next get read the video anew.
func (s *planCache) forget(id string) {
	s.changes.Add(1)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v := s.known[id]; v != nil {
		v.stale.Store(true)
	}
}

// refused tells whether the video will never have a plan.
func (v *video) refused() bool { return v.plan == nil && v.record.State == store.VideoFailed }

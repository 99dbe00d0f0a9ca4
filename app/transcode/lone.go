package transcode

import (
	"context"
	"sync"
	"time"

	"streamgate/store"
)

// alone lets one job run with nothing beside it. Ordinary workers stop first,
// which may take the rest of a chunk; those of demanded cells only then, so
// that viewers wait no longer than they must.
type alone struct{ ordinary, express sync.RWMutex }

// beside holds off lone jobs until it is called back.
func (a *alone) beside(w *worker) (done func()) {
	gate := &a.ordinary
	if w.maxRank != store.RankOrdinary {
		gate = &a.express
	}
	gate.RLock()
	return gate.RUnlock
}

func (a *alone) only() (done func()) {
	a.ordinary.Lock()
	a.express.Lock()
	return func() {
		a.express.Unlock()
		a.ordinary.Unlock()
	}
}

// suspects runs, one at a time and alone, the jobs whose node died under them
// too often, until ctx is done. If it dies again, it is known whose fault that
// was.
func (s *Service) suspects(ctx, hard context.Context) {
	w := &worker{name: "alone", maxRank: store.RankOrdinary}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.Poll):
		}
		stats, err := s.Queue.Stats(ctx)
		if err != nil || stats.Suspect == 0 {
			continue // an error shows elsewhere
		}
		done := s.alone.only()
		if _, take := s.pool.may(w); take {
			if ctx.Err() == nil {
				s.leaseAndRun(ctx, hard, w, store.LeaseRequest{MaxRank: store.RankOrdinary, Suspects: true})
			}
			s.pool.took()
		}
		done()
	}
}

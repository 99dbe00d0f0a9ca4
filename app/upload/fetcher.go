package upload

import (
	"context"
	"slices"
	"sync"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// fetchInterval is how often the fetcher looks for what nobody has told it of:
// a fetch that one of our own errors kept from going on.
const fetchInterval = 30 * time.Second

// fetches are the running ones. What is to be fetched is in the catalog, so that
// a restart goes on with it.
type fetches struct {
	told  chan struct{} // there may be something to begin
	slots chan struct{} // holds one for each that fetches, none for those that pause

	mu      sync.Mutex
	running map[string]bool // by upload: whether it holds a slot
	resting bool            // none begins
}

func newFetches(most int) *fetches {
	return &fetches{told: make(chan struct{}, 1), slots: make(chan struct{}, most), running: make(map[string]bool)}
}

func (f *fetches) wake() {
	select {
	case f.told <- struct{}{}:
	default: // it will look anyway
	}
}

// begin notes that an upload is being fetched; false if it is, or if as many as
// may be are.
func (f *fetches) begin(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, is := f.running[id]; is || f.resting {
		return false
	}
	select {
	case f.slots <- struct{}{}:
		f.running[id] = true
		return true
	default:
		return false
	}
}

// DrainNode lets the fetches that run end and begins no more, or undoes that.
func (s *Service) DrainNode(drained bool) {
	s.fetches.mu.Lock()
	defer s.fetches.mu.Unlock()
	s.fetches.resting = drained
	s.fetches.wake()
}

// Running counts the fetches that run on this node.
func (s *Service) Running() int {
	s.fetches.mu.Lock()
	defer s.fetches.mu.Unlock()
	return len(s.fetches.running)
}

func (f *fetches) end(id string) {
	f.release(id)
	f.mu.Lock()
	delete(f.running, id)
	f.mu.Unlock()
}

// pause waits, or until ctx is done; others may fetch meanwhile.
func (f *fetches) pause(ctx context.Context, id string, d time.Duration) {
	f.release(id)
	rest(ctx, d)
	select {
	case f.slots <- struct{}{}:
		f.mu.Lock()
		f.running[id] = true
		f.mu.Unlock()
	case <-ctx.Done():
	}
}

// release gives an upload's slot to the next.
func (f *fetches) release(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running[id] {
		f.running[id] = false
		<-f.slots
		f.wake()
	}
}

// RunFetches fetches what it is asked for, the oldest first and FetchesAtOnce of
// them at once, until ctx is done.
func (s *Service) RunFetches(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(rpc.System(ctx))
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
	defer cancel(nil)
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(fetchInterval)
	defer tick.Stop()
	for {
		if err := s.beginFetches(ctx, &running); err != nil && ctx.Err() == nil {
			s.Log.Error("what is to be fetched could not be looked up", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.fetches.told:
		case <-tick.C:
		}
	}
}

func (s *Service) beginFetches(ctx context.Context, running *sync.WaitGroup) error {
	open, err := s.list(ctx, store.UploadReceiving)
	if err != nil {
		return err
	}
	slices.SortFunc(open, func(a, b store.Upload) int { return a.Created.Compare(b.Created) })
	for _, rec := range open {
		if rec.Fetch == nil || whole(rec) || ctx.Err() != nil || !s.fetches.begin(rec.ID) {
			continue
		}
		running.Go(func() {
			defer s.fetches.end(rec.ID)
			if err := s.fetchOne(ctx, rec.ID); err != nil { // of ours: nothing is lost, it goes on in a while
				s.Log.Error("a fetch has stopped and goes on later", "video", rec.VideoID, "err", err)
				s.fetches.pause(ctx, rec.ID, fetchInterval)
			}
		})
	}
	return nil
}

// rest waits, or until ctx is done.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

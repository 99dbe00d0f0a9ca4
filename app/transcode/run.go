package transcode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/app/events"
	"streamgate/store"
)

// errDrained ends the jobs that are still running when the node must stop.
var errDrained = errors.New("the node is stopping")

// Run leases and runs jobs until ctx is done. Then it takes no more, lets the
// running ones finish for at most Drain, gives the rest back to the queue and
// returns.
func (s *Service) Run(ctx context.Context) error {
	subs, err := s.listen()
	defer func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe() // the bus may be closed already
		}
	}()
	if err != nil {
		return err
	}
	if s.Encoder != nil {
		name := s.Encoder(ctx)
		s.own.Store(&name)
	}
	if err := patiently(ctx, func() error { return s.resume(ctx) }); err != nil {
		return err
	}
	hard, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)

	// Demanded cells do not wait for a worker: they have workers of their own,
	// and the background encoders yield the cores to them (media's nice).
	s.pool.open(s.Workers, runtime.GOMAXPROCS(0), func(w *worker) { s.work(ctx, hard, w) })
	var loops sync.WaitGroup
	loops.Go(func() { s.reap(ctx) })
	if s.Alive != nil {
		loops.Go(func() { s.takeFromDead(ctx) })
	}
	loops.Go(func() { s.suspects(ctx, hard) })
	if s.Scaling.Interval > 0 {
		loops.Go(func() { s.scaler(ctx) })
	}

	defer context.AfterFunc(s.left, func() { kill(errDrained) })()

	<-ctx.Done()
	grace := time.AfterFunc(s.Drain, func() { kill(errDrained) })
	defer grace.Stop()
	loops.Wait()
	s.pool.close()
	return nil
}

// Leave ends all jobs at once and lets go of them without a word: the queue was moved
// with its jobs given back, and takes no answer here any more.
func (s *Service) Leave() { s.leave() }

// resume takes up what an earlier run of this node left: its leases, its
// scratch files and its waiting tasks.
func (s *Service) resume(ctx context.Context) error {
	if err := errors.Join(os.RemoveAll(s.Scratch), os.MkdirAll(s.Scratch, 0o700)); err != nil {
		return fmt.Errorf("clear scratch directory: %w", err)
	}
	jobs, err := s.takeBack(ctx)
	if err != nil {
		return fmt.Errorf("take back own leases: %w", err)
	}
	for _, j := range jobs {
		s.Log.Info("job resumed", "job", j.ID, "kind", j.Kind, "state", j.State, "deaths", j.Deaths, "lone_deaths", j.LoneDeaths)
	}
	if err := s.repair(ctx); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		s.Log.Error("sweep the queue", "err", err) // one bad task must not keep the node down
	}
	return nil
}

// listen subscribes to the hints that save a poll interval.
func (s *Service) listen() ([]*nats.Subscription, error) {
	ready, err := events.JobsReady.Listen(s.Bus, func(events.Jobs) { s.jobs.fire() })
	if err != nil {
		return nil, err
	}
	subs := []*nats.Subscription{ready}
	for _, over := range []events.Topic[events.Task]{events.TaskCancelled, events.TaskPaused, events.TaskFailed} {
		sub, err := over.Listen(s.Bus, func(events.Task) { s.renewals.fire() })
		if err != nil {
			return subs, err
		}
		subs = append(subs, sub)
	}
	return subs, nil
}

// signal says that jobs of a rank can be leased.
func (s *Service) signal(rank store.Rank) {
	events.JobsReady.Announce(s.Bus, s.Log, events.Jobs{Rank: int(rank)})
}

// announce publishes where a task stands.
func (s *Service) announce(ctx context.Context, topic events.Topic[events.Task], t store.Task) {
	s.markSpan(ctx, topic, t)
	topic.Announce(s.Bus, s.Log, events.OfTask(t, time.Now().UTC()))
}

// announceEnd publishes that a task is over.
func (s *Service) announceEnd(ctx context.Context, t store.Task) {
	topic, id := events.TaskEnd(t)
	s.markSpan(ctx, topic, t)
	topic.AnnounceAs(s.Bus, s.Log, id, events.OfTask(t, t.Finished))
}

// announceVideo publishes that a video's record has changed.
func (s *Service) announceVideo(v store.Video) {
	events.VideoChanged.Announce(s.Bus, s.Log, events.Video{VideoID: v.ID, State: string(v.State)})
}

// announceState publishes what a video has come to, and the task with which it
// has failed.
func (s *Service) announceState(v store.Video, t store.Task) {
	payload := events.Video{VideoID: v.ID, State: string(v.State)}
	if v.State == store.VideoPlayable {
		events.VideoPlayable.Announce(s.Bus, s.Log, payload)
	}
	if topic, id, _, ok := events.VideoEnd(v, t); ok {
		topic.AnnounceAs(s.Bus, s.Log, id, payload)
	}
}

// wake lets many goroutines wait for the next signal.
type wake struct {
	mu sync.Mutex
	ch chan struct{}
}

func newWake() *wake { return &wake{ch: make(chan struct{})} }

// next returns a channel that is closed at the next fire. Take it before
// looking at what the signal is about, so that none is missed.
func (w *wake) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ch
}

func (w *wake) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.ch)
	w.ch = make(chan struct{})
}

// takeBackTries is how often a start asks a queue that fails.
const takeBackTries = 5

// takeBack takes back the leases that earlier runs of this node left. A start
// that fails stops the node, so one failed call of the queue is not enough.
func (s *Service) takeBack(ctx context.Context) (jobs []store.Job, err error) {
	for try := range takeBackTries {
		jobs, err = s.Queue.Reap(ctx, reapRequest(store.Dead{Node: s.Owner.Node, Boot: s.Owner.Boot}))
		if err == nil {
			return jobs, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(250 * time.Millisecond << try):
		}
	}
	return nil, err
}

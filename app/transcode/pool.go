package transcode

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"streamgate/app/media"
	"streamgate/store"
)

// pool is the workers of this node: it starts a goroutine for each, and knows
// what each is doing.
type pool struct {
	mu       sync.Mutex
	workers  []*worker
	made     int // workers so far: their names
	express  int
	draining bool // the transcoder is drained
	away     bool // the node is
	busy     int  // workers that may lease, or run what they did
	closed   bool
	spawn    func(*worker) // runs the worker until it ends
	running  sync.WaitGroup
}

// worker is one goroutine that runs one job at a time. Its fields are guarded
// by the pool.
type worker struct {
	name    string
	maxRank store.Rank // of the jobs that it takes

	leaving   bool // ends when its job has
	drained   bool // takes no more jobs
	job       *running
	unhealthy string    // why it was replaced; it has ended
	ended     time.Time // when
}

// running is a job that a worker runs.
type running struct {
	store.Job
	asked    time.Time // for its lease, which lasts no less from then
	began    time.Time
	progress progress
	watch    media.Watch // of its ffmpeg
}

// open starts workers that take every job, and express ones that take only
// what viewers wait for.
func (p *pool) open(workers, express int, spawn func(*worker)) {
	p.spawn = spawn
	p.resize(workers)
	p.mu.Lock()
	defer p.mu.Unlock()
	for range express {
		p.express++
		p.start(&worker{name: fmt.Sprintf("express-%d", p.express), maxRank: store.RankDemanded})
	}
}

// start needs the lock.
func (p *pool) start(w *worker) {
	p.workers = append(p.workers, w)
	p.running.Go(func() {
		p.spawn(w)
		p.mu.Lock()
		defer p.mu.Unlock()
		if w.unhealthy == "" {
			p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
		}
	})
}

// resize starts workers, or lets some end with their job: idle ones first.
func (p *pool) resize(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	staying := p.staying()
	for range n - len(staying) {
		p.made++
		p.start(&worker{name: fmt.Sprintf("worker-%d", p.made), maxRank: store.RankOrdinary})
	}
	slices.SortStableFunc(staying, func(a, b *worker) int { return cmp.Compare(busy(a), busy(b)) })
	for _, w := range staying[:max(0, len(staying)-n)] {
		w.leaving = true
	}
}

func busy(w *worker) int {
	if w.job != nil {
		return 1
	}
	return 0
}

// staying lists the ordinary workers that are not about to end; it needs the
// lock.
func (p *pool) staying() (out []*worker) {
	for _, w := range p.workers {
		if w.maxRank == store.RankOrdinary && !w.leaving && w.unhealthy == "" {
			out = append(out, w)
		}
	}
	return out
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.staying())
}

// close waits for every worker; none is started any more.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.running.Wait()
}

// may tells whether a worker is to go on, and whether it may take a job: it says
// when it has, or when there was none.
func (p *pool) may(w *worker) (goOn, take bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	goOn = !w.leaving && w.unhealthy == ""
	take = goOn && !w.drained && !p.resting()
	if take {
		p.busy++
	}
	return goOn, take
}

// took ends what may allowed.
func (p *pool) took() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
}

// resting tells whether no worker takes jobs; it needs the lock.
func (p *pool) resting() bool { return p.draining || p.away }

// take notes what a worker runs; nil when it has ended.
func (p *pool) take(w *worker, job *running) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.job = job
}

// replace ends a worker whose job went wrong in a way that its next might too,
// and starts another.
func (p *pool) replace(w *worker, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.unhealthy, w.ended = why, time.Now()
	if p.closed {
		return
	}
	if w.maxRank != store.RankOrdinary {
		p.express++
		p.start(&worker{name: fmt.Sprintf("express-%d", p.express), maxRank: w.maxRank})
		return
	}
	p.made++
	p.start(&worker{name: fmt.Sprintf("worker-%d", p.made), maxRank: w.maxRank, leaving: w.leaving, drained: w.drained})
}

// forget drops the unhealthy workers that ended that long ago.
func (p *pool) forget(age time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = slices.DeleteFunc(p.workers, func(w *worker) bool {
		return w.unhealthy != "" && time.Since(w.ended) >= age
	})
}

// drain says whether a worker ("" for all of them, those to come included)
// takes jobs. It tells whether there is such a worker.
func (p *pool) drain(name string, drained bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == "" {
		p.draining = drained
		for _, w := range p.workers {
			w.drained = w.drained && drained
		}
		return true
	}
	for _, w := range p.workers {
		if w.name == name && w.unhealthy == "" {
			w.drained = drained
			return true
		}
	}
	return false
}

// drains tells whether the transcoder is drained, and whether the node is.
func (p *pool) drains() (transcoder, node bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draining, p.away
}

// drainNode says whether workers take jobs at all. What is said of one of them, or of
// the transcoder, stays as it is.
func (p *pool) drainNode(drained bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = drained
}

// runningJobs counts the jobs that run, and those that may begin at this moment.
func (p *pool) runningJobs() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

// counts are the workers that take every job, by what they do.
type counts struct{ total, active, idle, unhealthy int }

func (p *pool) counts() (c counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		switch {
		case w.maxRank != store.RankOrdinary:
			continue
		case w.unhealthy != "":
			c.unhealthy++
		case w.job != nil:
			c.active++
		default:
			c.idle++
		}
		c.total++
	}
	return c
}

// The states of a worker.
const (
	workerIdle      = "idle"
	workerActive    = "active"
	workerDraining  = "draining" // it finishes its job
	workerDrained   = "drained"
	workerUnhealthy = "unhealthy" // it was replaced
)

// snapshot is what is known of one worker.
type snapshot struct {
	name, state, why string
	express          bool
	job              *running
}

func (p *pool) list() []snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]snapshot, 0, len(p.workers))
	for _, w := range p.workers {
		s := snapshot{name: w.name, express: w.maxRank != store.RankOrdinary, job: w.job, why: w.unhealthy, state: workerIdle}
		switch {
		case w.unhealthy != "":
			s.state = workerUnhealthy
		case (w.drained || p.resting() || w.leaving) && w.job != nil:
			s.state = workerDraining
		case w.drained || p.resting():
			s.state = workerDrained
		case w.job != nil:
			s.state = workerActive
		}
		out = append(out, s)
	}
	return out
}

package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"streamgate/store"
)

// model does the same random steps on the queue and on the model and compares
// every answer, then everything that is stored.
func (q *queueTest) model() {
	for seed := range uint64(3) {
		d := &pair{queueTest: q, model: NewQueue(q.clock.Now), rand: rand.New(rand.NewPCG(seed, 2)), seed: seed}
		for d.step = range 150 {
			d.move()
			d.compare()
		}
		for _, task := range d.tasks() {
			_, err := q.q.Cancel(q.Context(), task)
			check(q.T, err)
		}
		check(q.T, q.q.SetPaused(q.Context(), false))
	}
}

// pair is a queue and the model side by side. Their tokens are their own, so
// a lease is remembered with both.
type pair struct {
	*queueTest
	model *Queue
	rand  *rand.Rand
	seed  uint64
	step  int
	held  []heldLease
}

type heldLease struct {
	id           string
	token, model uint64
}

func (d *pair) move() {
	switch d.rand.IntN(12) {
	case 0, 1:
		d.push()
	case 2, 3, 4:
		d.lease()
	case 5:
		d.renew()
	case 6, 7:
		d.finish()
	case 8:
		d.boost()
	case 9, 10:
		d.control()
	default:
		d.rare()
	}
}

func (d *pair) push() {
	jobs := make([]store.Job, 1+d.rand.IntN(3))
	for i := range jobs {
		jobs[i] = d.randomJob()
	}
	d.wantSame("push", d.q.Push(d.Context(), jobs...), d.model.Push(d.Context(), jobs...))
}

func (d *pair) lease() {
	owner := []store.Owner{worker(), restarted()}[d.rand.IntN(2)]
	rank := store.Rank(d.rand.IntN(3))
	req := store.LeaseRequest{Owner: owner, MaxRank: rank, TTL: ttl, Max: d.rand.IntN(3), Suspects: d.rand.IntN(4) == 0, Encoder: d.anyEncoder()}
	got, err := d.q.Lease(d.Context(), req)
	want, modelErr := d.model.Lease(d.Context(), req)
	d.wantSame("lease", err, modelErr)
	for i := range min(len(got), len(want)) {
		d.held = append(d.held, heldLease{got[i].ID, got[i].Lease.Token, want[i].Lease.Token})
	}
	d.same("leased", got, want)
}

func (d *pair) renew() {
	g := d.anyHeld()
	progress := d.rand.Float64()
	d.wantSame("renew",
		d.q.Renew(d.Context(), g.id, g.token, ttl, progress),
		d.model.Renew(d.Context(), g.id, g.model, ttl, progress))
}

func (d *pair) finish() {
	g := d.anyHeld()
	var out store.Outcome
	if d.rand.IntN(3) == 0 {
		out.Retry, out.After = true, d.anyDelay()
	}
	if d.rand.IntN(3) == 0 {
		out.Failure = &store.Failure{Code: fmt.Sprint("step_", d.step)}
		out.Killed = d.rand.IntN(2) == 0
	}
	for range d.rand.IntN(3) {
		out.Push = append(out.Push, d.randomJob())
	}
	d.wantSame("finish",
		d.q.Finish(d.Context(), g.id, g.token, out),
		d.model.Finish(d.Context(), g.id, g.model, out))
}

func (d *pair) boost() {
	rank, ids := store.Rank(d.rand.IntN(2)), []string{d.anyID(), d.anyID(), d.anyID()}
	got, err := d.q.Boost(d.Context(), rank, ids...)
	want, modelErr := d.model.Boost(d.Context(), rank, ids...)
	d.wantSame("boost", err, modelErr)
	same(d.T, d.where("boosted"), got, want)
}

// control does what operators do.
func (d *pair) control() {
	task := d.tasks()[d.rand.IntN(3)]
	priority := 10 * d.rand.IntN(3)
	ids := []string{d.anyID(), d.anyID(), d.anyID()}
	fresh := d.randomJob()
	count, paused := 1+d.rand.IntN(2), d.rand.IntN(3) == 0
	calls := []func(store.Queue) (any, error){
		func(q store.Queue) (any, error) { return nil, q.PushWithin(d.Context(), fresh, count) },
		func(q store.Queue) (any, error) { return q.Redo(d.Context(), ids...) },
		func(q store.Queue) (any, error) { return q.Reprioritise(d.Context(), task, priority) },
		func(q store.Queue) (any, error) { return q.PauseTask(d.Context(), task) },
		func(q store.Queue) (any, error) { return q.ResumeTask(d.Context(), task) },
		func(q store.Queue) (any, error) { return nil, q.SetPaused(d.Context(), paused) },
		func(q store.Queue) (any, error) {
			jobs, err := q.Admit(d.Context(), count)
			return jobIDs(jobs), err
		},
		func(q store.Queue) (any, error) { return q.Open(d.Context(), task) },
		func(q store.Queue) (any, error) {
			holders, err := q.Holders(d.Context())
			return fmt.Sprint(holders), err
		},
	}
	n := d.rand.IntN(len(calls))
	got, err := calls[n](d.q)
	want, modelErr := calls[n](d.model)
	d.wantSame("control", err, modelErr)
	same(d.T, d.where(fmt.Sprint("call ", n)), got, want)
}

func (d *pair) rare() {
	switch d.rand.IntN(3) {
	case 0:
		d.clock.Advance(time.Duration(d.rand.IntN(40)) * time.Second)
	case 1:
		req := store.ReapRequest{SuspectAfter: d.rand.IntN(3), Delay: d.anyDelay(), MaxDelay: 15 * time.Second}
		if d.rand.IntN(2) == 0 {
			req.Dead = ofNode("n1", []string{"", "b1", "b2"}[d.rand.IntN(3)])
			req.Dead[0].Gone = []string{"", "b1", "b2"}[d.rand.IntN(3)]
		}
		got, err := d.q.Reap(d.Context(), req)
		want, modelErr := d.model.Reap(d.Context(), req)
		d.wantSame("reap", err, modelErr)
		same(d.T, d.where("reaped"), len(got), len(want))
	default:
		task := d.tasks()[d.rand.IntN(3)]
		got, err := d.q.Cancel(d.Context(), task)
		want, modelErr := d.model.Cancel(d.Context(), task)
		d.wantSame("cancel", err, modelErr)
		same(d.T, d.where("cancelled"), got, want)
	}
}

// compare looks at all that is stored.
func (d *pair) compare() {
	d.Helper()
	for _, task := range d.tasks() {
		got, err := d.q.Jobs(d.Context(), task)
		check(d.T, err)
		want, err := d.model.Jobs(d.Context(), task)
		check(d.T, err)
		d.same("jobs of "+task, got, want)
	}
	got, err := d.q.Stats(d.Context())
	check(d.T, err)
	want, err := d.model.Stats(d.Context())
	check(d.T, err)
	same(d.T, d.where("stats"), got, want)
}

func (d *pair) tasks() []string { return []string{"t1", "t2", "t3"} }

// anyID is one of few, so that ids meet again.
func (d *pair) anyID() string { return fmt.Sprintf("j%d", d.rand.IntN(40)) }

// anyEncoder is none, or one of two.
func (d *pair) anyEncoder() string { return []string{"", "x-1.0", "y-2.0"}[d.rand.IntN(3)] }

// anyDelay is none, or some.
func (d *pair) anyDelay() time.Duration { return time.Duration(d.rand.IntN(2)) * 10 * time.Second }

func (d *pair) randomJob() store.Job {
	job := d.job(d.anyID())
	job.TaskID = d.tasks()[d.rand.IntN(3)]
	job.Rank = store.Rank(d.rand.IntN(3))
	job.Priority = 10 * d.rand.IntN(3)
	job.Ordinal = d.rand.IntN(3)
	job.Encoder = d.anyEncoder()
	job.Delay, job.Backlog = d.anyDelay(), d.rand.IntN(4) == 0
	return job
}

// anyHeld is a lease handed out before, often one that is lost.
func (d *pair) anyHeld() heldLease {
	if len(d.held) == 0 {
		return heldLease{id: d.anyID()}
	}
	return d.held[len(d.held)-1-d.rand.IntN(min(len(d.held), 6))]
}

func (d *pair) where(what string) string {
	return fmt.Sprintf("seed %d, step %d: %s", d.seed, d.step, what)
}

// wantSame checks that both calls ended alike.
func (d *pair) wantSame(what string, got, want error) {
	d.Helper()
	alike := (got == nil) == (want == nil)
	for _, sentinel := range []error{store.ErrEmpty, store.ErrExists, store.ErrLeaseLost} {
		alike = alike && errors.Is(got, sentinel) == errors.Is(want, sentinel)
	}
	if !alike {
		d.Fatalf("%s: got error %v, want %v", d.where(what), got, want)
	}
}

// same compares jobs but for their tokens.
func (d *pair) same(what string, got, want []store.Job) {
	d.Helper()
	for i := range got {
		got[i].Lease.Token = 0
	}
	for i := range want {
		want[i].Lease.Token = 0
	}
	same(d.T, d.where(what), got, want)
}

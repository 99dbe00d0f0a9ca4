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
		d := &duel{queueTest: q, model: NewQueue(q.clock.Now), rand: rand.New(rand.NewPCG(seed, 2)), seed: seed}
		for d.step = range 150 {
			d.move()
			d.compare()
		}
		for _, task := range d.tasks() {
			_, err := q.q.Cancel(q.Context(), task)
			check(q.T, err)
		}
	}
}

// duel is a queue and the model side by side. Their tokens are their own, so
// a lease is remembered with both.
type duel struct {
	*queueTest
	model *Queue
	rand  *rand.Rand
	seed  uint64
	step  int
	held  []grip
}

type grip struct {
	id           string
	token, model uint64
}

func (d *duel) move() {
	switch d.rand.IntN(10) {
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
	default:
		d.rare()
	}
}

func (d *duel) push() {
	jobs := make([]store.Job, 1+d.rand.IntN(3))
	for i := range jobs {
		jobs[i] = d.randomJob()
	}
	d.wantSame("push", d.q.Push(d.Context(), jobs...), d.model.Push(d.Context(), jobs...))
}

func (d *duel) lease() {
	owner := []store.Owner{worker(), restarted()}[d.rand.IntN(2)]
	rank := store.Rank(d.rand.IntN(3))
	got, err := d.q.Lease(d.Context(), owner, rank, ttl)
	want, modelErr := d.model.Lease(d.Context(), owner, rank, ttl)
	d.wantSame("lease", err, modelErr)
	d.held = append(d.held, grip{got.ID, got.Lease.Token, want.Lease.Token})
	d.same("leased", []store.Job{got}, []store.Job{want})
}

func (d *duel) renew() {
	g := d.anyGrip()
	progress := d.rand.Float64()
	d.wantSame("renew",
		d.q.Renew(d.Context(), g.id, g.token, ttl, progress),
		d.model.Renew(d.Context(), g.id, g.model, ttl, progress))
}

func (d *duel) finish() {
	g := d.anyGrip()
	var out store.Outcome
	if d.rand.IntN(3) == 0 {
		out.RetryAt = d.anyTime()
		out.Failure = &store.Failure{Code: fmt.Sprint("step_", d.step)}
	}
	for range d.rand.IntN(3) {
		out.Push = append(out.Push, d.randomJob())
	}
	d.wantSame("finish",
		d.q.Finish(d.Context(), g.id, g.token, out),
		d.model.Finish(d.Context(), g.id, g.model, out))
}

func (d *duel) boost() {
	rank, ids := store.Rank(d.rand.IntN(2)), []string{d.anyID(), d.anyID(), d.anyID()}
	got, err := d.q.Boost(d.Context(), rank, ids...)
	want, modelErr := d.model.Boost(d.Context(), rank, ids...)
	d.wantSame("boost", err, modelErr)
	same(d.T, d.where("boosted"), got, want)
}

func (d *duel) rare() {
	switch d.rand.IntN(3) {
	case 0:
		d.clock.Advance(time.Duration(d.rand.IntN(40)) * time.Second)
	case 1:
		self := []store.Owner{{}, worker(), restarted()}[d.rand.IntN(3)]
		got, err := d.q.Reap(d.Context(), self)
		want, modelErr := d.model.Reap(d.Context(), self)
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
func (d *duel) compare() {
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

func (d *duel) tasks() []string { return []string{"t1", "t2", "t3"} }

// anyID is one of few, so that ids meet again.
func (d *duel) anyID() string { return fmt.Sprintf("j%d", d.rand.IntN(40)) }

// anyTime is past, present or to come.
func (d *duel) anyTime() time.Time {
	return d.clock.Now().Add(time.Duration(d.rand.IntN(3)-1) * 10 * time.Second)
}

func (d *duel) randomJob() store.Job {
	job := d.job(d.anyID())
	job.TaskID = d.tasks()[d.rand.IntN(3)]
	job.Rank = store.Rank(d.rand.IntN(3))
	job.Priority = 10 * d.rand.IntN(3)
	job.Ordinal = d.rand.IntN(3)
	if d.rand.IntN(3) == 0 {
		job.RunAt = d.anyTime()
	}
	return job
}

// anyGrip is a lease handed out before, often one that is lost.
func (d *duel) anyGrip() grip {
	if len(d.held) == 0 {
		return grip{id: d.anyID()}
	}
	return d.held[len(d.held)-1-d.rand.IntN(min(len(d.held), 6))]
}

func (d *duel) where(what string) string {
	return fmt.Sprintf("seed %d, step %d: %s", d.seed, d.step, what)
}

// wantSame checks that both calls ended alike.
func (d *duel) wantSame(what string, got, want error) {
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
func (d *duel) same(what string, got, want []store.Job) {
	d.Helper()
	for i := range got {
		got[i].Lease.Token = 0
	}
	for i := range want {
		want[i].Lease.Token = 0
	}
	same(d.T, d.where(what), got, want)
}

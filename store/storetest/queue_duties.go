package storetest

import (
	"context"
	"math"
	"slices"
	"time"

	"streamgate/store"
)

func (q *queueTest) pushSets() {
	given := q.job("a")
	given.State = store.JobDone
	given.Attempt = 7
	given.Lease = store.Lease{Token: 9, Owner: worker(), Expires: q.clock.Now()}
	// The same moment on another wall.
	given.Created = given.Created.In(time.FixedZone("elsewhere", 3600))
	q.push(given)

	want := q.job("a")
	want.State = store.JobReady
	same(q.T, "job", q.get("a"), want)
	q.wantStats(0, 1, 0, 0)
}

func (q *queueTest) pushAllOrNone() {
	q.push()
	q.push(q.job("a"))
	wantErr(q.T, "push a taken id", q.q.Push(q.Context(), q.job("b"), q.job("a")), store.ErrExists)
	wantErr(q.T, "push an id twice", q.q.Push(q.Context(), q.job("b"), q.job("b")), store.ErrExists)
	q.wantStats(0, 1, 0, 0)

	leased := q.lease()
	wantErr(q.T, "push a leased id", q.q.Push(q.Context(), q.job("a")), store.ErrExists)
	q.finishJob(leased, store.Outcome{})
	wantErr(q.T, "push a done id", q.q.Push(q.Context(), q.job("a")), store.ErrExists)
	q.push(q.job("b"))
	q.wantStats(0, 1, 0, 1)
}

// order makes every neighbour in the wanted order differ in one field, with
// all later fields pulling the other way.
func (q *queueTest) order() {
	early, late := q.clock.Now(), q.clock.Now().Add(time.Nanosecond)
	rows := []struct {
		id       string
		rank     store.Rank
		priority int
		created  time.Time
		ordinal  int
	}{
		{"z", store.RankDemanded, 0, late, 9},
		{"y", store.RankFirst, 0, late, 9},
		{"x", store.RankOrdinary, 100, late, 9},
		{"w", store.RankOrdinary, 50, early, 9},
		{"v", store.RankOrdinary, 50, late, 2},
		{"a", store.RankOrdinary, 50, late, 10},
		{"b", store.RankOrdinary, 50, late, 10},
		{"c", store.RankOrdinary, 0, early, 0},
	}
	var want []string
	var jobs []store.Job
	for _, row := range rows {
		job := q.job(row.id)
		job.Rank, job.Priority, job.Created, job.Ordinal = row.rank, row.priority, row.created, row.ordinal
		jobs = append(jobs, job)
		want = append(want, row.id)
	}
	slices.SortFunc(jobs, func(a, b store.Job) int { return a.Ordinal - b.Ordinal })
	q.push(jobs...)
	q.wantLeased(want...)
}

// orderFar checks that an index by bytes holds for odd values too.
func (q *queueTest) orderFar() {
	var jobs []store.Job
	add := func(id string, change func(*store.Job)) {
		job := q.job(id)
		change(&job)
		jobs = append(jobs, job)
	}
	add("8", func(j *store.Job) { j.Ordinal = math.MaxInt32 })
	add("7", func(j *store.Job) { j.Ordinal = 256 })
	add("6", func(j *store.Job) { j.Ordinal = 255 })
	add("5", func(j *store.Job) { j.Ordinal = -1 })
	add("4", func(j *store.Job) { j.Created = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) })
	add("3", func(j *store.Job) { j.Created = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC) })
	add("9", func(j *store.Job) { j.Priority = -1 })
	add("2", func(j *store.Job) { j.Rank = -1 })
	q.push(jobs...)
	q.wantLeased("2", "3", "4", "5", "6", "7", "8", "9")
}

// wantLeased checks Jobs and then Lease for the order.
func (q *queueTest) wantLeased(ids ...string) {
	q.Helper()
	jobs, err := q.q.Jobs(q.Context(), "t1")
	check(q.T, err)
	q.wantIDs(jobs, ids...)
	var leased []store.Job
	for range ids {
		leased = append(leased, q.lease())
	}
	q.wantIDs(leased, ids...)
	q.wantEmpty()
	jobs, err = q.q.Jobs(q.Context(), "t1")
	check(q.T, err)
	q.wantIDs(jobs, ids...)
}

func (q *queueTest) leaseSets() {
	q.wantEmpty()
	q.push(q.job("a"))
	job := q.lease()
	if job.Lease.Token == 0 {
		q.Error("the token of a lease is 0, which is what a job has that was never leased")
	}
	want := q.job("a")
	want.State = store.JobLeased
	want.Attempt = 1
	want.Lease = store.Lease{Token: job.Lease.Token, Owner: worker(), Expires: q.clock.Now().Add(ttl)}
	same(q.T, "leased", job, want)
	same(q.T, "stored", q.get("a"), want)
	q.wantEmpty()
	q.wantStats(0, 0, 1, 0)
}

func (q *queueTest) leaseRank() {
	ordinary, first := q.job("a"), q.job("b")
	first.Rank = store.RankFirst
	q.push(ordinary)
	_, err := q.q.Lease(q.Context(), worker(), store.RankFirst, ttl)
	wantErr(q.T, "lease up to first", err, store.ErrEmpty)

	q.push(first)
	_, err = q.q.Lease(q.Context(), worker(), store.RankDemanded, ttl)
	wantErr(q.T, "lease up to demanded", err, store.ErrEmpty)
	got, err := q.q.Lease(q.Context(), worker(), store.RankFirst, ttl)
	check(q.T, err)
	same(q.T, "id", got.ID, "b")
}

func (q *queueTest) leaseRunAt() {
	soon, later := q.job("soon"), q.job("later")
	soon.RunAt = q.clock.Now().Add(time.Second)
	later.RunAt = q.clock.Now().Add(time.Minute)
	later.Priority = 100
	now := q.job("z")
	now.RunAt = q.clock.Now()
	q.push(soon, later, now)
	q.wantStats(2, 1, 0, 0)
	same(q.T, "state", q.get("soon").State, store.JobLater)
	same(q.T, "first", q.lease().ID, "z")

	q.clock.Advance(time.Second - 1)
	q.wantEmpty()
	q.wantStats(2, 0, 1, 0)
	q.clock.Advance(1)
	// Seen to be ready before any Lease looks.
	q.wantStats(1, 1, 1, 0)
	same(q.T, "state", q.get("soon").State, store.JobReady)
	q.clock.Advance(time.Hour)
	same(q.T, "then by order", q.lease().ID, "later")
	same(q.T, "then by order", q.lease().ID, "soon")
}

func (q *queueTest) renew() {
	q.push(q.job("a"))
	job := q.lease()
	q.clock.Advance(ttl / 2)
	check(q.T, q.q.Renew(q.Context(), "a", job.Lease.Token, ttl, 0.25))

	want := job
	want.Progress = 0.25
	want.Lease.Expires = q.clock.Now().Add(ttl)
	same(q.T, "renewed", q.get("a"), want)

	q.clock.Advance(ttl - 1)
	reaped, err := q.q.Reap(q.Context(), store.Owner{})
	check(q.T, err)
	q.wantIDs(reaped)
}

func (q *queueTest) fencing() {
	q.push(q.job("a"), q.job("b"))
	q.wantLost("a", 0)
	a, b := q.lease(), q.lease()
	q.wantLost("a", b.Lease.Token)
	q.wantLost("a", a.Lease.Token+100)

	q.clock.Advance(ttl)
	_, err := q.q.Reap(q.Context(), store.Owner{})
	check(q.T, err)
	q.wantLost("a", a.Lease.Token)
	if token := q.get("a").Lease.Token; token == a.Lease.Token {
		q.Error("reap kept the token")
	} else {
		q.wantLost("a", token)
	}

	again := q.lease()
	same(q.T, "id", again.ID, "a")
	same(q.T, "attempt", again.Attempt, 2)
	if again.Lease.Token <= a.Lease.Token {
		q.Errorf("token %d after %d: it must rise", again.Lease.Token, a.Lease.Token)
	}
	q.wantLost("a", a.Lease.Token)
	q.finishJob(again, store.Outcome{})
	q.wantLost("a", again.Lease.Token)
}

// lateFinish: only Reap, Lease and Cancel take a lease away, time alone does not.
func (q *queueTest) lateFinish() {
	q.push(q.job("a"))
	job := q.lease()
	q.clock.Advance(2 * ttl)
	q.wantEmpty()
	check(q.T, q.q.Renew(q.Context(), "a", job.Lease.Token, ttl, 0.5))
	q.clock.Advance(2 * ttl)
	q.finishJob(job, store.Outcome{})
}

func (q *queueTest) finish() {
	q.push(q.job("a"), q.job("b"))
	a, b := q.lease(), q.lease()
	q.finishJob(a, store.Outcome{})
	failure := &store.Failure{Code: "encoder_failed", Message: "The encoder stopped."}
	q.finishJob(b, store.Outcome{Failure: failure})

	same(q.T, "state", q.get("a").State, store.JobDone)
	same(q.T, "failure", q.get("a").Failure, (*store.Failure)(nil))
	same(q.T, "state", q.get("b").State, store.JobDone)
	same(q.T, "failure", q.get("b").Failure, failure)
	q.wantStats(0, 0, 0, 2)
	q.wantEmpty()
	jobs, err := q.q.Jobs(q.Context(), "t1")
	check(q.T, err)
	q.wantIDs(jobs, "a", "b")
}

func (q *queueTest) retry() {
	q.push(q.job("a"))
	failure := &store.Failure{Code: "encoder_failed", Message: "The encoder stopped."}
	at := q.clock.Now().Add(time.Minute)
	q.finishJob(q.lease(), store.Outcome{RetryAt: at, Failure: failure})

	job := q.get("a")
	same(q.T, "state", job.State, store.JobLater)
	same(q.T, "run at", job.RunAt, at)
	same(q.T, "failure", job.Failure, failure)
	same(q.T, "owner", job.Lease.Owner, store.Owner{})
	q.wantLost("a", job.Lease.Token)
	q.wantEmpty()

	q.clock.Advance(time.Minute)
	again := q.lease()
	same(q.T, "attempt", again.Attempt, 2)
	// Given back at once, as a node does that stops.
	q.finishJob(again, store.Outcome{RetryAt: q.clock.Now()})
	q.wantStats(0, 1, 0, 0)
	same(q.T, "failure", q.get("a").Failure, (*store.Failure)(nil))
	same(q.T, "attempt", q.lease().Attempt, 3)
}

func (q *queueTest) follow() {
	q.push(q.job("plan"), q.job("old"))
	done := q.lease()
	same(q.T, "id", done.ID, "old")
	q.finishJob(done, store.Outcome{})

	later := q.job("later")
	later.RunAt = q.clock.Now().Add(time.Minute)
	changed := q.job("old")
	changed.Priority = 100
	self := q.job("plan")
	q.finishJob(q.lease(), store.Outcome{Push: []store.Job{q.job("new"), changed, self, later, q.job("new")}})

	q.wantStats(1, 1, 0, 2)
	same(q.T, "priority", q.get("old").Priority, 50)
	same(q.T, "state", q.get("old").State, store.JobDone)
	same(q.T, "state", q.get("plan").State, store.JobDone)
	same(q.T, "id", q.lease().ID, "new")
}

func (q *queueTest) followLost() {
	q.push(q.job("a"))
	job := q.lease()
	q.clock.Advance(ttl)
	_, err := q.q.Reap(q.Context(), store.Owner{})
	check(q.T, err)

	out := store.Outcome{Failure: &store.Failure{Code: "late"}, Push: []store.Job{q.job("b")}}
	wantErr(q.T, "finish", q.q.Finish(q.Context(), "a", job.Lease.Token, out), store.ErrLeaseLost)
	_, err = q.q.Job(q.Context(), "b")
	wantErr(q.T, "follow-up", err, store.ErrNotFound)
	same(q.T, "failure", q.get("a").Failure, (*store.Failure)(nil))
	q.wantStats(0, 1, 0, 0)
}

func (q *queueTest) boost() {
	demanded, later := q.job("d"), q.job("later")
	demanded.Rank = store.RankDemanded
	later.RunAt = q.clock.Now().Add(time.Minute)
	q.push(q.job("leased"), q.job("done"), later, q.job("z"), q.job("y"))
	q.finishJob(q.lease(), store.Outcome{})
	leased := q.lease()
	q.push(demanded)

	ids := []string{leased.ID, "done", later.ID, "z", "z", demanded.ID, "unknown"}
	n, err := q.q.Boost(q.Context(), store.RankFirst, ids...)
	check(q.T, err)
	same(q.T, "changed", n, 2) // later and z
	n, err = q.q.Boost(q.Context(), store.RankFirst, ids...)
	check(q.T, err)
	same(q.T, "changed again", n, 0)

	same(q.T, "rank", q.get("leased").Rank, store.RankOrdinary)
	same(q.T, "rank", q.get("d").Rank, store.RankDemanded)
	q.wantStats(1, 3, 1, 1)
	same(q.T, "first", q.lease().ID, "d")
	same(q.T, "second", q.lease().ID, "z")
	same(q.T, "third", q.lease().ID, "y")
	q.wantEmpty()
	q.clock.Advance(time.Minute)
	same(q.T, "rank", q.lease().Rank, store.RankFirst)
}

func (q *queueTest) cancel() {
	keep, alike, later := q.job("keep"), q.job("alike"), q.job("later")
	keep.TaskID, alike.TaskID = "t2", "t10"
	keep.Rank, alike.Rank = store.RankDemanded, store.RankDemanded
	later.RunAt = q.clock.Now().Add(time.Minute)
	q.push(q.job("a"), q.job("b"), q.job("c"), later)
	q.finishJob(q.lease(), store.Outcome{})
	leased := q.lease()
	q.push(keep, alike)

	n, err := q.q.Cancel(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "cancelled", n, 3)
	q.wantLost(leased.ID, leased.Lease.Token)
	jobs, err := q.q.Jobs(q.Context(), "t1")
	check(q.T, err)
	q.wantIDs(jobs)
	q.wantStats(0, 2, 0, 0)
	n, err = q.q.Cancel(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "cancelled again", n, 0)
}

func (q *queueTest) cancelToken() {
	q.push(q.job("a"))
	first := q.lease()
	_, err := q.q.Cancel(q.Context(), "t1")
	check(q.T, err)
	q.push(q.job("a"))
	same(q.T, "attempt", q.lease().Attempt, 1)
	q.wantLost("a", first.Lease.Token)
}

func (q *queueTest) reapExpired() {
	q.push(q.job("a"), q.job("b"), q.job("c"))
	a := q.lease()
	q.clock.Advance(time.Second)
	b := q.lease()
	check(q.T, q.q.Renew(q.Context(), "a", a.Lease.Token, ttl-time.Second, 0.5))

	q.clock.Advance(ttl - time.Second - 1)
	q.wantReaped(worker())
	q.clock.Advance(1)
	reaped := q.wantReaped(store.Owner{}, "a")
	same(q.T, "as it is now", reaped[0], q.get("a"))
	same(q.T, "state", reaped[0].State, store.JobReady)
	same(q.T, "attempt", reaped[0].Attempt, 1)
	same(q.T, "owner", reaped[0].Lease.Owner, store.Owner{})
	q.clock.Advance(time.Second)
	q.wantReaped(worker(), "b")
	q.wantLost("b", b.Lease.Token)
	q.wantReaped(worker())
	q.wantStats(0, 3, 0, 0)
}

func (q *queueTest) reapBoot() {
	elsewhere := store.Owner{Node: "n2", Boot: "b1", Worker: "w1"}
	nowhere := store.Owner{Boot: "b1"}
	for i, owner := range []store.Owner{worker(), restarted(), elsewhere, nowhere} {
		q.push(q.job(string(rune('a' + i))))
		_, err := q.q.Lease(q.Context(), owner, store.RankOrdinary, ttl)
		check(q.T, err)
	}
	q.wantReaped(store.Owner{})
	q.wantReaped(store.Owner{Boot: "b2"}) // no node: only expired ones
	q.wantReaped(store.Owner{Node: "n3", Boot: "b1"})
	q.wantReaped(restarted(), "a")
	q.wantStats(0, 1, 3, 0)
}

func (q *queueTest) wantReaped(self store.Owner, ids ...string) []store.Job {
	q.Helper()
	reaped, err := q.q.Reap(q.Context(), self)
	check(q.T, err)
	q.wantIDs(reaped, ids...)
	return reaped
}

func (q *queueTest) unknown() {
	_, err := q.q.Job(q.Context(), "nobody")
	wantErr(q.T, "job", err, store.ErrNotFound)
	_, err = q.q.Job(q.Context(), "")
	wantErr(q.T, "job without id", err, store.ErrNotFound)
	q.wantLost("nobody", 1)
	jobs, err := q.q.Jobs(q.Context(), "nothing")
	check(q.T, err)
	q.wantIDs(jobs)
	n, err := q.q.Boost(q.Context(), store.RankDemanded)
	check(q.T, err)
	same(q.T, "boosted", n, 0)
	n, err = q.q.Cancel(q.Context(), "nothing")
	check(q.T, err)
	same(q.T, "cancelled", n, 0)
	q.wantReaped(worker())
	q.wantStats(0, 0, 0, 0)
}

func (q *queueTest) copies() {
	q.push(q.job("a"))
	failure := &store.Failure{Code: "first"}
	q.finishJob(q.lease(), store.Outcome{Failure: failure})
	failure.Code = "changed by the giver"
	q.get("a").Failure.Code = "changed by a reader"
	same(q.T, "failure", q.get("a").Failure.Code, "first")
}

func (q *queueTest) cancelledContext() {
	q.push(q.job("a"), q.job("b"))
	held := q.lease()
	q.clock.Advance(ttl)
	before, err := q.q.Jobs(q.Context(), "t1")
	check(q.T, err)

	ctx := cancelled(q.T)
	for name, call := range map[string]func() error{
		"push":   func() error { return q.q.Push(ctx, q.job("c")) },
		"lease":  func() error { _, err := q.q.Lease(ctx, worker(), store.RankOrdinary, ttl); return err },
		"renew":  func() error { return q.q.Renew(ctx, held.ID, held.Lease.Token, ttl, 1) },
		"finish": func() error { return q.q.Finish(ctx, held.ID, held.Lease.Token, store.Outcome{}) },
		"boost":  func() error { _, err := q.q.Boost(ctx, store.RankDemanded, "b"); return err },
		"cancel": func() error { _, err := q.q.Cancel(ctx, "t1"); return err },
		"reap":   func() error { _, err := q.q.Reap(ctx, worker()); return err },
		"job":    func() error { _, err := q.q.Job(ctx, "a"); return err },
		"jobs":   func() error { _, err := q.q.Jobs(ctx, "t1"); return err },
		"stats":  func() error { _, err := q.q.Stats(ctx); return err },
	} {
		wantErr(q.T, name, call(), context.Canceled)
	}
	after, err := q.q.Jobs(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "jobs", after, before)
	q.wantStats(0, 1, 1, 0)
}

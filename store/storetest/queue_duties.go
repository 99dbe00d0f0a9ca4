package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"streamgate/store"
)

func (q *queueTest) pushSets() {
	given := q.job("a")
	given.State = store.JobDone
	given.Kills = 3
	given.Leases, given.Failures, given.Deaths, given.LoneDeaths, given.Suspect = 7, 6, 5, 4, true
	given.Attempts = []store.Attempt{{Log: "given"}}
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
	want.Leases = 1
	want.Lease = store.Lease{Token: job.Lease.Token, Owner: worker(), Started: q.clock.Now(), Expires: q.clock.Now().Add(ttl)}
	same(q.T, "leased", job, want)
	same(q.T, "stored", q.get("a"), want)
	q.wantEmpty()
	q.wantStats(0, 0, 1, 0)
}

func (q *queueTest) leaseRank() {
	ordinary, first := q.job("a"), q.job("b")
	first.Rank = store.RankFirst
	q.push(ordinary)
	_, err := q.tryLease(worker(), store.RankFirst)
	wantErr(q.T, "lease up to first", err, store.ErrEmpty)

	q.push(first)
	_, err = q.tryLease(worker(), store.RankDemanded)
	wantErr(q.T, "lease up to demanded", err, store.ErrEmpty)
	got, err := q.tryLease(worker(), store.RankFirst)
	check(q.T, err)
	same(q.T, "id", got.ID, "b")
}

// leaseEncoder puts foreign jobs ahead of what a worker can do. A retry, a death
// and a redoing leave a job to the encoder that it was pushed for.
func (q *queueTest) leaseEncoder() {
	lease := func(encoder string, ids ...string) []store.Job {
		q.Helper()
		jobs, err := q.q.Lease(q.Context(), store.LeaseRequest{
			Owner: worker(), MaxRank: store.RankOrdinary, TTL: ttl, Max: 9, Encoder: encoder,
		})
		if len(ids) == 0 {
			wantErr(q.T, "lease for "+encoder, err, store.ErrEmpty)
			return nil
		}
		check(q.T, err)
		q.wantIDs(jobs, ids...)
		return jobs
	}
	var jobs []store.Job
	for _, id := range []string{"a", "b", "c", "d"} {
		job := q.job(id)
		job.Encoder = map[string]string{"a": "x264-164.1", "b": "x264-165", "d": "x264-164.1"}[id]
		if job.Encoder == "" {
			job.Backlog = true
		}
		jobs = append(jobs, job)
	}
	q.push(jobs...)
	same(q.T, "encoder", q.get("a").Encoder, "x264-164.1")
	lease("") // nothing for a worker without an encoder
	lease("x264-164")
	admitted, err := q.q.Admit(q.Context(), 1)
	check(q.T, err)
	q.wantIDs(admitted, "c")
	done := lease("", "c")[0]
	got := lease("x264-164.1", "a", "d")
	q.finishJob(done, store.Outcome{})
	q.finishJob(got[0], store.Outcome{Retry: true})
	q.finishJob(got[1], store.Outcome{})
	_, err = q.q.Redo(q.Context(), "d")
	check(q.T, err)
	lease("x264-165", "b")
	q.clock.Advance(ttl)
	_, err = q.q.Reap(q.Context(), store.ReapRequest{})
	check(q.T, err)
	lease("x264-164.1", "a", "d")
	lease("")
	lease("x264-165", "b")
}

func (q *queueTest) leaseDelay() {
	soon, later := q.job("soon"), q.job("later")
	soon.Delay = time.Second
	later.Delay = time.Minute
	later.Priority = 100
	q.push(soon, later, q.job("z"))
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
	q.wantReaped(nil)
}

func (q *queueTest) fencing() {
	q.push(q.job("a"), q.job("b"))
	q.wantLost("a", 0)
	a, b := q.lease(), q.lease()
	q.wantLost("a", b.Lease.Token)
	q.wantLost("a", a.Lease.Token+100)

	q.clock.Advance(ttl)
	q.reap()
	q.wantLost("a", a.Lease.Token)
	if token := q.get("a").Lease.Token; token == a.Lease.Token {
		q.Error("reap kept the token")
	} else {
		q.wantLost("a", token)
	}

	again := q.lease()
	same(q.T, "id", again.ID, "a")
	same(q.T, "leases", again.Leases, 2)
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
	q.finishJob(q.lease(), store.Outcome{Retry: true, After: time.Minute, Failure: failure})

	job := q.get("a")
	same(q.T, "state", job.State, store.JobLater)
	same(q.T, "run at", job.RunAt, q.clock.Now().Add(time.Minute))
	same(q.T, "failure", job.Failure, failure)
	same(q.T, "failures", job.Failures, 1)
	same(q.T, "owner", job.Lease.Owner, store.Owner{})
	q.wantLost("a", job.Lease.Token)
	q.wantEmpty()

	q.clock.Advance(time.Minute)
	again := q.lease()
	same(q.T, "leases", again.Leases, 2)
	q.finishJob(again, store.Outcome{Failure: failure})
	same(q.T, "failures", q.get("a").Failures, 2)
	same(q.T, "kills", q.get("a").Kills, 0)
	q.wantStats(0, 0, 0, 1)
}

// killed: somebody else's doing is counted apart.
func (q *queueTest) killed() {
	q.push(q.job("a"))
	failure := &store.Failure{Code: "killed"}
	q.finishJob(q.lease(), store.Outcome{Retry: true, Failure: failure, Killed: true})
	job := q.lease()
	same(q.T, "failures and kills", [2]int{job.Failures, job.Kills}, [2]int{0, 1})
	same(q.T, "failure", job.Failure, failure)
	same(q.T, "attempts", len(job.Attempts), 1)
}

// giveBack: a node that stops has not tried.
func (q *queueTest) giveBack() {
	q.push(q.job("a"))
	q.finishJob(q.lease(), store.Outcome{Retry: true})
	q.wantStats(0, 1, 0, 0)
	job := q.lease()
	same(q.T, "failure", job.Failure, (*store.Failure)(nil))
	same(q.T, "failures", job.Failures, 0)
	same(q.T, "attempts", len(job.Attempts), 0)
	same(q.T, "leases", job.Leases, 2)
}

func (q *queueTest) attempts() {
	q.push(q.job("a"))
	for i := range store.MaxAttempts + 2 {
		job := q.lease()
		q.clock.Advance(time.Second)
		failure := &store.Failure{Code: fmt.Sprint("try_", i)}
		q.finishJob(job, store.Outcome{Retry: true, Failure: failure, Log: "what it said"})
	}
	got := q.get("a").Attempts
	same(q.T, "attempts", len(got), store.MaxAttempts)
	last := got[len(got)-1]
	same(q.T, "the last", last, store.Attempt{
		Owner: worker(), Started: q.clock.Now().Add(-time.Second), Ended: q.clock.Now(),
		Failure: store.Failure{Code: fmt.Sprint("try_", store.MaxAttempts+1)}, Log: "what it said",
	})
}

func (q *queueTest) leaseSeveral() {
	urgent := q.job("d")
	urgent.Rank = store.RankFirst
	q.push(q.job("a"), q.job("b"), q.job("c"), urgent)
	req := store.LeaseRequest{Owner: worker(), MaxRank: store.RankFirst, TTL: ttl, Max: 3}
	jobs, err := q.q.Lease(q.Context(), req)
	check(q.T, err)
	q.wantIDs(jobs, "d")
	req.MaxRank = store.RankOrdinary
	jobs, err = q.q.Lease(q.Context(), req)
	check(q.T, err)
	q.wantIDs(jobs, "a", "b", "c")
	if jobs[0].Lease.Token == jobs[1].Lease.Token {
		q.Error("two leases share a token")
	}
	q.wantEmpty()
	q.wantStats(0, 0, 4, 0)
}

func (q *queueTest) follow() {
	q.push(q.job("plan"), q.job("old"))
	done := q.lease()
	same(q.T, "id", done.ID, "old")
	q.finishJob(done, store.Outcome{})

	later := q.job("later")
	later.Delay = time.Minute
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
	q.reap()

	out := store.Outcome{Failure: &store.Failure{Code: "late"}, Push: []store.Job{q.job("b")}}
	wantErr(q.T, "finish", q.q.Finish(q.Context(), "a", job.Lease.Token, out), store.ErrLeaseLost)
	_, err := q.q.Job(q.Context(), "b")
	wantErr(q.T, "follow-up", err, store.ErrNotFound)
	same(q.T, "failure", q.get("a").Failure, (*store.Failure)(nil))
	q.wantStats(0, 1, 0, 0)
}

func (q *queueTest) boost() {
	demanded, later := q.job("d"), q.job("later")
	demanded.Rank = store.RankDemanded
	later.Delay = time.Minute
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
	later.Delay = time.Minute
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
	same(q.T, "leases", q.lease().Leases, 1)
	q.wantLost("a", first.Lease.Token)
}

func (q *queueTest) reapExpired() {
	q.push(q.job("a"), q.job("b"), q.job("c"))
	a := q.lease()
	q.clock.Advance(time.Second)
	b := q.lease()
	check(q.T, q.q.Renew(q.Context(), "a", a.Lease.Token, ttl-time.Second, 0.5))

	q.clock.Advance(ttl - time.Second - 1)
	q.wantReaped(ofNode("n1", "b1"))
	q.clock.Advance(1)
	reaped := q.wantReaped(nil, "a")
	same(q.T, "as it is now", reaped[0], q.get("a"))
	same(q.T, "state", reaped[0].State, store.JobReady)
	same(q.T, "leases", reaped[0].Leases, 1)
	same(q.T, "failures", reaped[0].Failures, 0)
	same(q.T, "owner", reaped[0].Lease.Owner, store.Owner{})
	q.clock.Advance(time.Second)
	q.wantReaped(nil, "b")
	q.wantLost("b", b.Lease.Token)
	q.wantReaped(nil)
	q.wantStats(0, 3, 0, 0)
}

func ofNode(node, boot string) []store.Dead { return []store.Dead{{Node: node, Boot: boot}} }

func (q *queueTest) reapBoot() {
	elsewhere := store.Owner{Node: "n2", Boot: "b1", Worker: "w1"}
	nowhere := store.Owner{Boot: "b1"}
	for i, owner := range []store.Owner{worker(), restarted(), elsewhere, nowhere} {
		q.push(q.job(string(rune('a' + i))))
		_, err := q.tryLease(owner, store.RankOrdinary)
		check(q.T, err)
	}
	q.wantReaped(nil)
	q.wantReaped(ofNode("", "b2"))
	q.wantReaped(ofNode("n3", "b1"))
	q.wantHolders(boot("", "b1"), boot("n1", "b1"), boot("n1", "b2"), boot("n2", "b1"))
	q.wantReaped([]store.Dead{{Node: "n2", Gone: "b2"}, {Node: "n3", Gone: "b1"}, {Gone: "b1"}})
	q.wantReaped(ofNode("n1", "b2"), "a")
	q.wantReaped([]store.Dead{{Node: "n1", Gone: "b1"}, {Node: "n2", Boot: "b1", Gone: "b1"}}, "c")
	q.wantHolders(boot("", "b1"), boot("n1", "b2"))
	q.wantReaped(append(ofNode("n2", ""), ofNode("n1", "")...), "b")
	q.wantStats(0, 3, 1, 0)
}

func boot(node, boot string) store.Owner { return store.Owner{Node: node, Boot: boot} }

func (q *queueTest) wantHolders(want ...store.Owner) {
	q.Helper()
	got, err := q.q.Holders(q.Context())
	check(q.T, err)
	same(q.T, "holders", got, want)
}

// reapDeaths: a death counts unless there was progress, and as a lone one if
// the node had no other lease.
func (q *queueTest) reapDeaths() {
	q.push(q.job("a"), q.job("b"))
	die := func(deaths, lone int) store.Job {
		q.Helper()
		q.reap(ofNode("n1", "")...)
		job := q.get("a")
		same(q.T, "deaths", [2]int{job.Deaths, job.LoneDeaths}, [2]int{deaths, lone})
		return job
	}
	q.lease()
	q.lease()
	job := die(1, 0)
	same(q.T, "code", job.Attempts[0].Failure.Code, store.CodeNodeDied)
	same(q.T, "owner", job.Attempts[0].Owner, worker())
	q.lease()
	die(2, 1)
	q.lease()
	die(3, 2)
	a := q.lease()
	check(q.T, q.q.Renew(q.Context(), "a", a.Lease.Token, ttl, 0.1))
	die(0, 0)
	q.lease()
	die(1, 1)
	q.finishJob(q.lease(), store.Outcome{Retry: true}) // given back: neither good nor bad
	same(q.T, "deaths", q.get("a").Deaths, 1)
	q.finishJob(q.lease(), store.Outcome{Retry: true, Failure: &store.Failure{Code: "x"}})
	same(q.T, "deaths", q.get("a").Deaths, 0)
	// Another node's lease is no company.
	_, err := q.tryLease(worker(), store.RankOrdinary)
	check(q.T, err)
	_, err = q.tryLease(store.Owner{Node: "n2", Boot: "b1"}, store.RankOrdinary)
	check(q.T, err)
	die(1, 1)
}

func (q *queueTest) suspects() {
	q.push(q.job("a"))
	req := store.ReapRequest{Dead: ofNode("n1", ""), SuspectAfter: 2, Delay: time.Second, MaxDelay: 2 * time.Second}
	die := func(state store.JobState, delay time.Duration) {
		q.Helper()
		reaped, err := q.q.Reap(q.Context(), req)
		check(q.T, err)
		same(q.T, "state", reaped[0].State, store.JobLater)
		q.clock.Advance(delay - 1)
		same(q.T, "state", q.get("a").State, store.JobLater)
		q.clock.Advance(1)
		same(q.T, "state", q.get("a").State, state)
	}
	lone := func() store.Job {
		q.Helper()
		job, err := leaseOne(q.Context(), q.q, store.LeaseRequest{Owner: worker(), MaxRank: store.RankOrdinary, TTL: ttl, Suspects: true})
		check(q.T, err)
		return job
	}
	q.lease()
	die(store.JobReady, time.Second)
	q.lease()
	die(store.JobSuspect, 2*time.Second)
	q.wantEmpty()
	lone()
	die(store.JobSuspect, 2*time.Second) // not three: MaxDelay
	stats, err := q.q.Stats(q.Context())
	check(q.T, err)
	same(q.T, "suspects", stats.Suspect, 1)
	q.finishJob(lone(), store.Outcome{Retry: true, Failure: &store.Failure{Code: "x"}})
	same(q.T, "state", q.get("a").State, store.JobReady)
	_, err = leaseOne(q.Context(), q.q, store.LeaseRequest{Owner: worker(), MaxRank: store.RankOrdinary, TTL: ttl, Suspects: true})
	wantErr(q.T, "lease a suspect", err, store.ErrEmpty)
	q.lease()
}

func (q *queueTest) reap(dead ...store.Dead) []store.Job {
	q.Helper()
	reaped, err := q.q.Reap(q.Context(), store.ReapRequest{Dead: dead})
	check(q.T, err)
	return reaped
}

func (q *queueTest) wantReaped(dead []store.Dead, ids ...string) []store.Job {
	q.Helper()
	reaped := q.reap(dead...)
	q.wantIDs(reaped, ids...)
	return reaped
}

func (q *queueTest) admit() {
	low, high, now := q.job("low"), q.job("high"), q.job("now")
	low.TaskID, high.TaskID = "t2", "t3"
	low.Backlog, high.Backlog = true, true
	high.Priority = 90
	q.push(low, high, now)
	same(q.T, "state", q.get("low").State, store.JobBacklog)
	same(q.T, "first", q.lease().ID, "now")
	q.wantEmpty()
	admitted, err := q.q.Admit(q.Context(), 0)
	check(q.T, err)
	q.wantIDs(admitted)
	n, err := q.q.Reprioritise(q.Context(), "t3", 95) // not lost on the way
	check(q.T, err)
	same(q.T, "reprioritised", n, 1)
	admitted, err = q.q.Admit(q.Context(), 1) // now is leased
	check(q.T, err)
	q.wantIDs(admitted)
	demanded := q.job("demanded") // a task is in only when its job has left the backlog
	demanded.TaskID, demanded.Delay = "t2", time.Hour
	q.push(demanded)
	admitted, err = q.q.Admit(q.Context(), 2)
	check(q.T, err)
	q.wantIDs(admitted, "high")
	_, err = q.q.Cancel(q.Context(), "t2")
	check(q.T, err)
	q.push(low)
	same(q.T, "as it is now", admitted[0], q.get("high"))
	same(q.T, "state", admitted[0].State, store.JobReady)
	stats, err := q.q.Stats(q.Context())
	check(q.T, err)
	same(q.T, "backlog", stats.Backlog, 1)
	_, err = q.q.PauseTask(q.Context(), "t3") // its place is free
	check(q.T, err)
	admitted, err = q.q.Admit(q.Context(), 2)
	check(q.T, err)
	q.wantIDs(admitted, "low")
	_, err = q.q.ResumeTask(q.Context(), "t3")
	check(q.T, err)
	q.wantStats(0, 2, 1, 0)
}

func (q *queueTest) pushWithin() {
	one, two, three := q.job("one"), q.job("two"), q.job("three")
	check(q.T, q.q.PushWithin(q.Context(), one, 2))
	same(q.T, "state", q.get("one").State, store.JobBacklog)
	q.push(q.job("outside"))
	check(q.T, q.q.PushWithin(q.Context(), two, 2))
	wantErr(q.T, "one too many", q.q.PushWithin(q.Context(), three, 2), store.ErrQueueFull)
	wantErr(q.T, "a job that is there", q.q.PushWithin(q.Context(), one, 2), store.ErrExists)
	_, err := q.q.Job(q.Context(), "three")
	wantErr(q.T, "the refused job", err, store.ErrNotFound)
	admitted, err := q.q.Admit(q.Context(), 10)
	check(q.T, err)
	q.wantIDs(admitted, "one", "two")
	check(q.T, q.q.PushWithin(q.Context(), three, 1))
}

func (q *queueTest) redo() {
	q.push(q.job("a"), q.job("b"), q.job("c"))
	failure := &store.Failure{Code: "encoder_failed"}
	q.finishJob(q.lease(), store.Outcome{Retry: true, Failure: failure})
	q.finishJob(q.lease(), store.Outcome{Failure: failure})
	b := q.lease()
	n, err := q.q.Redo(q.Context(), "a", "a", "b", "c", "nobody")
	check(q.T, err)
	same(q.T, "changed", n, 1)
	job := q.get("a")
	same(q.T, "state", job.State, store.JobReady)
	same(q.T, "failures", job.Failures, 0)
	same(q.T, "failure", job.Failure, (*store.Failure)(nil))
	same(q.T, "attempts", len(job.Attempts), 2)
	same(q.T, "id", b.ID, "b")
	q.wantStats(0, 2, 1, 0)
	n, err = q.q.Open(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "open", n, 3)
}

func (q *queueTest) reprioritise() {
	other := q.job("other")
	other.TaskID, other.Priority = "t2", 60
	q.push(q.job("a"), q.job("b"), q.job("c"), other)
	same(q.T, "first", q.lease().ID, "other")
	a := q.lease()
	q.finishJob(q.lease(), store.Outcome{})
	n, err := q.q.Reprioritise(q.Context(), "t1", 70)
	check(q.T, err)
	same(q.T, "changed", n, 2) // a, which is leased, and c
	same(q.T, "of a done job", q.get("b").Priority, 50)
	n, err = q.q.Reprioritise(q.Context(), "t1", 70)
	check(q.T, err)
	same(q.T, "changed again", n, 0)
	later := q.job("d")
	later.TaskID, later.Priority = "t2", 65
	q.push(later)
	q.finishJob(a, store.Outcome{Retry: true})
	same(q.T, "then", q.lease().ID, "a")
	same(q.T, "then", q.lease().ID, "c")
	same(q.T, "then", q.lease().ID, "d")
}

func (q *queueTest) pauseTask() {
	other, later := q.job("other"), q.job("later")
	other.TaskID = "t2"
	later.Delay = time.Minute
	q.push(q.job("a"), q.job("b"), q.job("c"), later, other)
	q.finishJob(q.lease(), store.Outcome{})
	leased := q.lease()
	n, err := q.q.PauseTask(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "paused", n, 3)
	q.wantLost("b", leased.Lease.Token)
	q.wantLost("b", q.get("b").Lease.Token)
	same(q.T, "only", q.lease().ID, "other")
	q.wantEmpty()
	stats, err := q.q.Stats(q.Context())
	check(q.T, err)
	same(q.T, "paused", stats.Paused, 3)
	n, err = q.q.PauseTask(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "paused again", n, 0)
	n, err = q.q.Boost(q.Context(), store.RankDemanded, "c")
	check(q.T, err)
	same(q.T, "boosted", n, 0)
	n, err = q.q.Reprioritise(q.Context(), "t1", 80)
	check(q.T, err)
	same(q.T, "reprioritised", n, 3)

	n, err = q.q.ResumeTask(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "resumed", n, 3)
	q.wantLost("b", leased.Lease.Token)
	q.wantStats(1, 2, 1, 1)
	again := q.lease()
	same(q.T, "first", again.ID, "b")
	same(q.T, "priority", again.Priority, 80)
	same(q.T, "failures", again.Failures, 0)
	same(q.T, "then", q.lease().ID, "c")
	q.wantEmpty()
	n, err = q.q.ResumeTask(q.Context(), "nothing")
	check(q.T, err)
	same(q.T, "resumed nothing", n, 0)
}

func (q *queueTest) pauseQueue() {
	demanded := q.job("d")
	demanded.Rank = store.RankDemanded
	q.push(q.job("a"), q.job("b"), demanded)
	held := q.lease()
	same(q.T, "first", held.ID, "d")
	check(q.T, q.q.SetPaused(q.Context(), true))
	check(q.T, q.q.SetPaused(q.Context(), true))
	q.wantEmpty()
	demanded.ID = "d2"
	q.push(demanded)
	same(q.T, "a viewer waits for it", q.lease().ID, "d2")
	q.wantEmpty()
	q.finishJob(held, store.Outcome{})
	stats, err := q.q.Stats(q.Context())
	check(q.T, err)
	same(q.T, "paused", stats.QueuePaused, true)
	check(q.T, q.q.SetPaused(q.Context(), false))
	q.wantStats(0, 2, 1, 1)
	same(q.T, "then", q.lease().ID, "a")
}

func (q *queueTest) open() {
	alike := q.job("alike")
	alike.TaskID, alike.Priority = "t10", 0
	q.push(q.job("a"), q.job("b"), q.job("c"), alike)
	wantOpen := func(want int) {
		q.Helper()
		n, err := q.q.Open(q.Context(), "t1")
		check(q.T, err)
		same(q.T, "open", n, want)
	}
	wantOpen(3)
	q.finishJob(q.lease(), store.Outcome{})
	wantOpen(2)
	q.finishJob(q.lease(), store.Outcome{Push: []store.Job{q.job("d")}})
	wantOpen(2)
	_, err := q.q.PauseTask(q.Context(), "t1")
	check(q.T, err)
	wantOpen(2)
	_, err = q.q.Cancel(q.Context(), "t1")
	check(q.T, err)
	wantOpen(0)
}

func (q *queueTest) oldest() {
	var jobs []store.Job
	start := q.clock.Now()
	for i, priority := range []int{10, 90, 50} {
		for k := range 3 {
			job := q.job(fmt.Sprintf("%d-%d", i, k))
			job.Priority, job.Created = priority, start.Add(time.Duration(10*i-k)*time.Second)
			jobs = append(jobs, job)
			job.ID, job.Backlog, job.Created = "b"+job.ID, true, job.Created.Add(time.Hour)
			jobs = append(jobs, job)
		}
	}
	later := q.job("later")
	later.Delay, later.Created = time.Minute, start.Add(-time.Hour)
	q.push(append(jobs, later)...)
	stats, err := q.q.Stats(q.Context())
	check(q.T, err)
	same(q.T, "ready", stats.OldestReady, start.Add(-2*time.Second))
	same(q.T, "backlog", stats.OldestBacklog, start.Add(time.Hour-2*time.Second))
	q.clock.Advance(time.Minute)
	stats, err = q.q.Stats(q.Context())
	check(q.T, err)
	same(q.T, "ready", stats.OldestReady, start.Add(-time.Hour))
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
	q.wantReaped(ofNode("n1", ""))
	for name, call := range map[string]func() (int, error){
		"redo":         func() (int, error) { return q.q.Redo(q.Context(), "nobody") },
		"reprioritise": func() (int, error) { return q.q.Reprioritise(q.Context(), "nothing", 1) },
		"pause":        func() (int, error) { return q.q.PauseTask(q.Context(), "nothing") },
		"open":         func() (int, error) { return q.q.Open(q.Context(), "nothing") },
	} {
		n, err := call()
		check(q.T, err)
		same(q.T, name, n, 0)
	}
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
		"within": func() error { return q.q.PushWithin(ctx, q.job("c"), 9) },
		"lease": func() error {
			_, err := q.q.Lease(ctx, store.LeaseRequest{Owner: worker(), MaxRank: store.RankOrdinary, TTL: ttl})
			return err
		},
		"renew":  func() error { return q.q.Renew(ctx, held.ID, held.Lease.Token, ttl, 1) },
		"finish": func() error { return q.q.Finish(ctx, held.ID, held.Lease.Token, store.Outcome{}) },
		"boost":  func() error { _, err := q.q.Boost(ctx, store.RankDemanded, "b"); return err },
		"cancel": func() error { _, err := q.q.Cancel(ctx, "t1"); return err },
		"reap":   func() error { _, err := q.q.Reap(ctx, store.ReapRequest{}); return err },
		"admit":  func() error { _, err := q.q.Admit(ctx, 1); return err },
		"redo":   func() error { _, err := q.q.Redo(ctx, "a"); return err },
		"prio":   func() error { _, err := q.q.Reprioritise(ctx, "t1", 1); return err },
		"pause":  func() error { _, err := q.q.PauseTask(ctx, "t1"); return err },
		"resume": func() error { _, err := q.q.ResumeTask(ctx, "t1"); return err },
		"hold":   func() error { return q.q.SetPaused(ctx, true) },
		"open":   func() error { _, err := q.q.Open(ctx, "t1"); return err },
		"job":    func() error { _, err := q.q.Job(ctx, "a"); return err },
		"jobs":   func() error { _, err := q.q.Jobs(ctx, "t1"); return err },
		"holds":  func() error { _, err := q.q.Holders(ctx); return err },
		"stats":  func() error { _, err := q.q.Stats(ctx); return err },
	} {
		wantErr(q.T, name, call(), context.Canceled)
	}
	after, err := q.q.Jobs(q.Context(), "t1")
	check(q.T, err)
	same(q.T, "jobs", after, before)
	q.wantStats(0, 1, 1, 0)
}

package storetest

import (
	"context"
	"testing"
	"time"

	"streamgate/store"
)

// TestQueue checks a store.Queue. open returns an empty queue that reads the
// time from clock and is closed by the test's cleanup.
func TestQueue(t *testing.T, open func(t *testing.T, clock *Clock) store.Queue) {
	for _, test := range []struct {
		name string
		run  func(*queueTest)
	}{
		{"push keeps a job and sets what is the queue's", (*queueTest).pushSets},
		{"push is all or none", (*queueTest).pushAllOrNone},
		{"push within a bound", (*queueTest).pushWithin},
		{"lease order", (*queueTest).order},
		{"lease order of far values", (*queueTest).orderFar},
		{"lease hands out under a token", (*queueTest).leaseSets},
		{"lease stops at the rank", (*queueTest).leaseRank},
		{"lease hands out several", (*queueTest).leaseSeveral},
		{"lease passes over the jobs of other encoders", (*queueTest).leaseEncoder},
		{"lease waits for the delay", (*queueTest).leaseDelay},
		{"renew extends and notes progress", (*queueTest).renew},
		{"a token fits its own lease only", (*queueTest).fencing},
		{"an expired lease lasts until reaped", (*queueTest).lateFinish},
		{"finish ends a job", (*queueTest).finish},
		{"finish may retry", (*queueTest).retry},
		{"finish tells kills from failures", (*queueTest).killed},
		{"finish gives back", (*queueTest).giveBack},
		{"attempts are remembered", (*queueTest).attempts},
		{"finish pushes follow-ups", (*queueTest).follow},
		{"a refused finish does nothing", (*queueTest).followLost},
		{"boost", (*queueTest).boost},
		{"cancel", (*queueTest).cancel},
		{"a cancelled job's token fits no later one", (*queueTest).cancelToken},
		{"reap by expiry", (*queueTest).reapExpired},
		{"reap by boot id", (*queueTest).reapBoot},
		{"reap counts deaths", (*queueTest).reapDeaths},
		{"a suspect is leased alone", (*queueTest).suspects},
		{"admit", (*queueTest).admit},
		{"redo", (*queueTest).redo},
		{"reprioritise", (*queueTest).reprioritise},
		{"pause and resume a task", (*queueTest).pauseTask},
		{"pause the queue", (*queueTest).pauseQueue},
		{"open counts what is not done", (*queueTest).open},
		{"the oldest", (*queueTest).oldest},
		{"unknown names", (*queueTest).unknown},
		{"jobs are copies", (*queueTest).copies},
		{"a cancelled context changes nothing", (*queueTest).cancelledContext},
		{"many leasers never share a job", (*queueTest).manyLeasers},
		{"of many pushes of an id one is kept", (*queueTest).manyPushers},
		{"of many finishes one counts", (*queueTest).manyFinishers},
		{"of many who push within a bound none passes it", (*queueTest).manyPushWithin},
		{"of many who admit none admits too many", (*queueTest).manyAdmit},
		{"of many reaps one takes a job back", (*queueTest).manyReapers},
		{"cancel against finish", (*queueTest).cancelVersusFinish},
		{"agrees with the model", (*queueTest).model},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := NewClock()
			test.run(&queueTest{T: t, clock: clock, q: open(t, clock)})
		})
	}
}

// queueTest is one subtest with its queue.
type queueTest struct {
	*testing.T
	clock *Clock
	q     store.Queue
}

func worker() store.Owner { return store.Owner{Node: "n1", Boot: "b1", Worker: "w1"} }

// restarted is the worker after its node was started again.
func restarted() store.Owner { return store.Owner{Node: "n1", Boot: "b2", Worker: "w1"} }

const ttl = 30 * time.Second

// job returns an ordinary job of task t1.
func (q *queueTest) job(id string) store.Job {
	return store.Job{
		ID: id, TaskID: "t1", VideoID: "v1", Kind: store.JobChunk, Rank: store.RankOrdinary,
		Priority: 50, Created: q.clock.Now(), From: 3, To: 5, Rendition: "720p",
	}
}

func (q *queueTest) push(jobs ...store.Job) {
	q.Helper()
	check(q.T, q.q.Push(q.Context(), jobs...))
}

func (q *queueTest) lease() store.Job {
	q.Helper()
	job, err := q.tryLease(worker(), store.RankOrdinary)
	check(q.T, err)
	return job
}

// tryLease asks for one job.
func (q *queueTest) tryLease(owner store.Owner, rank store.Rank) (store.Job, error) {
	return leaseOne(q.Context(), q.q, store.LeaseRequest{Owner: owner, MaxRank: rank, TTL: ttl})
}

func leaseOne(ctx context.Context, queue store.Queue, req store.LeaseRequest) (store.Job, error) {
	jobs, err := queue.Lease(ctx, req)
	if err != nil {
		return store.Job{}, err
	}
	return jobs[0], nil
}

func (q *queueTest) get(id string) store.Job {
	q.Helper()
	job, err := q.q.Job(q.Context(), id)
	check(q.T, err)
	return job
}

func (q *queueTest) finishJob(job store.Job, out store.Outcome) {
	q.Helper()
	check(q.T, q.q.Finish(q.Context(), job.ID, job.Lease.Token, out))
}

func (q *queueTest) wantEmpty() {
	q.Helper()
	_, err := q.tryLease(worker(), store.RankOrdinary)
	wantErr(q.T, "lease", err, store.ErrEmpty)
}

// wantLost checks that neither renew nor finish works under the token.
func (q *queueTest) wantLost(id string, token uint64) {
	q.Helper()
	wantErr(q.T, "renew", q.q.Renew(q.Context(), id, token, ttl, 0.5), store.ErrLeaseLost)
	wantErr(q.T, "finish", q.q.Finish(q.Context(), id, token, store.Outcome{}), store.ErrLeaseLost)
}

func (q *queueTest) wantStats(later, ready, leased, done int) {
	q.Helper()
	got, err := q.q.Stats(q.Context())
	check(q.T, err)
	got.OldestReady = time.Time{} // see oldest
	same(q.T, "stats", got, store.QueueStats{Later: later, Ready: ready, Leased: leased, Done: done})
}

func (q *queueTest) wantIDs(jobs []store.Job, ids ...string) {
	q.Helper()
	same(q.T, "ids", jobIDs(jobs), ids)
}

func jobIDs(jobs []store.Job) (ids []string) {
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids
}

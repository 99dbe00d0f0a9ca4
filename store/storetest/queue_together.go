package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"streamgate/store"
)

func (q *queueTest) manyLeasers() {
	const jobs, leasers = 150, 16
	var batch []store.Job
	for i := range jobs {
		batch = append(batch, q.job(fmt.Sprintf("j%03d", i)))
	}
	q.push(batch...)

	var mu sync.Mutex
	ids, tokens := make(map[string]bool), make(map[uint64]bool)
	together(leasers, func(int) {
		for {
			job, err := q.tryLease(worker(), store.RankOrdinary)
			if errors.Is(err, store.ErrEmpty) {
				return
			}
			if err != nil {
				q.Errorf("lease: %v", err)
				return
			}
			mu.Lock()
			if ids[job.ID] || tokens[job.Lease.Token] {
				q.Errorf("job %s, token %d was handed out before", job.ID, job.Lease.Token)
			}
			ids[job.ID], tokens[job.Lease.Token] = true, true
			mu.Unlock()
		}
	})
	same(q.T, "jobs leased", len(ids), jobs)
	q.wantStats(0, 0, jobs, 0)
}

func (q *queueTest) manyPushers() {
	q.wantOneWinner(store.ErrExists, func(i int) error {
		// Each brings a job of its own, which must share the fate.
		return q.q.Push(q.Context(), q.job(fmt.Sprintf("own%d", i)), q.job("same"))
	})
	q.wantStats(0, 2, 0, 0)
}

func (q *queueTest) manyFinishers() {
	q.push(q.job("a"))
	held := q.lease()
	q.wantOneWinner(store.ErrLeaseLost, func(i int) error {
		out := store.Outcome{Push: []store.Job{q.job(fmt.Sprintf("own%d", i))}}
		return q.q.Finish(q.Context(), held.ID, held.Lease.Token, out)
	})
	q.wantStats(0, 1, 0, 1)
}

func (q *queueTest) manyReapers() {
	q.push(q.job("a"))
	q.lease()
	q.clock.Advance(ttl)
	none := errors.New("nothing reaped")
	q.wantOneWinner(none, func(int) error {
		reaped, err := q.q.Reap(q.Context(), store.ReapRequest{})
		if err == nil && len(reaped) == 0 {
			return none
		}
		return err
	})
	q.wantStats(0, 1, 0, 0)
}

// wantOneWinner runs call many times at once: one must succeed, the others
// must get the error.
func (q *queueTest) wantOneWinner(lost error, call func(i int) error) {
	q.Helper()
	const callers = 16
	errs := make([]error, callers)
	together(callers, func(i int) { errs[i] = call(i) })
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantErr(q.T, "a loser", err, lost)
	}
	same(q.T, "winners", won, 1)
}

// cancelVersusFinish: whichever comes first, nothing of the task is left, and
// one job was not done: the held one, or the follow-up.
func (q *queueTest) cancelVersusFinish() {
	for range 20 {
		q.push(q.job("a"))
		held := q.lease()
		together(2, func(i int) {
			if i == 0 {
				n, err := q.q.Cancel(q.Context(), "t1")
				if err != nil || n != 1 {
					q.Errorf("cancel: %d, %v; want 1", n, err)
				}
				return
			}
			err := q.q.Finish(q.Context(), held.ID, held.Lease.Token, store.Outcome{Push: []store.Job{q.job("b")}})
			if err != nil && !errors.Is(err, store.ErrLeaseLost) {
				q.Errorf("finish: %v", err)
			}
		})
		q.wantStats(0, 0, 0, 0)
	}
}

// manyPushWithin lets nodes push at the same moment, again and again since they must
// meet between counting and pushing.
func (q *queueTest) manyPushWithin() {
	const rounds, most, nodes = 20, 3, 8
	for round := range rounds {
		var pushed atomic.Int64
		together(nodes, func(i int) {
			job := q.job(fmt.Sprint("plan-", round, "-", i))
			switch err := q.q.PushWithin(q.Context(), job, most); {
			case err == nil:
				pushed.Add(1)
			case !errors.Is(err, store.ErrQueueFull):
				q.Errorf("push: %v", err)
			}
		})
		same(q.T, fmt.Sprint("pushed in round ", round), pushed.Load(), int64(most))
		_, err := q.q.Cancel(q.Context(), "t1")
		check(q.T, err)
	}
}

// manyAdmit lets nodes admit at the same moment, again and again since they must meet
// between counting and admitting: together they admit as many as one alone.
func (q *queueTest) manyAdmit() {
	const rounds, tasks, most, nodes = 20, 30, 3, 8
	for round := range rounds {
		for i := range tasks {
			job := q.job(fmt.Sprint("plan-", round, "-", i))
			job.TaskID, job.Backlog = fmt.Sprint("task-", i), true
			q.push(job)
		}
		var admitted atomic.Int64
		var all sync.WaitGroup
		start := make(chan struct{})
		for range nodes {
			all.Go(func() {
				<-start
				jobs, err := q.q.Admit(q.Context(), most)
				if err != nil {
					q.Errorf("admit: %v", err)
				}
				admitted.Add(int64(len(jobs)))
			})
		}
		close(start)
		all.Wait()
		same(q.T, fmt.Sprint("admitted in round ", round), admitted.Load(), int64(most))
		for i := range tasks {
			_, err := q.q.Cancel(q.Context(), fmt.Sprint("task-", i))
			check(q.T, err)
		}
	}
}

package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/postgres"
)

// The benchmarks run with fsync, and with this many jobs waiting.
const benchWaiting = 100_000

// BenchmarkPush shows what sharing a commit gains.
func BenchmarkPush(b *testing.B) {
	q, n := filled(b)
	for _, producers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			inParallel(b, producers, func() error {
				return q.Push(b.Context(), benchJob(int(n.Add(1))))
			})
		})
	}
}

// BenchmarkLeaseFinish works a queue off that stays as long as it is.
func BenchmarkLeaseFinish(b *testing.B) {
	q, n := filled(b)
	for _, workers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			inParallel(b, workers, func() error {
				jobs, err := q.Lease(b.Context(), store.LeaseRequest{Owner: store.Owner{Node: "n1"}, MaxRank: store.RankOrdinary, TTL: time.Minute})
				if err != nil {
					return err
				}
				follower := benchJob(int(n.Add(1)))
				return q.Finish(b.Context(), jobs[0].ID, jobs[0].Lease.Token, store.Outcome{Push: []store.Job{follower}})
			})
		})
	}
}

func benchJob(i int) store.Job {
	return store.Job{
		ID: fmt.Sprintf("job-%09d", i), TaskID: fmt.Sprintf("task-%d", i/100), VideoID: "video",
		Kind: store.JobChunk, Rank: store.RankOrdinary, Priority: i % 100, Created: time.Unix(int64(i/100), 0),
		Ordinal: i % 100, From: i, To: i + 1,
	}
}

// filled is a queue with its jobs, and the number of the last.
func filled(b *testing.B) (store.Queue, *atomic.Int64) {
	b.Helper()
	address := database(b, migrated)
	q := open(b, address, postgres.Options{}).Queue()
	for from := 0; from < benchWaiting; from += 10_000 {
		jobs := make([]store.Job, 10_000)
		for i := range jobs {
			jobs[i] = benchJob(from + i)
		}
		check(b, q.Push(b.Context(), jobs...))
	}
	exec1(b, connect(b, address), `VACUUM ANALYZE jobs`)
	n := new(atomic.Int64)
	n.Store(benchWaiting)
	return q, n
}

// inParallel runs b.N calls on that many goroutines.
func inParallel(b *testing.B, goroutines int, call func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, goroutines)
	b.ResetTimer()
	for range goroutines {
		go func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range goroutines {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

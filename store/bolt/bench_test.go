package bolt_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/bolt"
)

// BenchmarkPush shows what sharing a commit gains.
func BenchmarkPush(b *testing.B) {
	for _, producers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			q := open(b, bolt.Options{}).Queue()
			var n atomic.Int64
			inParallel(b, producers, func() error {
				return q.Push(b.Context(), benchJob(int(n.Add(1))))
			})
		})
	}
}

// BenchmarkLeaseFinish works a queue off that stays 10,000 jobs long.
func BenchmarkLeaseFinish(b *testing.B) {
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			q := filled(b, 10_000)
			var n atomic.Int64
			n.Store(10_000)
			inParallel(b, workers, func() error {
				jobs, err := q.Lease(b.Context(), store.LeaseRequest{Owner: store.Owner{Node: "n1"}, MaxRank: store.RankOrdinary, TTL: time.Minute})
				if err != nil {
					return err
				}
				job := jobs[0]
				follower := benchJob(int(n.Add(1)))
				return q.Finish(b.Context(), job.ID, job.Lease.Token, store.Outcome{Push: []store.Job{follower}})
			})
		})
	}
}

// BenchmarkBoost moves one job of 10,000 to the front.
func BenchmarkBoost(b *testing.B) {
	q := filled(b, 10_000)
	n := 0
	for b.Loop() {
		n++
		rank := store.Rank(1 - n/10_000) // lower each round, so that every call moves one
		if _, err := q.Boost(b.Context(), rank, benchJob(n%10_000).ID); err != nil {
			b.Fatal(err)
		}
	}
}

func benchJob(i int) store.Job {
	return store.Job{
		ID: fmt.Sprintf("job-%09d", i), TaskID: fmt.Sprintf("task-%d", i/100), VideoID: "video",
		Kind: store.JobChunk, Rank: store.RankOrdinary, Priority: i % 100, Created: time.Unix(int64(i/100), 0),
		Ordinal: i % 100, From: i, To: i + 1,
	}
}

func filled(b *testing.B, n int) store.Queue {
	b.Helper()
	q := open(b, bolt.Options{}).Queue()
	jobs := make([]store.Job, n)
	for i := range jobs {
		jobs[i] = benchJob(i)
	}
	if err := q.Push(b.Context(), jobs...); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	return q
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

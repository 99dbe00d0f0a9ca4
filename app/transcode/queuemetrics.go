package transcode

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/store"
)

// ShowQueue registers the metrics of the queue. It is the deployment's, whatever
// number of transcoders there is: one node tells of it, so that sums are right and
// nobody starts a transcoder for what was counted twice.
func ShowQueue(reg prometheus.Registerer, queue store.Queue, log *slog.Logger) {
	q := &queueSight{queue: queue, log: log}
	reg.MustRegister(
		gauge("queue_length", "Tasks that wait.", q.of(func(s store.QueueStats) float64 { return float64(s.Backlog) })),
		gauge("queue_age_seconds", "Age of the oldest task that waits.", q.of(func(s store.QueueStats) float64 { return age(s.OldestBacklog) })),
		gauge("jobs_ready", "Jobs that can be leased now.", q.of(func(s store.QueueStats) float64 { return float64(s.Ready) })),
	)
}

// queueSight is the queue as it was seen a moment ago: one scrape asks thrice.
type queueSight struct {
	queue store.Queue
	log   *slog.Logger

	mu    sync.Mutex
	at    time.Time
	stats store.QueueStats
	err   error
}

const queueSightLife = 100 * time.Millisecond

// of is a gauge; NaN if the queue cannot be read in time: a zero would have an
// autoscaler end transcoders.
func (q *queueSight) of(value func(store.QueueStats) float64) func() float64 {
	return func() float64 {
		q.mu.Lock()
		defer q.mu.Unlock()
		if time.Since(q.at) > queueSightLife {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if q.stats, q.err = q.queue.Stats(ctx); q.err != nil {
				q.log.Warn("count jobs", "err", q.err)
			}
			q.at = time.Now()
		}
		if q.err != nil {
			return math.NaN()
		}
		return value(q.stats)
	}
}

func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Seconds()
}

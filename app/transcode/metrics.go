package transcode

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/rpc"
	"streamgate/store"
)

// metrics counts what has happened since the node started.
type metrics struct {
	active  atomic.Int64 // workers that have a job
	waiting atomic.Int64 // tasks queued, as of the last admit

	mu        sync.Mutex
	succeeded int
	failed    int
	spent     time.Duration // of all succeeded tasks, from start to end

	completedTotal, failedTotal prometheus.Counter
}

func newMetrics(s *Service) *metrics {
	const ns, sub = "streamgate", "transcoder"
	m := &metrics{
		completedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "tasks_completed", Help: "Tasks that succeeded."}),
		failedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "tasks_failed", Help: "Tasks that failed."}),
	}
	gauge := func(name, help string, fn func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, fn)
	}
	if s.Metrics == nil {
		return m
	}
	s.Metrics.MustRegister(m.completedTotal, m.failedTotal,
		gauge("queue_length", "Tasks that wait.", func() float64 { return float64(m.waiting.Load()) }),
		gauge("active_workers", "Workers that have a job.", func() float64 { return float64(m.active.Load()) }),
		gauge("total_workers", "Workers in the pool.", func() float64 { return float64(s.Workers) }),
		gauge("average_task_time", "Mean time of a succeeded task, seconds.", func() float64 { return m.average().Seconds() }),
		gauge("jobs_ready", "Jobs that can be leased now.", func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			stats, err := s.Queue.Stats(ctx)
			if err != nil {
				s.Log.Warn("count jobs", "err", err)
			}
			return float64(stats.Ready)
		}),
	)
	return m
}

// ended counts a task that is over.
func (m *metrics) ended(t store.Task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch t.State {
	case store.TaskSucceeded:
		m.succeeded++
		m.spent += t.Finished.Sub(t.Started)
		m.completedTotal.Inc()
	case store.TaskFailed:
		m.failed++
		m.failedTotal.Inc()
	}
}

func (m *metrics) average() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spent / time.Duration(max(1, m.succeeded))
}

// snapshot answers GetMetrics.
func (m *metrics) snapshot(workers int) *rpc.GetMetricsResponse {
	average := m.average().Round(time.Millisecond).String()
	m.mu.Lock()
	defer m.mu.Unlock()
	total, active, none := int32(workers), int32(m.active.Load()), int32(0)
	idle, succeeded, failed := max(0, total-active), int32(m.succeeded), int32(m.failed)
	return &rpc.GetMetricsResponse{
		TotalWorkers: &total, ActiveWorkers: &active, IdleWorkers: &idle, UnhealthyWorkers: &none,
		TotalTasksProcessed: &succeeded, TotalTasksFailed: &failed, AverageTaskTime: average,
	}
}

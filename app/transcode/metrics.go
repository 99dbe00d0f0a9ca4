package transcode

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/rpc"
	"streamgate/store"
)

// The names of the metrics begin so.
const ns, sub = "streamgate", "transcoder"

func gauge(name, help string, fn func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, fn)
}

// metrics counts what has happened since the node started.
type metrics struct {
	mu        sync.Mutex
	succeeded int
	failed    int
	spent     time.Duration // of all succeeded tasks, from start to end

	completedTotal, failedTotal prometheus.Counter
	jobSeconds                  *prometheus.HistogramVec // by kind
	realTime                    prometheus.Histogram     // of chunks
	jobFailures                 *prometheus.CounterVec   // by cause
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		completedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "tasks_completed", Help: "Tasks that succeeded."}),
		failedTotal: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "tasks_failed", Help: "Tasks that failed."}),
		jobSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "job_duration_seconds", Help: "Time that jobs took which ended well.",
			Buckets: prometheus.ExponentialBuckets(0.1, 2, 14)}, []string{"kind"}),
		realTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "real_time_ratio", Help: "Seconds of video that a chunk job made per second.",
			Buckets: prometheus.ExponentialBuckets(0.125, 2, 11)}),
		jobFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "job_failures", Help: "Attempts that failed, by cause, and whether another followed."},
			[]string{"cause", "retried"}),
	}
	if s.Metrics == nil {
		return m
	}
	s.Metrics.MustRegister(m.completedTotal, m.failedTotal,
		gauge("active_workers", "Workers that have a job.", func() float64 { return float64(s.pool.counts().active) }),
		gauge("total_workers", "Workers in the pool.", func() float64 { return float64(s.pool.counts().total) }),
		gauge("unhealthy_workers", "Workers that were replaced lately.", func() float64 { return float64(s.pool.counts().unhealthy) }),
		gauge("average_task_time", "Mean time of a succeeded task, seconds.", func() float64 { return m.average().Seconds() }),
		m.jobSeconds, m.realTime, m.jobFailures,
	)
	return m
}

// jobEnded counts a job that its worker has finished.
func (m *metrics) jobEnded(job store.Job, out store.Outcome, givenUp bool) {
	switch {
	case out.Failure != nil:
		m.jobFailures.WithLabelValues(out.Failure.Code, strconv.FormatBool(!givenUp)).Inc()
	case !out.Retry:
		m.jobSeconds.WithLabelValues(string(job.Kind)).Observe(time.Since(job.Lease.Started).Seconds())
	}
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
func (m *metrics) snapshot(c counts) *rpc.GetMetricsResponse {
	average := m.average().Round(time.Millisecond).String()
	m.mu.Lock()
	defer m.mu.Unlock()
	total, active, idle, unhealthy := int32(c.total), int32(c.active), int32(c.idle), int32(c.unhealthy)
	succeeded, failed := int32(m.succeeded), int32(m.failed)
	return &rpc.GetMetricsResponse{
		TotalWorkers: &total, ActiveWorkers: &active, IdleWorkers: &idle, UnhealthyWorkers: &unhealthy,
		TotalTasksProcessed: &succeeded, TotalTasksFailed: &failed, AverageTaskTime: average,
	}
}

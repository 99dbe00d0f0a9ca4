package stream

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// classes are the status classes of a label, by their first digit.
const classes = 6

// metrics are resolved once for every kind, so that counting a request is two
// additions. No label tells one video from another.
type metrics struct {
	requests [kinds][classes]prometheus.Counter
	bytes    [kinds]prometheus.Counter
	hold     prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, waiters func() int) (*metrics, error) {
	const ns, sub = "streamgate", "stream"
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
		Name: "requests_total", Help: "Requests by what they asked for and class of status."}, []string{"kind", "code"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
		Name: "bytes_total", Help: "Body bytes sent."}, []string{"kind"})
	m := &metrics{hold: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub,
		Name: "hold_seconds", Help: "How long requests waited for what was being made.",
		Buckets: []float64{.1, .25, .5, 1, 2, 3, 4, 6, 8, 9, 10}})}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
		Name: "waiters", Help: "Requests that wait now."}, func() float64 { return float64(waiters()) })
	for _, c := range []prometheus.Collector{requests, bytes, m.hold, waiting} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	for k := range kinds {
		m.bytes[k] = bytes.WithLabelValues(kindNames[k])
		for class := 1; class < classes; class++ {
			m.requests[k][class] = requests.WithLabelValues(kindNames[k], string(rune('0'+class))+"xx")
		}
	}
	return m, nil
}

// count notes a finished request.
func (m *metrics) count(k kind, a *answer) {
	if class := a.status / 100; class >= 1 && class < classes {
		m.requests[k][class].Inc()
	}
	m.bytes[k].Add(float64(a.bytes))
}

// held notes how long a request waited.
func (m *metrics) held(since time.Time) { m.hold.Observe(time.Since(since).Seconds()) }

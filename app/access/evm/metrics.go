package evm

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled by the chain's name and the endpoint's, which hold no
// secret.
type metrics struct {
	latency *prometheus.HistogramVec
	errors  *prometheus.CounterVec
	up      *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	const ns, sub = "streamgate", "access"
	of := []string{"chain", "endpoint"}
	m := &metrics{
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub,
			Name: "rpc_seconds", Help: "How long requests to chain endpoints took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}}, of),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "rpc_errors_total", Help: "Requests to chain endpoints that failed, by reason."},
			append(of, "reason")),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
			Name: "rpc_up", Help: "1 if the chain endpoint is used, 0 while its circuit breaker is open."}, of),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.latency, m.errors, m.up} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// gauge is one endpoint's share of the metrics.
type gauge struct {
	latency prometheus.Observer
	errors  *prometheus.CounterVec
	up      prometheus.Gauge
}

func (m *metrics) of(chain, endpoint string) gauge {
	g := gauge{
		latency: m.latency.WithLabelValues(chain, endpoint),
		errors:  m.errors.MustCurryWith(prometheus.Labels{"chain": chain, "endpoint": endpoint}),
		up:      m.up.WithLabelValues(chain, endpoint),
	}
	g.up.Set(1)
	return g
}

func (g gauge) took(since time.Time) { g.latency.Observe(time.Since(since).Seconds()) }
func (g gauge) failed(r reason)      { g.errors.WithLabelValues(string(r)).Inc() }

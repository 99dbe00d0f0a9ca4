package webhooks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/store"
)

// What becomes of a delivery or of one of its attempts.
const (
	resultDelivered = "delivered"
	resultRetried   = "retried"
	resultFailed    = "failed"
	resultDropped   = "dropped"
)

// metrics tell how deliveries get on. No label tells one webhook from another.
type metrics struct{ results *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer, s *schedule) (*metrics, error) {
	const ns, sub = "streamgate", "webhooks"
	m := &metrics{results: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
		Name: "deliveries_total", Help: "Webhook deliveries by result: delivered, retried (an attempt failed), failed (given up), dropped (too many waited)."}, []string{"result"})}
	for _, result := range []string{resultDelivered, resultRetried, resultFailed, resultDropped} {
		m.results.WithLabelValues(result)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.results,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
			Name: "waiting", Help: "Webhook deliveries that wait for an attempt, as this node knows them: every node knows all."},
			func() float64 { n, _ := s.state(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
			Name: "oldest_waiting_seconds", Help: "Age of the oldest webhook delivery that waits; 0 if none does."},
			func() float64 { return age(s) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func age(s *schedule) float64 {
	n, oldest := s.state()
	if n == 0 {
		return 0
	}
	return max(0, time.Since(oldest).Seconds())
}

func (m *metrics) ended(result string) { m.results.WithLabelValues(result).Inc() }

func (m *metrics) attempted(d store.Delivery, out outcome) {
	switch {
	case out.cut:
	case d.State == store.DeliveryDelivered:
		m.ended(resultDelivered)
	case d.State == store.DeliveryFailed:
		m.ended(resultFailed)
	default:
		m.ended(resultRetried)
	}
}

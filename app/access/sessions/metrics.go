package sessions

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics tell how sessions go. No label tells one video or wallet from
// another.
type metrics struct {
	ended *prometheus.CounterVec
	lag   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, playing func() int) (*metrics, error) {
	const ns, sub = "streamgate", "access"
	m := &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub,
			Name: "sessions_ended_total", Help: "Playback sessions that were ended, by reason."}, []string{"reason"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: ns, Subsystem: sub,
			Name: "revocation_lag_seconds", Help: "From the time of a block that took a viewer's access to the end of the session.",
			Buckets: []float64{.1, .25, .5, 1, 2, 4, 8, 12, 16, 24, 36, 60, 120, 300}}),
	}
	if reg == nil {
		return m, nil
	}
	sessions := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub,
		Name: "sessions", Help: "Playback sessions that are live."}, func() float64 { return float64(playing()) })
	for _, c := range []prometheus.Collector{m.ended, m.lag, sessions} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// lagged notes how long after a block a session ended. A block's time is that
// of its maker's clock.
func (m *metrics) lagged(block, ended time.Time) {
	m.lag.Observe(max(0, ended.Sub(block).Seconds()))
}

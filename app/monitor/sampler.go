package monitor

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/monitor/history"
)

// Sample is what was seen at a time, by the names of metrics; what was not seen
// is not there.
type Sample struct {
	At     time.Time
	Values map[string]float64
}

// Run samples every 15 s until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(history.FineStep)
	defer tick.Stop()
	var before counters
	for {
		before = s.sample(ctx, time.Now(), before)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sample takes one sample and keeps it. A history that cannot be written does
// not keep the alerts from what was seen.
func (s *Service) sample(ctx context.Context, at time.Time, before counters) counters {
	v := s.look(ctx, at, before)
	values := make([]float64, len(s.metrics))
	seen := Sample{at, map[string]float64{}}
	for i, m := range s.metrics {
		values[i] = m.see(v)
		if !math.IsNaN(values[i]) && !math.IsInf(values[i], 0) {
			seen.Values[m.Name] = values[i]
		} else {
			values[i] = math.NaN()
		}
	}
	if err := s.history.Append(at, values); err != nil {
		s.Log.ErrorContext(ctx, "a sample of the metrics is lost", "err", err)
	}
	s.last.Store(&seen)
	if s.Sampled != nil && ctx.Err() == nil {
		s.Sampled(ctx, seen)
	}
	return v.counters
}

// value is what was seen last of a metric; NaN if nothing was.
func (s *Service) value(name string) float64 {
	if last := s.last.Load(); last != nil {
		if value, ok := last.Values[name]; ok {
			return value
		}
	}
	return math.NaN()
}

// show registers what this part finds out itself.
func (s *Service) show(reg prometheus.Registerer) error {
	for _, m := range s.metrics {
		if !m.own {
			continue
		}
		err := reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: ownPrefix + m.Name, Help: m.Help}, func() float64 { return s.value(m.Name) }))
		if err != nil {
			return err
		}
	}
	return nil
}

package monitor

import (
	"context"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"

	"streamgate/app/monitor/history"
	"streamgate/app/rpc"
	"streamgate/store"
)

// sight is one look at everything: what the metrics are read from.
type sight struct {
	*Service
	ctx                 context.Context
	at                  time.Time
	families            map[string]*dto.MetricFamily
	diskFree, diskTotal float64
	machine             machine

	before   counters // of the sight before
	counters counters
}

// counters are what was counted at a time.
type counters struct {
	at    time.Time
	count map[string]float64
}

// look takes a sight. What cannot be read is not seen.
func (s *Service) look(ctx context.Context, at time.Time, before counters) *sight {
	v := &sight{
		Service: s, ctx: rpc.System(ctx), at: at, families: map[string]*dto.MetricFamily{},
		diskFree: math.NaN(), diskTotal: math.NaN(), machine: readMachine(),
		before: before, counters: counters{at, map[string]float64{}},
	}
	families, err := s.Gatherer.Gather()
	if err != nil {
		s.Log.WarnContext(ctx, "read the metrics", "err", err) // and use what there is
	}
	for _, f := range families {
		v.families[f.GetName()] = f
	}
	if free, total, err := s.Space(ctx); err == nil && free != store.Unlimited {
		v.diskFree, v.diskTotal = float64(free), float64(total)
	}
	return v
}

// sum adds the values of a family's metrics whose labels match; NaN if the
// family is not there. name_sum and name_count are those of a histogram.
func (s *sight) sum(name string, match []label) float64 {
	family, of := s.family(name)
	if family == nil {
		return math.NaN()
	}
	total := 0.0
	for _, m := range family.Metric {
		if matches(m, match) {
			total += of(m)
		}
	}
	return total
}

func (s *sight) family(name string) (*dto.MetricFamily, func(*dto.Metric) float64) {
	if f := s.families[name]; f != nil {
		return f, func(m *dto.Metric) float64 { return m.GetCounter().GetValue() + m.GetGauge().GetValue() }
	}
	for suffix, of := range map[string]func(*dto.Metric) float64{
		"_sum":   func(m *dto.Metric) float64 { return m.GetHistogram().GetSampleSum() },
		"_count": func(m *dto.Metric) float64 { return float64(m.GetHistogram().GetSampleCount()) },
	} {
		if n := len(name) - len(suffix); n > 0 && name[n:] == suffix && s.families[name[:n]] != nil {
			return s.families[name[:n]], of
		}
	}
	return nil, nil
}

func matches(m *dto.Metric, match []label) bool {
	for _, want := range match {
		value := ""
		for _, l := range m.Label {
			if l.GetName() == want.name {
				value = l.GetValue()
			}
		}
		if (value == want.value) == want.not {
			return false
		}
	}
	return true
}

// gained is how much a counter has counted since the sight before, and in how
// many seconds. One that has begun anew, or was not there, has counted from
// nothing.
func (s *sight) gained(name string, now float64) (count, seconds float64) {
	if math.IsNaN(now) {
		s.counters.count[name] = 0
		return now, now
	}
	s.counters.count[name] = now
	before, known := s.before.count[name]
	seconds = s.at.Sub(s.before.at).Seconds()
	if !known || seconds < 1 {
		return math.NaN(), math.NaN()
	}
	if now < before {
		before = 0
	}
	return now - before, seconds
}

// rate is how much a counter has counted in a second since the sight before.
func (s *sight) rate(name string, now float64) float64 {
	count, seconds := s.gained(name, now)
	return count / seconds
}

func (s *sight) cpu() float64 { return 100 / cores() * s.rate("machine", s.machine.busy) }

func (s *sight) processing() float64 { return s.tasks(store.TaskProcessing) }
func (s *sight) paused() float64     { return s.tasks(store.TaskPaused) }

func (s *sight) tasks(state store.TaskState) float64 {
	list, _, err := s.Tasks.List(s.ctx, store.Query{State: string(state), Limit: store.MaxLimit})
	if err != nil {
		return math.NaN()
	}
	return float64(len(list))
}

func (s *sight) throughput() float64 {
	if s.Transcoder == nil {
		return math.NaN()
	}
	list, err := s.Transcoder.ListWorkers(s.ctx, &rpc.ListWorkersRequest{})
	if err != nil {
		return math.NaN()
	}
	sum := 0.0
	for _, w := range list.Workers {
		if w.TaskId != "" {
			sum += w.Speed
		}
	}
	return sum
}

// realTimeRatio is the mean of the chunks that were finished since the sight
// before; not seen if there was none.
func (s *sight) realTimeRatio() float64 {
	const family = "streamgate_transcoder_real_time_ratio"
	sum, _ := s.gained(family+"_sum", s.sum(family+"_sum", nil))
	count, _ := s.gained(family+"_count", s.sum(family+"_count", nil))
	if count == 0 {
		return math.NaN()
	}
	return sum / count
}

// failureRate is the share of the tasks that failed within the window, percent.
func (s *sight) failureRate() float64 {
	points, err := s.history.Read(history.Query{From: s.at.Add(-s.FailureWindow), To: s.at.Add(history.FineStep), Step: history.FineStep},
		s.at, "tasks_completed", "tasks_failed")
	if err != nil {
		return math.NaN()
	}
	completed, failed := ended(points[0]), ended(points[1])
	if all := completed + failed; all > 0 && math.Round(all) >= float64(s.FailureTasks) {
		return 100 * failed / all
	}
	return 0
}

// ended is how many tasks there were, of which a history tells how many a minute.
func ended(points []history.Point) float64 {
	sum := 0.0
	for _, p := range points {
		sum += p.Mean * history.FineStep.Minutes()
	}
	return sum
}

const (
	forecastFrom = 6 * time.Hour       // of what the forecast is made
	forecastMin  = time.Hour           // it needs that much
	forecastMost = 30 * 24 * time.Hour // nobody believes more
)

// diskFull is in how many seconds no more is free than must stay free.
func (s *sight) diskFull() float64 {
	points, err := s.history.Read(history.Query{From: s.at.Add(-forecastFrom), To: s.at, Step: history.CoarseStep}, s.at, "disk_free_bytes")
	if err != nil || math.IsNaN(s.diskFree) {
		return math.NaN()
	}
	left := s.diskFree - float64(s.MinFreeDisk)
	if left <= 0 {
		return 0
	}
	loss := -slope(points[0])
	if loss <= 0 {
		return forecastMost.Seconds()
	}
	return min(left/loss, forecastMost.Seconds())
}

// slope is how much points rise in a second, by least squares; 0 if they do not
// cover an hour.
func slope(points []history.Point) float64 {
	n := len(points)
	if n < 2 || points[n-1].At.Sub(points[0].At) < forecastMin {
		return 0
	}
	var x, y, xx, xy float64
	for _, p := range points {
		at := p.At.Sub(points[0].At).Seconds()
		x, y, xx, xy = x+at, y+p.Mean, xx+at*at, xy+at*p.Mean
	}
	count := float64(n)
	return (count*xy - x*y) / (count*xx - x*x)
}

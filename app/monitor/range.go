package monitor

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/monitor/history"
	"streamgate/app/rpc"
)

const (
	usualRange  = time.Hour
	usualPoints = 240 // of a series
	maxPoints   = 100_000
)

// GetMetricsHistory implements rpc.MonitorHandler.
func (s *Service) GetMetricsHistory(ctx context.Context, req *rpc.GetMetricsHistoryRequest) (*rpc.MetricsHistory, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	now := time.Now()
	chosen, err := s.chosen(req.Name)
	if err != nil {
		return nil, err
	}
	q, err := span(req, now, len(chosen))
	if err != nil {
		return nil, err
	}
	series, err := s.history.Read(q, now, names(chosen)...)
	if err != nil {
		return nil, err
	}
	out := &rpc.MetricsHistory{From: timestamppb.New(q.From), To: timestamppb.New(q.To), Step: int32(q.Step / time.Second)}
	for i, m := range chosen {
		one := &rpc.MetricSeries{Name: m.Name, NodeId: s.NodeID, Unit: m.Unit, Help: m.Help, Promql: m.PromQL}
		for _, p := range series[i] {
			one.Points = append(one.Points, &rpc.MetricPoint{At: float64(p.At.Unix()), Value: p.Mean, Max: p.Max})
		}
		out.Series = append(out.Series, one)
	}
	return out, nil
}

// chosen are the metrics of those names, all of them without any.
func (s *Service) chosen(wanted []string) ([]Metric, error) {
	if len(wanted) == 0 {
		return s.metrics, nil
	}
	var out []Metric
	for _, name := range slices.Compact(slices.Sorted(slices.Values(wanted))) {
		i := slices.IndexFunc(s.metrics, func(m Metric) bool { return m.Name == name })
		if i < 0 {
			return nil, rpc.Invalid("unknown_metric", "There is no metric %q; there are %s.", name, strings.Join(names(s.metrics), ", "))
		}
		out = append(out, s.metrics[i])
	}
	return out, nil
}

// span is what a request asks for, of what can be there.
func span(req *rpc.GetMetricsHistoryRequest, now time.Time, series int) (history.Query, error) {
	q := history.Query{To: now, Step: time.Duration(req.Step) * time.Second}
	for _, t := range []*timestamppb.Timestamp{req.From, req.To} {
		if t != nil && t.CheckValid() != nil {
			return q, rpc.Invalid("invalid_time", "from and to must be times like 2026-01-02T15:04:05Z.")
		}
	}
	if req.To != nil {
		q.To = req.To.AsTime()
	}
	q.From = q.To.Add(-usualRange)
	if req.From != nil {
		q.From = req.From.AsTime()
	}
	q.To = earlier(q.To, now.Add(history.FineStep)) // nothing is seen ahead
	if !q.From.Before(q.To) {
		return q, rpc.Invalid("invalid_time", "from is %s, which is not before to, or not past.", q.From.Format(time.RFC3339))
	}
	if req.Step < 0 || q.Step > history.CoarseSpan {
		return q, rpc.Invalid("invalid_step", "The step is %d; write seconds up to %.0f, or 0 for one that suits.", req.Step, history.CoarseSpan.Seconds())
	}
	if oldest := now.Add(-history.CoarseSpan); q.From.Before(oldest) {
		q.From = earlier(oldest, q.To)
	}
	length := q.To.Sub(q.From)
	least := history.FineStep
	if q.From.Before(now.Add(-history.FineSpan)) {
		least = history.CoarseStep
	}
	if q.Step == 0 {
		q.Step = length / usualPoints
	}
	q.Step = roundUp(max(q.Step, least), least)
	if points := int(length/q.Step) * series; points > maxPoints {
		return q, rpc.Invalid("too_many_points", "These would be %d points; ask for at most %d: fewer metrics, less time, or a longer step.", points, maxPoints)
	}
	return q, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func roundUp(d, to time.Duration) time.Duration { return (d + to - 1) / to * to }

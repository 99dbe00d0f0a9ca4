package monitor

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/monitor/history"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/bolt"
)

// transcoder has one worker at work.
type transcoder struct{ rpc.TranscoderClient }

func (transcoder) ListWorkers(context.Context, *rpc.ListWorkersRequest) (*rpc.ListWorkersResponse, error) {
	return &rpc.ListWorkersResponse{Workers: []*rpc.Worker{{TaskId: "t", Speed: 2.5}, {Speed: 9}}}, nil
}

type bench struct {
	*Service
	registry *prometheus.Registry
	seen     []Sample
	free     int64
	spaceErr error
	ctx      context.Context // of somebody who may read
	drained  []bool          // what Drain was asked
	drainErr error
}

func newBench(t testing.TB) *bench {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bench{registry: prometheus.NewRegistry(), free: 1000, ctx: rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead})}
	b.Service, err = New(Config{
		NodeID: "n1", Version: "1.0", Roles: []string{"monolith"}, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Space: func(context.Context) (int64, int64, error) { return b.free, 5000, b.spaceErr },
		State: func(context.Context) (string, map[string]string) {
			return "ready", map[string]string{"media": "is gone", "records": ""}
		},
		Busy:    func() (int, int, float64) { return 2, 3, 0.5 },
		Address: func() string { return "10.0.0.1:7070" },
		Drain: func(_ context.Context, drained bool) error {
			b.drained = append(b.drained, drained)
			return b.drainErr
		},
		Listeners:  func() map[string]string { return map[string]string{"public": "127.0.0.1:1"} },
		Checks:     func() []*rpc.NodeCheck { return []*rpc.NodeCheck{{Name: "ffmpeg"}} },
		Dir:        t.TempDir(),
		Gatherer:   b.registry,
		Registerer: b.registry,
		Transcoder: transcoder{}, Tasks: db.Catalog().Tasks, Log: slog.New(slog.DiscardHandler),
		Sampled:       func(_ context.Context, s Sample) { b.seen = append(b.seen, s) },
		FailureWindow: time.Hour, FailureTasks: 5, MinFreeDisk: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestGetNode(t *testing.T) {
	b := newBench(t)
	n, err := b.GetNode(b.ctx, &rpc.GetNodeRequest{})
	if err != nil || n.Id != "n1" || n.Version != "1.0" || !slices.Equal(n.Roles, []string{"monolith"}) ||
		!n.StartedAt.AsTime().Equal(b.Started) || n.DiskFreeBytes != 1000 || n.DiskTotalBytes != 5000 ||
		n.State != "ready" || len(n.Parts) != 2 || n.Parts[0].Healthy || n.Parts[0].Problem != "is gone" || !n.Parts[1].Healthy ||
		n.Load != 0.5 || n.Address != "10.0.0.1:7070" || n.Jobs != 2 || n.Requests != 3 ||
		n.Listeners != nil || n.Checks != nil || n.CpuPercent != nil {
		t.Errorf("GetNode = %v, %v", n, err)
	}
	operator := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeOperator})
	list, err := b.ListNodes(operator, &rpc.ListNodesRequest{})
	if err != nil || len(list.Nodes) != 1 || len(list.Nodes[0].Listeners) != 1 || len(list.Nodes[0].Checks) != 1 {
		t.Errorf("ListNodes = %v, %v", list, err)
	}
	if _, err := b.GetNode(t.Context(), &rpc.GetNodeRequest{}); err == nil {
		t.Error("open to strangers")
	}
	b.spaceErr = errors.New("disk is gone")
	if _, err := b.GetNode(b.ctx, &rpc.GetNodeRequest{}); !errors.Is(err, b.spaceErr) {
		t.Errorf("error %v", err)
	}
}

// TestDrain: each call by each scope, of this node and of another.
func TestDrain(t *testing.T) {
	b := newBench(t)
	calls := map[string]struct {
		need rpc.Scope
		call func(ctx context.Context, id string) error
		own  string // the reason with which the node's own id is refused
	}{
		"drain": {rpc.ScopeOperator, func(ctx context.Context, id string) error {
			_, err := b.DrainNode(ctx, &rpc.DrainNodeRequest{Id: id})
			return err
		}, ""},
		"resume": {rpc.ScopeOperator, func(ctx context.Context, id string) error {
			_, err := b.ResumeNode(ctx, &rpc.ResumeNodeRequest{Id: id})
			return err
		}, ""},
		"remove": {rpc.ScopeAdmin, func(ctx context.Context, id string) error {
			_, err := b.RemoveNode(ctx, &rpc.RemoveNodeRequest{Id: id})
			return err
		}, "node_alive"},
	}
	for name, c := range calls {
		for scope := rpc.ScopeNone; scope <= rpc.ScopeAdmin; scope++ {
			for id, want := range map[string]string{"n1": c.own, "other": "node_not_found"} {
				switch {
				case scope == rpc.ScopeNone:
					want = "unauthenticated"
				case scope < c.need:
					want = "permission_denied"
				}
				err := c.call(rpc.WithIdentity(t.Context(), rpc.Identity{Scope: scope}), id)
				if reason, _ := rpc.Reason(err); reason != want || want == "" && err != nil {
					t.Errorf("%s %s with scope %s: %v, want %q", name, id, scope, err, want)
				}
			}
		}
	}
	if n := len(b.drained); n != 4 { // by an operator and by an admin
		t.Errorf("asked %d times: %v", n, b.drained)
	}
	b.drainErr = errors.New("no")
	if err := calls["drain"].call(rpc.System(t.Context()), "n1"); !errors.Is(err, b.drainErr) {
		t.Error(err)
	}
}

// TestSample: gauges as they are, counters by time, also over a restart of what
// they count, histograms, labels, and what is found out here.
func TestSample(t *testing.T) {
	b := newBench(t)
	queue := prometheus.NewGauge(prometheus.GaugeOpts{Name: "streamgate_transcoder_queue_length"})
	failed := prometheus.NewCounter(prometheus.CounterOpts{Name: "streamgate_transcoder_tasks_failed"})
	completed := prometheus.NewCounter(prometheus.CounterOpts{Name: "streamgate_transcoder_tasks_completed"})
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "streamgate_access_decisions_total"}, []string{"reason"})
	ratio := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "streamgate_transcoder_real_time_ratio"})
	b.registry.MustRegister(queue, failed, completed, decisions, ratio)
	for _, id := range []string{"a", "b"} {
		if err := b.Tasks.Create(t.Context(), store.Task{ID: id, State: store.TaskProcessing}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Truncate(history.FineStep)
	queue.Set(7)
	before := b.sample(t.Context(), now.Add(-15*time.Second), counters{})
	failed.Add(2)
	completed.Add(6)
	decisions.WithLabelValues("admitted").Add(3)
	decisions.WithLabelValues("not_a_holder").Add(1)
	decisions.WithLabelValues("signed_out").Add(1)
	ratio.Observe(2)
	ratio.Observe(4)
	before = b.sample(t.Context(), now, before)
	b.sample(t.Context(), now.Add(15*time.Second), before)
	want := []map[string]float64{
		{"queue_length": 7, "tasks_processing": 2, "tasks_paused": 0, "throughput": 2.5, "disk_free_bytes": 1000, "disk_used_bytes": 4000, "tasks_failed": math.NaN(), "failure_rate": 0},
		{"queue_length": 7, "tasks_failed": 8, "tasks_completed": 24, "decisions_admitted": 12, "decisions_refused": 8, "real_time_ratio": 3, "disk_full_seconds": forecastMost.Seconds()},
		{"tasks_failed": 0, "failure_rate": 25, "real_time_ratio": math.NaN()},
	}
	for i, values := range want {
		for name, value := range values {
			got, ok := b.seen[i].Values[name]
			if ok == math.IsNaN(value) || ok && math.Abs(got-value) > 1e-6 {
				t.Errorf("sample %d: %s is %v, want %v", i, name, got, value)
			}
		}
	}
	if cpu := b.seen[1].Values["cpu_percent"]; cpu < 0 || cpu > 200 {
		t.Errorf("cpu_percent is %v", cpu)
	}
	m, err := b.GetMetricsHistory(b.ctx, &rpc.GetMetricsHistoryRequest{Name: []string{"tasks_failed"}, From: timestamppb.New(now.Add(-time.Minute)), Step: 15})
	if err != nil || len(m.Series) != 1 || m.Step != 15 || len(m.Series[0].Points) != 1 || m.Series[0].Points[0].Value != 8 || m.Series[0].NodeId != "n1" {
		t.Errorf("GetMetricsHistory = %v, %v", m, err)
	}
	if n, err := testutil.GatherAndCount(b.registry, "streamgate_node_throughput", "streamgate_node_failure_rate"); n != 2 || err != nil {
		t.Errorf("%d are shown, %v", n, err)
	}
}

func TestRequests(t *testing.T) {
	b := newBench(t)
	now := time.Now()
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(d)) }
	for _, c := range []struct {
		req    *rpc.GetMetricsHistoryRequest
		reason string
		step   int32
	}{
		{&rpc.GetMetricsHistoryRequest{}, "", 15},
		{&rpc.GetMetricsHistoryRequest{From: at(-24*time.Hour + time.Minute)}, "", 360},
		{&rpc.GetMetricsHistoryRequest{From: at(-7 * 24 * time.Hour)}, "", 2700},
		{&rpc.GetMetricsHistoryRequest{From: at(-1000 * time.Hour), Step: 1, Name: []string{"sessions"}}, "", 300},
		{&rpc.GetMetricsHistoryRequest{Step: 20}, "", 30},
		{&rpc.GetMetricsHistoryRequest{Step: math.MaxInt32}, "invalid_step", 0},
		{&rpc.GetMetricsHistoryRequest{From: at(-1000 * time.Hour), To: at(-900 * time.Hour)}, "", 300},
		{&rpc.GetMetricsHistoryRequest{To: at(time.Hour * 1000)}, "invalid_time", 0},
		{&rpc.GetMetricsHistoryRequest{From: at(-23 * time.Hour), Step: 15}, "too_many_points", 0},
		{&rpc.GetMetricsHistoryRequest{From: at(0), To: at(-1)}, "invalid_time", 0},
		{&rpc.GetMetricsHistoryRequest{From: &timestamppb.Timestamp{Seconds: math.MaxInt64}}, "invalid_time", 0},
		{&rpc.GetMetricsHistoryRequest{Step: -1}, "invalid_step", 0},
		{&rpc.GetMetricsHistoryRequest{Name: []string{"sessions", "nothing"}}, "unknown_metric", 0},
	} {
		m, err := b.GetMetricsHistory(b.ctx, c.req)
		reason, _ := rpc.Reason(err)
		if reason != c.reason || err == nil && m.Step != c.step {
			t.Errorf("%v: %v, %v", c.req, m.GetStep(), err)
		}
	}
	if _, err := b.GetMetricsHistory(t.Context(), &rpc.GetMetricsHistoryRequest{}); err == nil {
		t.Error("open to strangers")
	}
}

// TestForecast: a disk that loses 100 bytes a minute has 9 minutes left of 900.
func TestForecast(t *testing.T) {
	b := newBench(t)
	now := time.Now()
	column := slices.Index(names(b.metrics), "disk_free_bytes")
	for at := -2 * time.Hour; at < 0; at += time.Minute {
		values := make([]float64, len(b.metrics))
		values[column] = 1000 - 100*at.Minutes()
		if err := b.history.Append(now.Add(at), values); err != nil {
			t.Fatal(err)
		}
	}
	b.sample(t.Context(), now, counters{})
	if got := b.seen[0].Values["disk_full_seconds"]; math.Abs(got-540) > 15 {
		t.Errorf("it is full in %v s", got)
	}
	b.free = 50
	b.sample(t.Context(), now, counters{})
	if got := b.seen[1].Values["disk_full_seconds"]; got != 0 {
		t.Errorf("what is full already is full in %v s", got)
	}
}

func TestMachine(t *testing.T) {
	if got := busySeconds([]byte("cpu  100 20 30 9999 888 5 6 7 3 2\ncpu0 …")); got != 1.68 {
		t.Errorf("busy for %v s", got)
	}
	for _, bad := range []string{"", "cpu", "cpu a b c d e f g h", "mem 1 2 3 4 5 6 7 8"} {
		if got := busySeconds([]byte(bad)); !math.IsNaN(got) {
			t.Errorf("%q: %v", bad, got)
		}
	}
	info := []byte("MemTotal:  100 kB\nMemAvailable:   7 kB\n")
	if got := memoryOf(info, "MemAvailable:"); got != 7168 {
		t.Errorf("%v bytes are available", got)
	}
	if got := memoryOf(info, "MemFree:"); !math.IsNaN(got) {
		t.Errorf("%v bytes are free", got)
	}
}

// TestMetricNames: names are unique, plain, and each says what it is.
func TestMetricNames(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Metrics() {
		if seen[m.Name] || strings.ToLower(m.Name) != m.Name || m.Unit == "" || !strings.HasSuffix(m.Help, ".") || m.PromQL == "" {
			t.Errorf("%+v", m)
		}
		seen[m.Name] = true
	}
}

// BenchmarkSample is what a node spends every 15 s on its history.
func BenchmarkSample(b *testing.B) {
	bench := newBench(b)
	bench.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	at, before := time.Now(), counters{}
	for b.Loop() {
		before = bench.sample(b.Context(), at, before)
		at = at.Add(history.FineStep)
		bench.seen = nil
	}
}

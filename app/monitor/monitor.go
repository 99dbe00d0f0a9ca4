// Package monitor tells how a node is, and how it was.
//
// # What
//
// Service implements rpc.MonitorHandler. GetNode and ListNodes describe the
// node (node.go): who it is, since when, its parts, its machine; DrainNode takes it
// out of service (drain.go). It speaks for its own node alone. Run takes a
// sample of the named metrics (metrics.go) every 15 s: what other parts show
// Prometheus, and what it finds out itself (sight.go, machine.go). Samples are
// kept for 7 days (package history), given out by GetMetricsHistory (range.go),
// and handed to Config.Sampled, which decides about alerts.
//
// # Usage
//
//	svc, err := monitor.New(monitor.Config{NodeID: id, Space: objects.Space, …})
//	go svc.Run(ctx)
//
// # Guarantees
//
// The history outlives restarts and kill -9, takes at most 16 MiB, and costs
// some milliseconds in 15 s. Each node keeps its own; series carry its id.
// What cannot be read is left out of a sample and harms nothing else.
//
// # Testing
//
// With a registry of its own and services that answer as told.
package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/monitor/history"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Config is what the monitor tells and where it looks.
type Config struct {
	NodeID  string
	Version string
	Roles   []string
	Started time.Time
	// Space tells the bytes free and in all where media is kept
	// (store.Objects has it).
	Space func(ctx context.Context) (free, total int64, err error)
	// State tells the node's state (ready …) and what is wrong with its parts,
	// "" for those that are healthy.
	State func(ctx context.Context) (state string, parts map[string]string)
	// Busy tells what runs on the node that a drain waits for, and its load but for
	// that of the processor, 0 to 1.
	Busy func() (jobs, requests int, load float64)
	// Drain takes the node out of service, or puts it back.
	Drain func(ctx context.Context, drained bool) error
	// Address is where other nodes reach it; "" if there are none.
	Address func() string
	// Listeners are where it listens, by name.
	Listeners func() map[string]string
	// Checks are what it found out about its machine.
	Checks func() []*rpc.NodeCheck

	// Dir is the folder of the history.
	Dir        string
	Gatherer   prometheus.Gatherer
	Registerer prometheus.Registerer // for what the monitor finds out itself
	Transcoder rpc.TranscoderClient
	Tasks      store.Table[store.Task]
	Log        *slog.Logger
	// Sampled is told of every sample; it may take its time. nil: nobody.
	Sampled func(context.Context, Sample)

	// FailureWindow and FailureTasks are of what the failure rate is made: the
	// tasks that ended lately, if they were at least so many.
	FailureWindow time.Duration
	FailureTasks  int
	// MinFreeDisk is what must stay free, bytes.
	MinFreeDisk int64
}

// Service is the monitor.
type Service struct {
	Config
	metrics []Metric
	history *history.Log
	last    atomic.Pointer[Sample]
}

var (
	_ rpc.MonitorHandler = (*Service)(nil)
	_ rpc.MonitorClient  = (*Service)(nil)
)

// New returns the monitor of one node. Close it when Run has ended.
func New(cfg Config) (*Service, error) {
	s := &Service{Config: cfg, metrics: Metrics()}
	if err := s.show(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("metrics of the node: %w", err)
	}
	var err error
	s.history, err = history.Open(cfg.Dir, names(s.metrics))
	return s, err
}

// Close closes the history.
func (s *Service) Close() error { return s.history.Close() }

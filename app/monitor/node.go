package monitor

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// GetNode implements rpc.MonitorHandler.
func (s *Service) GetNode(ctx context.Context, _ *rpc.GetNodeRequest) (*rpc.Node, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	free, total, err := s.Space(ctx)
	if err != nil {
		return nil, fmt.Errorf("disk space: %w", err)
	}
	if free == store.Unlimited {
		free, total = 0, 0 // no disk to tell of
	}
	n := &rpc.Node{
		Id: s.NodeID, Version: s.Version, Roles: s.Roles, StartedAt: timestamppb.New(s.Started),
		DiskFreeBytes: float64(free), DiskTotalBytes: float64(total), Cores: int32(runtime.NumCPU()),
		CpuPercent: seen(s.value("cpu_percent")), OwnCpuPercent: seen(s.value("own_cpu_percent")), MemoryBytes: orZero(s.value("memory_bytes")),
	}
	n.Host, _ = os.Hostname() // unnamed is no fault
	n.Address, n.Load = s.Address(), s.Load()
	jobs, requests, _ := s.Busy()
	n.Jobs, n.Requests = int32(jobs), int32(requests)
	m := readMachine()
	n.MemoryAvailableBytes, n.MemoryTotalBytes = orZero(m.available), orZero(m.total)
	var parts map[string]string
	n.State, parts = s.State(ctx)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		n.Parts = append(n.Parts, &rpc.NodePart{Name: name, Healthy: parts[name] == "", Problem: parts[name]})
	}
	if rpc.Require(ctx, rpc.ScopeOperator) != nil {
		return n, nil
	}
	n.Checks = s.Checks()
	listeners := s.Listeners()
	for _, name := range slices.Sorted(maps.Keys(listeners)) {
		n.Listeners = append(n.Listeners, &rpc.NodeListener{Name: name, Address: listeners[name]})
	}
	return n, nil
}

// Load is how much of what the node can do it does, 0 to 1: of its workers, or of the
// machine's processors for the node itself, whichever is more.
func (s *Service) Load() float64 {
	_, _, load := s.Busy()
	return min(1, max(load, orZero(s.value("own_cpu_percent"))/100))
}

// ListNodes implements rpc.MonitorHandler.
func (s *Service) ListNodes(ctx context.Context, _ *rpc.ListNodesRequest) (*rpc.ListNodesResponse, error) {
	n, err := s.GetNode(ctx, &rpc.GetNodeRequest{})
	if err != nil {
		return nil, err
	}
	return &rpc.ListNodesResponse{Nodes: []*rpc.Node{n}}, nil
}

// seen is nil for what was not.
func seen(value float64) *float64 {
	if math.IsNaN(value) {
		return nil
	}
	return &value
}

func orZero(value float64) float64 {
	if math.IsNaN(value) {
		return 0
	}
	return value
}

// Package monitor tells how a node is.
//
// # What
//
// Service implements rpc.MonitorHandler. GetNode describes the node it runs
// on: who it is, since when, which roles it has, how full its disk is.
//
// # Usage
//
//	svc := monitor.New(monitor.Config{NodeID: id, Space: objects.Space, …})
//
// # Testing
//
// With a fake Objects whose Space is known.
package monitor

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
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
}

// Service is the monitor.
type Service struct{ Config }

var (
	_ rpc.MonitorHandler = (*Service)(nil)
	_ rpc.MonitorClient  = (*Service)(nil)
)

// New returns the monitor of one node.
func New(cfg Config) *Service { return &Service{cfg} }

// GetNode implements rpc.MonitorHandler.
func (s *Service) GetNode(ctx context.Context, _ *rpc.GetNodeRequest) (*rpc.Node, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	free, total, err := s.Space(ctx)
	if err != nil {
		return nil, fmt.Errorf("disk space: %w", err)
	}
	return &rpc.Node{
		Id: s.NodeID, Version: s.Version, Roles: s.Roles,
		StartedAt: timestamppb.New(s.Started), DiskFreeBytes: float64(free), DiskTotalBytes: float64(total),
	}, nil
}

package monitor

import (
	"context"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// DrainNode implements rpc.MonitorHandler.
func (s *Service) DrainNode(ctx context.Context, req *rpc.DrainNodeRequest) (*rpc.Node, error) {
	return s.drain(ctx, req.Id, true)
}

// ResumeNode implements rpc.MonitorHandler.
func (s *Service) ResumeNode(ctx context.Context, req *rpc.ResumeNodeRequest) (*rpc.Node, error) {
	return s.drain(ctx, req.Id, false)
}

func (s *Service) drain(ctx context.Context, id string, drained bool) (*rpc.Node, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if id != s.NodeID {
		return nil, UnknownNode(id)
	}
	if err := s.Drain(ctx, drained); err != nil {
		return nil, err
	}
	return s.GetNode(ctx, &rpc.GetNodeRequest{})
}

// RemoveNode implements rpc.MonitorHandler.
func (s *Service) RemoveNode(ctx context.Context, req *rpc.RemoveNodeRequest) (*rpc.RemoveNodeResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	if req.Id != s.NodeID {
		return nil, UnknownNode(req.Id)
	}
	return nil, NodeLives(req.Id)
}

// UnknownNode means that no node has an id.
func UnknownNode(id string) error {
	return rpc.Errorf(connect.CodeNotFound, "node_not_found", "There is no node %.100q.", id)
}

// NodeLives means that a node is not removed.
func NodeLives(id string) error {
	return rpc.Errorf(connect.CodeFailedPrecondition, "node_alive",
		"The node %s answers, and only a node that does not is removed. Drain it and stop it: it then leaves by itself.", id)
}

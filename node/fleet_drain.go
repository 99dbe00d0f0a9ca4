package node

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"

	"streamgate/app/monitor"
	"streamgate/app/rpc"
	"streamgate/node/cluster"
	"streamgate/store"
)

// DrainNode asks the node itself.
func (m *monitors) DrainNode(ctx context.Context, req *rpc.DrainNodeRequest) (*rpc.Node, error) {
	return m.operate(ctx, req.Id, func(ctx context.Context, c rpc.MonitorClient) (*rpc.Node, error) { return c.DrainNode(ctx, req) })
}

// ResumeNode asks the node itself.
func (m *monitors) ResumeNode(ctx context.Context, req *rpc.ResumeNodeRequest) (*rpc.Node, error) {
	return m.operate(ctx, req.Id, func(ctx context.Context, c rpc.MonitorClient) (*rpc.Node, error) { return c.ResumeNode(ctx, req) })
}

func (m *monitors) operate(ctx context.Context, id string, ask func(context.Context, rpc.MonitorClient) (*rpc.Node, error)) (*rpc.Node, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	if id == m.k.NodeID {
		return ask(ctx, m.MonitorClient)
	}
	if _, known := m.k.instanceOf(id); !known {
		return nil, monitor.UnknownNode(id)
	}
	out, err := ask(cluster.WithNode(ctx, id), m.k.remote.Monitor)
	switch reason, _ := rpc.Reason(err); {
	case silent(err):
		return nil, rpc.Errorf(connect.CodeUnavailable, "node_unreachable",
			"The node %s does not answer. If it is gone for good, remove it: streamgate nodes remove %s.", id, id)
	case reason == "not_a_node":
		return nil, rpc.Errorf(connect.CodePermissionDenied, "wrong_node",
			"A node with the roles %v may drain itself only; ask on a gateway, or on a metadata node.", m.k.roleNames())
	}
	return out, err
}

// RemoveNode takes a node out of the registry that does not answer.
func (m *monitors) RemoveNode(ctx context.Context, req *rpc.RemoveNodeRequest) (*rpc.RemoveNodeResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	if req.Id == m.k.NodeID {
		return nil, monitor.NodeLives(req.Id)
	}
	node, known := m.k.instanceOf(req.Id)
	if known && m.answers(ctx, node.ID) {
		return nil, monitor.NodeLives(req.Id)
	}
	err := m.k.Registry.Remove(ctx, req.Id, node.Boot)
	if errors.Is(err, store.ErrNotFound) {
		return nil, monitor.UnknownNode(req.Id)
	}
	if err != nil {
		return nil, err
	}
	m.k.Log.Warn("a node was removed from the registry", "node", req.Id, "boot", node.Boot, "roles", node.Roles)
	return &rpc.RemoveNodeResponse{}, nil
}

// answers tells whether a node answers, whatever it says.
func (m *monitors) answers(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(cluster.WithNode(ctx, id), eachLimit)
	defer cancel()
	_, err := m.k.remote.Monitor.GetNode(ctx, &rpc.GetNodeRequest{})
	return !silent(err)
}

// silent tells whether a call failed since no node answered it.
func silent(err error) bool {
	reason, _ := rpc.Reason(err)
	return reason == "role_unavailable" || errors.Is(err, context.DeadlineExceeded) || connect.CodeOf(err) == connect.CodeDeadlineExceeded
}

// instanceOf is a node as the registry has it.
func (k *Kernel) instanceOf(id string) (cluster.Instance, bool) {
	all := k.Registry.Instances()
	i := slices.IndexFunc(all, func(i cluster.Instance) bool { return i.ID == id })
	if i < 0 {
		return cluster.Instance{}, false
	}
	return all[i], true
}

package node

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/node/cluster"
)

// eachLimit bounds what is asked of every node: one that does not answer must not
// keep a page.
const eachLimit = 3 * time.Second

// told is what a node answered.
type told[T any] struct {
	node   cluster.Instance
	answer T
	err    error
}

// each asks every node of a role the same, at the same time.
func each[T any](ctx context.Context, k *Kernel, role string, ask func(context.Context) (T, error)) []told[T] {
	ctx, cancel := context.WithTimeout(ctx, eachLimit)
	defer cancel()
	nodes := slices.DeleteFunc(k.Registry.Instances(), func(i cluster.Instance) bool { return !i.Has(role) })
	out := make([]told[T], len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() {
			answer, err := ask(cluster.WithNode(ctx, node.ID))
			out[i] = told[T]{node, answer, err}
		})
	}
	all.Wait()
	return out
}

// whole is every answer that came, or the first error if none did.
func whole[T any](all []told[T], role string) ([]told[T], error) {
	well := slices.DeleteFunc(slices.Clone(all), func(a told[T]) bool { return a.err != nil })
	switch {
	case len(well) > 0:
		return well, nil
	case len(all) > 0:
		return nil, all[0].err
	}
	return nil, rpc.Errorf(connect.CodeUnavailable, "role_unavailable", "No node with the role %s is there now; try again in a moment.", role)
}

// transcoders is the service of all transcoders together: what each tells of itself
// is put together, and everything else is asked of one of them.
type transcoders struct {
	rpc.TranscoderClient // of one of them, or the one that is here
	k                    *Kernel
}

// everyTranscoder is the transcoder as callers see it.
func (k *Kernel) everyTranscoder(one rpc.TranscoderClient) rpc.TranscoderClient {
	if !k.clustered() {
		return one
	}
	return &transcoders{one, k}
}

// workerID names a worker among those of all nodes.
func workerID(node, worker string) string { return node + "-" + worker }

// ListWorkers puts the workers of all nodes together.
func (t *transcoders) ListWorkers(ctx context.Context, req *rpc.ListWorkersRequest) (*rpc.ListWorkersResponse, error) {
	return t.workers(ctx, func(ctx context.Context) (*rpc.ListWorkersResponse, error) {
		return t.k.remote.Transcoder.ListWorkers(ctx, req)
	})
}

// DrainTranscoder drains every node.
func (t *transcoders) DrainTranscoder(ctx context.Context, req *rpc.DrainTranscoderRequest) (*rpc.ListWorkersResponse, error) {
	return t.workers(ctx, func(ctx context.Context) (*rpc.ListWorkersResponse, error) {
		return t.k.remote.Transcoder.DrainTranscoder(ctx, req)
	})
}

// ResumeTranscoder resumes every node.
func (t *transcoders) ResumeTranscoder(ctx context.Context, req *rpc.ResumeTranscoderRequest) (*rpc.ListWorkersResponse, error) {
	return t.workers(ctx, func(ctx context.Context) (*rpc.ListWorkersResponse, error) {
		return t.k.remote.Transcoder.ResumeTranscoder(ctx, req)
	})
}

func (t *transcoders) workers(ctx context.Context, ask func(context.Context) (*rpc.ListWorkersResponse, error)) (*rpc.ListWorkersResponse, error) {
	answers, err := whole(each(ctx, t.k, string(RoleTranscoder), ask), string(RoleTranscoder))
	if err != nil {
		return nil, err
	}
	out := &rpc.ListWorkersResponse{}
	for _, a := range answers {
		for _, w := range a.answer.Workers {
			w.Id = workerID(a.node.ID, w.Id)
			out.Workers = append(out.Workers, w)
		}
	}
	return out, nil
}

// DrainWorker drains a worker of the node that its id names.
func (t *transcoders) DrainWorker(ctx context.Context, req *rpc.DrainWorkerRequest) (*rpc.Worker, error) {
	return t.worker(ctx, req.Id, func(ctx context.Context, id string) (*rpc.Worker, error) {
		return t.k.remote.Transcoder.DrainWorker(ctx, &rpc.DrainWorkerRequest{Id: id})
	})
}

// ResumeWorker resumes a worker of the node that its id names.
func (t *transcoders) ResumeWorker(ctx context.Context, req *rpc.ResumeWorkerRequest) (*rpc.Worker, error) {
	return t.worker(ctx, req.Id, func(ctx context.Context, id string) (*rpc.Worker, error) {
		return t.k.remote.Transcoder.ResumeWorker(ctx, &rpc.ResumeWorkerRequest{Id: id})
	})
}

func (t *transcoders) worker(ctx context.Context, id string, ask func(context.Context, string) (*rpc.Worker, error)) (*rpc.Worker, error) {
	for _, node := range t.k.Registry.Instances() {
		own, ok := strings.CutPrefix(id, node.ID+"-")
		if !ok || !node.Has(string(RoleTranscoder)) {
			continue
		}
		w, err := ask(cluster.WithNode(ctx, node.ID), own)
		if err != nil {
			return nil, err
		}
		w.Id = id
		return w, nil
	}
	return nil, rpc.Errorf(connect.CodeNotFound, "worker_not_found", "No node has a worker %q.", id)
}

// GetMetrics adds up what the nodes have done.
func (t *transcoders) GetMetrics(ctx context.Context, req *rpc.GetMetricsRequest) (*rpc.GetMetricsResponse, error) {
	answers, err := whole(each(ctx, t.k, string(RoleTranscoder), func(ctx context.Context) (*rpc.GetMetricsResponse, error) {
		return t.k.remote.Transcoder.GetMetrics(ctx, req)
	}), string(RoleTranscoder))
	if err != nil {
		return nil, err
	}
	var sum rpc.GetMetricsResponse
	var spent time.Duration
	for _, a := range answers {
		m := a.answer
		for _, n := range []struct {
			sum **int32
			n   *int32
		}{
			{&sum.TotalWorkers, m.TotalWorkers}, {&sum.ActiveWorkers, m.ActiveWorkers}, {&sum.IdleWorkers, m.IdleWorkers},
			{&sum.UnhealthyWorkers, m.UnhealthyWorkers}, {&sum.TotalTasksProcessed, m.TotalTasksProcessed}, {&sum.TotalTasksFailed, m.TotalTasksFailed},
		} {
			if n.n == nil {
				continue
			}
			total := *n.n
			if *n.sum != nil {
				total += **n.sum
			}
			*n.sum = &total
		}
		if mean, err := time.ParseDuration(m.AverageTaskTime); err == nil {
			spent += mean * time.Duration(m.GetTotalTasksProcessed())
		}
	}
	mean := spent
	if done := sum.GetTotalTasksProcessed(); done > 0 {
		mean /= time.Duration(done)
	}
	sum.AverageTaskTime = mean.String()
	return &sum, nil
}

// monitors is what all nodes tell of themselves together.
type monitors struct {
	rpc.MonitorClient // of this node
	k                 *Kernel
}

// everyMonitor is the monitor as callers see it.
func (k *Kernel) everyMonitor(own rpc.MonitorClient) rpc.MonitorClient {
	if !k.clustered() {
		return own
	}
	return &monitors{own, k}
}

// stateUnreachable is that of a node which the registry knows and which does not
// answer.
const stateUnreachable = "unreachable"

// ListNodes describes every node that the registry knows.
func (m *monitors) ListNodes(ctx context.Context, _ *rpc.ListNodesRequest) (*rpc.ListNodesResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	out := &rpc.ListNodesResponse{}
	for _, a := range each(ctx, m.k, cluster.AnyRole, func(ctx context.Context) (*rpc.Node, error) {
		return m.k.remote.Monitor.GetNode(ctx, &rpc.GetNodeRequest{})
	}) {
		if a.err != nil {
			a.answer = &rpc.Node{
				Id: a.node.ID, Version: a.node.Version, Roles: a.node.Roles, State: stateUnreachable, Address: a.node.Addr, Load: a.node.Load,
			}
		}
		out.Nodes = append(out.Nodes, a.answer)
	}
	slices.SortFunc(out.Nodes, func(a, b *rpc.Node) int {
		return cmp.Or(strings.Compare(strings.Join(a.Roles, " "), strings.Join(b.Roles, " ")), strings.Compare(a.Id, b.Id))
	})
	return out, nil
}

// GetMetricsHistory puts the series of all nodes together, each of which names its
// node.
func (m *monitors) GetMetricsHistory(ctx context.Context, req *rpc.GetMetricsHistoryRequest) (*rpc.MetricsHistory, error) {
	all := each(ctx, m.k, cluster.AnyRole, func(ctx context.Context) (*rpc.MetricsHistory, error) {
		return m.k.remote.Monitor.GetMetricsHistory(ctx, req)
	})
	answers, err := whole(all, cluster.AnyRole)
	if err != nil {
		return nil, err
	}
	out := answers[0].answer
	for _, a := range answers[1:] {
		out.Series = append(out.Series, a.answer.Series...)
	}
	return out, nil
}

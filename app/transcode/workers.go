package transcode

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// ListWorkers implements rpc.TranscoderHandler.
func (s *Service) ListWorkers(ctx context.Context, _ *rpc.ListWorkersRequest) (*rpc.ListWorkersResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	return s.describeWorkers(ctx), nil
}

// DrainWorker implements rpc.TranscoderHandler.
func (s *Service) DrainWorker(ctx context.Context, req *rpc.DrainWorkerRequest) (*rpc.Worker, error) {
	return s.drainWorker(ctx, req.Id, true)
}

// ResumeWorker implements rpc.TranscoderHandler.
func (s *Service) ResumeWorker(ctx context.Context, req *rpc.ResumeWorkerRequest) (*rpc.Worker, error) {
	return s.drainWorker(ctx, req.Id, false)
}

func (s *Service) drainWorker(ctx context.Context, id string, drained bool) (*rpc.Worker, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	switch transcoder, node := s.pool.drains(); {
	case drained:
	case node:
		return nil, rpc.Errorf(connect.CodeFailedPrecondition, "node_drained", "The whole node is drained; resume it, and its workers go on.")
	case transcoder:
		return nil, rpc.Errorf(connect.CodeFailedPrecondition, "transcoder_drained",
			"The whole transcoder is drained; resume it, and its workers go on.")
	}
	if id == "" || !s.pool.drain(id, drained) {
		return nil, rpc.Errorf(connect.CodeNotFound, "worker_not_found", "This node has no worker %q.", id)
	}
	s.jobs.fire()
	workers := s.describeWorkers(ctx).Workers
	i := slices.IndexFunc(workers, func(w *rpc.Worker) bool { return w.Id == id })
	if i < 0 { // it ended just now
		return nil, rpc.Errorf(connect.CodeNotFound, "worker_not_found", "This node has no worker %q.", id)
	}
	return workers[i], nil
}

// DrainTranscoder implements rpc.TranscoderHandler.
func (s *Service) DrainTranscoder(ctx context.Context, _ *rpc.DrainTranscoderRequest) (*rpc.ListWorkersResponse, error) {
	return s.drainAll(ctx, true)
}

// ResumeTranscoder implements rpc.TranscoderHandler.
func (s *Service) ResumeTranscoder(ctx context.Context, _ *rpc.ResumeTranscoderRequest) (*rpc.ListWorkersResponse, error) {
	return s.drainAll(ctx, false)
}

func (s *Service) drainAll(ctx context.Context, drained bool) (*rpc.ListWorkersResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	s.pool.drain("", drained)
	s.Log.Info("transcoder", "drained", drained)
	s.jobs.fire()
	return s.describeWorkers(ctx), nil
}

// DrainNode lets the workers finish their jobs and take no more, or undoes that. A
// worker that is drained by itself, and a drained transcoder, stay so.
func (s *Service) DrainNode(drained bool) {
	s.pool.drainNode(drained)
	s.jobs.fire()
}

// Running counts the jobs that run on this node. Once it is 0 on a node that is
// drained, none begins.
func (s *Service) Running() int { return s.pool.runningJobs() }

// Load is the share of workers that have a job, 0 to 1.
func (s *Service) Load() float64 {
	c := s.pool.counts()
	if c.active == 0 {
		return 0
	}
	return float64(c.active) / float64(c.active+c.idle)
}

func (s *Service) describeWorkers(ctx context.Context) *rpc.ListWorkersResponse {
	out := &rpc.ListWorkersResponse{}
	for _, w := range s.pool.list() {
		worker := &rpc.Worker{Id: w.name, State: w.state, Express: w.express, Reason: w.why}
		if w.job != nil {
			s.describeRun(ctx, worker, w.job)
		}
		out.Workers = append(out.Workers, worker)
	}
	return out
}

// describeRun says what a worker is doing.
func (s *Service) describeRun(ctx context.Context, w *rpc.Worker, run *running) {
	share := run.progress.get()
	w.TaskId, w.VideoId, w.JobId, w.Kind = run.TaskID, run.VideoID, run.ID, string(run.Kind)
	w.FromSegment, w.ToSegment = int32(run.From), int32(run.To)
	w.Progress, w.StartedAt = 100*share, timestamppb.New(run.began)
	child := run.watch.Child()
	w.Pid, w.Command, w.Log = int32(child.PID), strings.Join(child.Command, " "), child.Log
	w.CpuSeconds, w.ResidentBytes = child.CPU.Seconds(), float64(child.Resident)
	took := time.Since(run.began).Seconds()
	if share <= 0 || took <= 0 {
		return
	}
	eta := took * (1 - share) / share
	w.Eta = &eta
	if plan, err := s.Catalog.Plans.Plan(ctx, run.VideoID); err == nil && run.From < run.To && run.To <= plan.Timeline.Segments() {
		b := plan.Timeline.Bounds
		w.Speed = share * plan.Timeline.Seconds(b[run.To]-b[run.From]) / took
	}
}

func encodeJob(j store.Job) *rpc.Job {
	out := &rpc.Job{
		Id: j.ID, Kind: string(j.Kind), State: string(j.State), FromSegment: int32(j.From), ToSegment: int32(j.To),
		Rendition: j.Rendition, Progress: 100 * j.Progress, Failures: int32(j.Failures), Worker: j.Lease.Owner.Worker,
	}
	if j.Failure != nil {
		out.Error = &rpc.Failure{Code: j.Failure.Code, Message: j.Failure.Message}
	}
	for _, a := range j.Attempts {
		out.Attempts = append(out.Attempts, &rpc.Attempt{
			Worker: a.Owner.Worker, StartedAt: timestamppb.New(a.Started), FinishedAt: timestamppb.New(a.Ended),
			Error: &rpc.Failure{Code: a.Failure.Code, Message: a.Failure.Message}, Log: a.Log,
		})
	}
	return out
}

package transcode

import (
	"context"
	"errors"
	"slices"
	"sync"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	maxBulk     = 1000 // tasks that one call changes
	maxRefused  = 100  // refusals that one answer names
	bulkWorkers = 16   // changes at a time, so that they share syncs
)

// CancelTasks implements rpc.TranscoderHandler.
func (s *Service) CancelTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.applyAll(ctx, req, cancelTask)
}

// PauseTasks implements rpc.TranscoderHandler.
func (s *Service) PauseTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.applyAll(ctx, req, pauseTask)
}

// ResumeTasks implements rpc.TranscoderHandler.
func (s *Service) ResumeTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.applyAll(ctx, req, resumeTask)
}

// RetryTasks implements rpc.TranscoderHandler.
func (s *Service) RetryTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.applyAll(ctx, req, retryTask)
}

// PrioritiseTasks implements rpc.TranscoderHandler.
func (s *Service) PrioritiseTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	if req.Priority == nil {
		return nil, rpc.Invalid("priority_missing", "Say which priority the tasks are to have: 0 to 100.")
	}
	priority, err := rpc.Priority(req.Priority, 0)
	if err != nil {
		return nil, err
	}
	return s.applyAll(ctx, req, reprioritise(priority))
}

// applyAll makes a change of every task that the request names. That one is
// refused does not keep the others.
func (s *Service) applyAll(ctx context.Context, req *rpc.ChangeTasksRequest, do change) (*rpc.ChangeTasksResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	ids, more, err := s.match(ctx, req)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(ids))
	var (
		workers sync.WaitGroup
		next    = make(chan int)
	)
	for range min(bulkWorkers, len(ids)) {
		workers.Go(func() {
			for i := range next {
				_, errs[i] = do(ctx, s, ids[i])
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	workers.Wait()

	out := &rpc.ChangeTasksResponse{Matched: int32(len(ids)), More: more}
	for i, err := range errs {
		var coded *connect.Error
		switch {
		case err == nil:
			out.Changed++
		case !errors.As(refusal(err, ids[i]), &coded):
			return nil, err // the store's trouble: nobody knows what happened
		case len(out.Refused) < maxRefused:
			reason, _ := rpc.Reason(coded)
			out.Refused = append(out.Refused, &rpc.RefusedChange{Id: ids[i], Error: &rpc.Failure{Code: reason, Message: coded.Message()}})
		}
	}
	return out, nil
}

// match lists the tasks that a request names, the newest first, and whether
// there are more than can be changed at once.
func (s *Service) match(ctx context.Context, req *rpc.ChangeTasksRequest) (ids []string, more bool, err error) {
	byFilter := req.State != "" || req.VideoId != "" || req.Profile != ""
	switch {
	case len(req.Ids) > 0 && byFilter:
		return nil, false, rpc.Invalid("ambiguous_filter", "Name tasks either by their ids or by state, video and profile, not by both.")
	case len(req.Ids) > maxBulk:
		return nil, false, rpc.Invalid("too_many_ids", "%d ids are too many: %d can be changed at once.", len(req.Ids), maxBulk)
	case len(req.Ids) > 0:
		ids = slices.Clone(req.Ids)
		slices.Sort(ids)
		return slices.Compact(ids), false, nil
	case !byFilter:
		return nil, false, rpc.Invalid("filter_missing", "Say which tasks: by ids, or by state, video_id or profile.")
	case req.State != "" && !slices.Contains(states(), store.TaskState(req.State)):
		return nil, false, rpc.Invalid("invalid_state", "There is no task state %q.", req.State)
	}
	for task, err := range store.All(ctx, s.Catalog.Tasks, store.Query{State: req.State, Parent: req.VideoId}) {
		if err != nil {
			return nil, false, rpc.ListError(err, "tasks")
		}
		if req.Profile != "" && task.Profile != req.Profile {
			continue
		}
		if len(ids) == maxBulk {
			return ids, true, nil
		}
		ids = append(ids, task.ID)
	}
	return ids, false, nil
}

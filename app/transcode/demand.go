package transcode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Demand implements rpc.TranscoderHandler. The cell usually gets a job of its
// own, for its rendition alone: one segment of one rendition is made in a
// fraction of the time of the ladder. The job that makes what follows it is
// moved ahead, since the player will ask for that next.
func (s *Service) Demand(ctx context.Context, req *rpc.DemandRequest) (*rpc.DemandResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil {
		return nil, err
	}
	task, plan, err := s.planned(ctx, req.VideoId)
	if err != nil {
		return nil, err
	}
	segment := int(req.Segment)
	job, ok := demandJob(task, &plan, req.Rendition, segment)
	if !ok {
		return nil, rpc.Errorf(connect.CodeNotFound, "cell_not_found", "The video has no cell %d of %q.", segment, req.Rendition)
	}
	cells, err := s.Catalog.Plans.Cells(ctx, req.VideoId)
	if err != nil {
		return nil, fmt.Errorf("demand: %w", err)
	}
	if cells.Has(req.Rendition, segment) {
		return &rpc.DemandResponse{}, nil
	}
	switch {
	case task.State.Final():
		return nil, notComing(fmt.Sprintf("the video's task is %s", task.State))
	case task.State == store.TaskPaused:
		return nil, rpc.RetryErrorf(pausedRetry, connect.CodeUnavailable, "task_paused",
			"This part is not made yet, and the operator has paused the video's task.")
	case !s.hasEncoder(job.Encoder):
		return nil, encoderGone(task, &plan, job)
	}
	return &rpc.DemandResponse{}, s.expedite(ctx, job, task, &plan, cells)
}

// pausedRetry is when a player may ask again for a part whose task is paused.
const pausedRetry = 30 * time.Second

// notComing is the honest answer for a part that nobody will make.
func notComing(why string) error {
	return rpc.Errorf(connect.CodeFailedPrecondition, "cell_not_coming", "This part was not made: %s.", why)
}

// planned returns the video's newest task and its plan.
func (s *Service) planned(ctx context.Context, videoID string) (store.Task, store.Plan, error) {
	video, err := s.Catalog.Videos.Get(ctx, videoID)
	if err != nil {
		return store.Task{}, store.Plan{}, rpc.NotFound(err, "video", videoID)
	}
	task, err := s.Catalog.Tasks.Get(ctx, video.TaskID)
	if err != nil {
		return task, store.Plan{}, rpc.NotFound(err, "task", video.TaskID)
	}
	plan, err := s.Catalog.Plans.Plan(ctx, videoID)
	if err != nil {
		return task, plan, rpc.NotFound(err, "plan", videoID)
	}
	return task, plan, nil
}

// expedite sees to it that the demanded cell is made next. If the ordinary job
// that makes it is under way, or is about to be pushed, nothing is left to do;
// if that job makes this one segment and waits, it is moved to the front; else
// the cell gets a job of its own.
func (s *Service) expedite(ctx context.Context, job store.Job, task store.Task, plan *store.Plan, cells store.Cells) error {
	made := family(plan.MadeBy(task.ID), job.Kind)
	if !slices.Contains(made, job.Rendition) { // of what is shown, or was, while the task makes the next edition
		return s.pushDemanded(ctx, job)
	}
	id, _ := covering(task, plan, job.Kind, job.From)
	ordinary, err := s.Queue.Job(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		planning, err := s.planning(ctx, task)
		if err != nil || planning {
			return err
		}
	case err != nil:
		return fmt.Errorf("demand: %w", err)
	case ordinary.State == store.JobDone && ordinary.Failure != nil:
		return notComing("making it failed, and the operator has not retried it")
	case ordinary.State == store.JobLeased && comingSoon(ordinary, job, cells):
		return nil
	case waiting(ordinary) && ordinary.To-ordinary.From == 1:
		return s.boost(ctx, store.RankDemanded, id)
	}
	if err := s.pushDemanded(ctx, job); err != nil {
		return err
	}
	if next, ok := covering(task, plan, job.Kind, job.To); ok {
		return s.boost(ctx, store.RankFirst, next)
	}
	return nil
}

// pushDemanded gives a cell a job of its own.
func (s *Service) pushDemanded(ctx context.Context, job store.Job) error {
	err := s.Queue.Push(ctx, job)
	if errors.Is(err, store.ErrExists) {
		err = s.demanded(ctx, job.ID)
	}
	if err != nil {
		return err
	}
	s.signal(store.RankDemanded)
	return nil
}

// demanded looks at a demanded job that was pushed before: one that was given
// up will not come.
func (s *Service) demanded(ctx context.Context, id string) error {
	job, err := s.Queue.Job(ctx, id)
	if err == nil && job.State == store.JobDone && job.Failure != nil {
		return notComing("making it failed")
	}
	return ignore(err, store.ErrNotFound)
}

// planning tells whether the plan job still runs: the plan can be seen a
// moment before the jobs that follow from it.
func (s *Service) planning(ctx context.Context, task store.Task) (bool, error) {
	job, err := s.Queue.Job(ctx, planJob(task).ID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("demand: %w", err)
	}
	return job.State == store.JobLeased, nil
}

func (s *Service) boost(ctx context.Context, rank store.Rank, id string) error {
	if _, err := s.Queue.Boost(ctx, rank, id); err != nil {
		return fmt.Errorf("boost %s: %w", id, err)
	}
	s.signal(rank)
	return nil
}

func waiting(j store.Job) bool { return j.State == store.JobReady || j.State == store.JobLater }

// comingSoon tells whether a running job makes the demanded cell next, at full
// speed: copies and audio always do, chunks when they are a video's first
// picture or demanded themselves.
func comingSoon(running, demanded store.Job, cells store.Cells) bool {
	if running.Kind != store.JobChunk {
		return true
	}
	for seg := running.From; seg < demanded.From; seg++ {
		if !cells.Has(demanded.Rendition, seg) {
			return false
		}
	}
	return running.Rank <= store.RankFirst
}

package transcode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/events"
	"streamgate/app/rpc"
	"streamgate/store"
)

// Service implements rpc.TranscoderHandler and owns the workers.
type Service struct {
	Config
	metrics  *metrics
	pool     *pool
	alone    alone
	disk     *disk
	jobs     *wake // jobs can be leased, or workers are to look around
	renewals *wake // a lease may be lost: renew now
	pace     *pace

	left  context.Context // done when nothing can be given back any more
	leave context.CancelFunc

	own atomic.Pointer[string] // this node's encoder, once it is known

	reserving     sync.Mutex
	strandedSince map[string]time.Time // tasks that wait for an encoder; sweep alone uses it
}

// New returns a service that is not running yet: see Run.
func New(cfg Config) (*Service, error) {
	cfg = cfg.withDefaults()
	if _, ok := cfg.Profiles[rpc.DefaultProfile]; !ok {
		return nil, fmt.Errorf("transcode: no profile named %s", rpc.DefaultProfile)
	}
	s := &Service{Config: cfg, pool: &pool{}, jobs: newWake(), renewals: newWake(), pace: newPace(progressInterval), strandedSince: map[string]time.Time{}}
	s.left, s.leave = context.WithCancel(context.Background())
	s.disk = &disk{objects: cfg.Objects, floor: cfg.DiskFloor, every: cfg.Poll, log: cfg.Log}
	s.metrics = newMetrics(s)
	return s, nil
}

// CreateTask implements rpc.TranscoderHandler.
func (s *Service) CreateTask(ctx context.Context, req *rpc.CreateTaskRequest) (*rpc.Task, error) {
	if err := rpc.Require(ctx, rpc.ScopeUploader); err != nil {
		return nil, err
	}
	if req.VideoId == "" {
		return nil, rpc.Invalid("invalid_argument", "Name the video: video_id is empty.")
	}
	video, err := s.Catalog.Videos.Get(ctx, req.VideoId)
	if err != nil {
		return nil, rpc.NotFound(err, "video", req.VideoId)
	}
	running, ok, err := s.unfinished(ctx, video)
	switch {
	case err != nil:
		return nil, err
	case ok && req.Profile != "" && req.Profile != running.Profile:
		return nil, rpc.Errorf(connect.CodeFailedPrecondition, "task_unfinished",
			"The video's task %s is %s, with profile %q: cancel it, or wait for its end.", running.ID, running.State, running.Profile)
	case ok:
		return encodeTask(running, video), nil
	}
	task, err := s.newTask(video, req)
	if err != nil {
		return nil, err
	}
	stats, err := s.Queue.Stats(ctx) // so that a flood of refusals writes nothing
	if err != nil {
		return nil, err
	}
	if stats.Backlog >= s.MaxQueue {
		return nil, s.queueFull()
	}
	return s.submit(ctx, video, task)
}

func (s *Service) queueFull() error {
	return rpc.RetryErrorf(fullRetry, connect.CodeResourceExhausted, "queue_full",
		"%d tasks are waiting already (transcoder.max_queue_size); try again later.", s.MaxQueue)
}

// fullRetry is when a task that found the queue full may be tried again.
const fullRetry = 10 * time.Second

// newTask checks the request against the video.
func (s *Service) newTask(video store.Video, req *rpc.CreateTaskRequest) (store.Task, error) {
	task := store.Task{
		ID: store.NewID(), VideoID: video.ID, State: store.TaskQueued, Created: time.Now().UTC(),
		Profile: cmp.Or(req.Profile, video.Profile),
	}
	var err error
	if task.Priority, err = rpc.Priority(req.Priority, video.Priority); err != nil {
		return task, err
	}
	switch _, known := s.Profiles[task.Profile]; {
	case video.State == store.VideoUploading && video.SizeBytes == 0, // an empty source has arrived all the same
		video.State == store.VideoFailed && video.SizeBytes == 0 && video.SHA256 == "": // its fetch has failed
		return task, rpc.Errorf(connect.CodeFailedPrecondition, "no_source", "The video has no source yet: upload one first.")
	case video.State == store.VideoFailed && video.Failure != nil && refused(video.Failure):
		return task, rpc.Errorf(connect.CodeFailedPrecondition, "video_failed", "The source was refused: %s", video.Failure.Message)
	case !known:
		return task, rpc.Invalid("unknown_profile", "There is no profile %q.", task.Profile)
	}
	return task, nil
}

// unfinished returns the video's newest task if it is not over.
func (s *Service) unfinished(ctx context.Context, video store.Video) (store.Task, bool, error) {
	if video.TaskID == "" {
		return store.Task{}, false, nil
	}
	task, err := s.Catalog.Tasks.Get(ctx, video.TaskID)
	if errors.Is(err, store.ErrNotFound) {
		return store.Task{}, false, nil
	}
	return task, err == nil && !task.State.Final(), err
}

var errRaced = errors.New("another task came first")

// submit stores the task, makes it the video's newest and admits it. Of
// concurrent submissions one wins and the others return its task.
func (s *Service) submit(ctx context.Context, seen store.Video, task store.Task) (_ *rpc.Task, err error) {
	ctx, span := s.beginTask(ctx, task)
	defer func() { endSpan(ctx, span, err) }()
	task.Trace = rpc.Traceparent(ctx)
	if err := s.Catalog.Tasks.Create(ctx, task); err != nil {
		return nil, fmt.Errorf("create task: %w", err)
	}
	video, err := s.claim(ctx, seen, task)
	if err != nil {
		if derr := s.Catalog.Tasks.Delete(ctx, task.ID); derr != nil {
			s.Log.Warn("remove surplus task", "task", task.ID, "err", derr)
		}
		if !errors.Is(err, errRaced) {
			return nil, rpc.NotFound(err, "video", seen.ID)
		}
		return s.GetTask(rpc.System(ctx), &rpc.GetTaskRequest{Id: s.newest(ctx, seen.ID)})
	}
	err = s.Queue.PushWithin(ctx, planJob(task), s.MaxQueue)
	if errors.Is(err, store.ErrQueueFull) { // others came in between
		return nil, cmp.Or(s.withdraw(ctx, seen, task), s.queueFull())
	}
	if err = ignore(err, store.ErrExists); err != nil {
		return nil, fmt.Errorf("push plan job: %w", err)
	}
	s.announce(ctx, events.TaskSubmitted, task)
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	return encodeTask(task, video), nil
}

// claim makes the task the newest of its video, if the video still has the
// one that was seen.
func (s *Service) claim(ctx context.Context, seen store.Video, task store.Task) (store.Video, error) {
	return s.Catalog.Videos.Update(ctx, seen.ID, func(v *store.Video) error {
		if v.TaskID == task.ID {
			return nil // another node's sweep was faster, or an answer was lost
		}
		if v.TaskID != seen.TaskID {
			return errRaced
		}
		v.TaskID, v.Failure, v.Updated = task.ID, nil, task.Created
		if v.DurationSeconds == 0 { // else it is what is shown, until the next edition is
			v.Profile = task.Profile
		}
		if v.State == store.VideoFailed || v.State == store.VideoUploading {
			v.State = store.VideoProcessing
		}
		return nil
	})
}

// withdraw takes back a task that found no place in the queue: the video is as it was
// seen before.
func (s *Service) withdraw(ctx context.Context, seen store.Video, task store.Task) error {
	_, err := s.Catalog.Videos.Update(ctx, seen.ID, func(v *store.Video) error {
		if v.TaskID != task.ID {
			return errUnchanged
		}
		v.TaskID, v.Failure, v.Profile, v.State, v.Updated = seen.TaskID, seen.Failure, seen.Profile, seen.State, seen.Updated
		return nil
	})
	if err = ignore(err, errUnchanged, store.ErrNotFound); err != nil {
		return fmt.Errorf("withdraw a task: %w", err)
	}
	if err := s.Catalog.Tasks.Delete(ctx, task.ID); ignore(err, store.ErrNotFound) != nil {
		return fmt.Errorf("withdraw a task: %w", err)
	}
	return nil
}

func (s *Service) newest(ctx context.Context, videoID string) string {
	video, _ := s.Catalog.Videos.Get(ctx, videoID) // an error shows as task_not_found
	return video.TaskID
}

// GetTask implements rpc.TranscoderHandler.
func (s *Service) GetTask(ctx context.Context, req *rpc.GetTaskRequest) (*rpc.Task, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	task, err := s.Catalog.Tasks.Get(ctx, req.Id)
	if err != nil {
		return nil, rpc.NotFound(err, "task", req.Id)
	}
	return s.describe(ctx, task), nil
}

// ListTasks implements rpc.TranscoderHandler.
func (s *Service) ListTasks(ctx context.Context, req *rpc.ListTasksRequest) (*rpc.ListTasksResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	q, err := rpc.Page(req.Limit, req.Cursor)
	if err != nil {
		return nil, err
	}
	if req.State != "" && !slices.Contains(states(), store.TaskState(req.State)) {
		return nil, rpc.Invalid("invalid_state", "There is no task state %q.", req.State)
	}
	q.Parent, q.State = req.VideoId, req.State
	tasks, next, err := s.Catalog.Tasks.List(ctx, q)
	if err != nil {
		return nil, rpc.ListError(err, "tasks")
	}
	out := &rpc.ListTasksResponse{NextCursor: next}
	for _, t := range tasks {
		out.Tasks = append(out.Tasks, s.describe(ctx, t))
	}
	return out, nil
}

func states() []store.TaskState {
	return []store.TaskState{
		store.TaskQueued, store.TaskProcessing, store.TaskPaused, store.TaskSucceeded, store.TaskFailed, store.TaskCancelled,
	}
}

// GetMetrics implements rpc.TranscoderHandler. On the transcoder's own port the
// edge lets everybody read it.
func (s *Service) GetMetrics(ctx context.Context, _ *rpc.GetMetricsRequest) (*rpc.GetMetricsResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	return s.metrics.snapshot(s.pool.counts()), nil
}

// describe adds what needs the video: an ETA. Without it the task is shown
// all the same. Of most tasks in a list there is none, and no video is read.
func (s *Service) describe(ctx context.Context, task store.Task) *rpc.Task {
	var video store.Video
	if task.State == store.TaskProcessing && task.Speed > 0 {
		video, _ = s.Catalog.Videos.Get(ctx, task.VideoID)
	}
	return encodeTask(task, video)
}

func encodeTask(t store.Task, video store.Video) *rpc.Task {
	out := &rpc.Task{
		Id: t.ID, VideoId: t.VideoID, Profile: t.Profile, Priority: int32(t.Priority), State: string(t.State),
		Progress: t.Progress, Speed: t.Speed, Attempt: int32(t.Attempt), CreatedAt: timestamppb.New(t.Created),
	}
	if t.State == store.TaskProcessing && t.Speed > 0 && video.DurationSeconds > 0 {
		eta := video.DurationSeconds * (1 - t.Progress/100) / t.Speed
		out.Eta = &eta
	}
	if t.Failure != nil {
		out.Error = &rpc.Failure{Code: t.Failure.Code, Message: t.Failure.Message}
	}
	if !t.Started.IsZero() {
		out.StartedAt = timestamppb.New(t.Started)
	}
	if !t.Finished.IsZero() {
		out.FinishedAt = timestamppb.New(t.Finished)
	}
	return out
}

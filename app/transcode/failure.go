package transcode

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime/debug"
	"syscall"
	"time"

	"streamgate/app/media"
	"streamgate/store"
)

// maxFailures is how often a job may fail before it is given up.
const maxFailures = 4

// maxKills is how often a job's ffmpeg may be killed by somebody else (an
// operator, the kernel out of memory) before the job is given up: far above what
// happens to one part, as the job is not to blame.
const maxKills = 60

// A job whose node dies under it is not to blame, unless it was alone there,
// again and again, and never got any further: after suspectAfter deaths it is
// run alone, and after maxLoneDeaths of those it is given up. The bound is far
// above what a bad power supply or an impatient operator does to one part.
const (
	suspectAfter  = 3
	maxLoneDeaths = 25
	deathPause    = time.Second // the more for each lone death
	maxDeathPause = 5 * time.Second
)

// The codes of failures that do not come from the source itself.
const (
	codeFailed     = "transcode_failed"
	codeTimeout    = "transcode_timeout"
	codeStalled    = "transcode_stalled"
	codeMemory     = "transcode_memory"
	codeKilled     = "transcode_killed"
	codeKillsNode  = "job_kills_node"
	codeDiskFull   = "disk_full"
	codeCancelled  = "cancelled"
	codeIncomplete = "transcode_incomplete"
)

var (
	errJobTimeout = errors.New("the job took longer than transcoder.task_timeout")
	errKillsNode  = fmt.Errorf("the node died %d times while it ran nothing but this job", maxLoneDeaths)
)

// retryDelay is the pause after a number of failures: 1, 4, 16 s, a quarter
// more or less, so that what failed together does not come back together.
func retryDelay(failures int) time.Duration {
	base := time.Second << (2 * (min(max(failures, 1), maxFailures) - 1))
	return base*3/4 + rand.N(base/2)
}

// fullPause is how long a job waits for which there was no room on the disk.
const fullPause = 5 * time.Second

// failureOf puts an error into words for users.
func failureOf(err error) *store.Failure {
	var refusal media.Refusal
	switch {
	case errors.As(err, &refusal):
		return &refusal.Failure
	case errors.Is(store.Full(err), store.ErrFull):
		return &store.Failure{Code: codeDiskFull, Message: "The node's disk is full; the transcode goes on when there is room."}
	case errors.Is(err, media.ErrStalled):
		return &store.Failure{Code: codeStalled, Message: "ffmpeg stopped making progress on this part and was ended."}
	case errors.Is(err, media.ErrPrints):
		return &store.Failure{Code: codeStalled, Message: "ffmpeg printed errors without end on this part and was ended."}
	case errors.Is(err, media.ErrMemory):
		return &store.Failure{Code: codeMemory, Message: "ffmpeg used more memory on this part than transcoder.max_memory allows."}
	case errors.Is(err, errJobTimeout):
		return &store.Failure{Code: codeTimeout, Message: "This part took longer than transcoder.task_timeout allows."}
	case killed(err):
		return &store.Failure{Code: codeKilled, Message: "ffmpeg was killed by somebody else, perhaps by the kernel for lack of memory."}
	case errors.Is(err, errKillsNode):
		return &store.Failure{Code: codeKillsNode, Message: fmt.Sprintf(
			"The node died %d times while it ran nothing but this part. Look at the node's memory and at its log; retry the task when that is mended.", maxLoneDeaths)}
	default:
		return &store.Failure{Code: codeFailed, Message: howItEnded(err)}
	}
}

// howItEnded says of a failure what may leave the node: no path, no address.
// The rest is in the attempt's log and in the node's.
func howItEnded(err error) string {
	var tool *media.ToolError
	if errors.As(err, &tool) {
		return fmt.Sprintf("ffmpeg failed (%v); the job's attempts have its log.", tool.Err)
	}
	return "It failed inside the node, whose log says why."
}

// logOf is the end of what ffmpeg said before an error.
func logOf(err error) string {
	var tool *media.ToolError
	if errors.As(err, &tool) {
		return tool.Stderr
	}
	return ""
}

// permanent tells whether another attempt would end the same way.
func permanent(job store.Job, err error) bool {
	var refusal media.Refusal
	switch {
	case errors.As(err, &refusal), errors.Is(err, media.ErrInput), errors.Is(err, errKillsNode):
		return true
	}
	if killed(err) {
		return job.Kills+1 >= maxKills
	}
	return job.Failures+1 >= maxFailures
}

// killed tells whether ffmpeg was ended by a signal that was not ours: we only
// kill one whose run is over anyway.
func killed(err error) bool {
	var tool *media.ToolError
	var exit *exec.ExitError
	if !errors.As(err, &tool) || !errors.As(tool.Err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGKILL || status.Signal() == syscall.SIGTERM)
}

// refused tells whether a failure is surely the source's own fault: then its
// media goes. What is too complex for this node, or crashes its ffmpeg, may be
// the node's: bad memory does that, too.
func refused(f *store.Failure) bool {
	switch f.Code {
	case media.CodeTooComplex, codeFailed, codeTimeout, codeStalled, codeMemory, codeKilled, codeKillsNode, codeDiskFull, codeCancelled, codeIncomplete, codeNoProfile:
		return false
	}
	return true
}

// outcomeOf is how a job ends with an error, and whether that is the end of it.
func outcomeOf(job store.Job, err error) (out store.Outcome, givenUp bool) {
	switch {
	case errors.Is(err, errDrained):
		return store.Outcome{Retry: true}, false
	case errors.Is(store.Full(err), store.ErrFull):
		// Nothing is wrong with the job: it waits for room.
		return store.Outcome{Retry: true, After: fullPause}, false
	case errors.Is(err, store.ErrUnavailable):
		return store.Outcome{Retry: true, After: awayPause}, false // nor here: it waits for the store
	}
	out.Failure, out.Log, out.Killed = failureOf(err), logOf(err), killed(err)
	givenUp = permanent(job, err)
	if !givenUp {
		out.Retry, out.After = true, retryDelay(job.Failures+1)
		if out.Killed {
			out.After = retryDelay(1)
		}
	}
	return out, givenUp
}

// guard turns a panic into an error: one job must not take the node along.
func guard(fn func() ([]store.Job, error)) (push []store.Job, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}

// whichFailed says of a task's jobs which were given up, in words for users.
// A node that died between a job's end and its task's has left the reason in
// the job.
func (s *Service) whichFailed(ctx context.Context, task store.Task) (*store.Failure, error) {
	jobs, err := s.Queue.Jobs(ctx, task.ID)
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	var bad []store.Job
	for _, j := range jobs {
		if j.State == store.JobDone && j.Failure != nil && j.Kind != store.JobStills {
			bad = append(bad, j)
		}
	}
	if len(bad) == 0 {
		return &store.Failure{Code: codeIncomplete, Message: "The transcode ended with parts missing; retry the task."}, nil
	}
	first := bad[0]
	if first.Kind == store.JobPlan || refused(first.Failure) {
		return first.Failure, nil
	}
	plan, err := s.Catalog.Plans.Plan(ctx, task.VideoID)
	if err != nil {
		return first.Failure, ignore(err, store.ErrNotFound)
	}
	text := partOf(&plan.Timeline, first) + " could not be made: " + first.Failure.Message
	if more := len(bad) - 1; more > 0 {
		text += fmt.Sprintf(" The same goes for %d more.", more)
	}
	return &store.Failure{Code: first.Failure.Code, Message: text + " Retry the task to make what is missing."}, nil
}

// partOf names the part of the video that a job makes.
func partOf(t *store.Timeline, j store.Job) string {
	if j.From < 0 || j.From >= j.To || j.To >= len(t.Bounds) {
		return "A part"
	}
	kind := map[store.JobKind]string{store.JobCopy: "copy", store.JobAudio: "sound"}[j.Kind]
	if kind == "" {
		kind = "picture"
	}
	return fmt.Sprintf("The %s from %s to %s", kind, clock(t.Seconds(t.Bounds[j.From])), clock(t.Seconds(t.Bounds[j.To])))
}

// clock writes seconds as 1:02:03.
func clock(seconds float64) string {
	n := int(seconds)
	if n >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
	}
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// unhealthy says why a worker whose job ended like that is replaced; "" if it
// is not.
func unhealthy(err error) string {
	switch {
	case errors.Is(err, errJobTimeout):
		return "its job took too long"
	case errors.Is(err, media.ErrStalled):
		return "its ffmpeg made no progress"
	case errors.Is(err, media.ErrPrints):
		return "its ffmpeg printed without end"
	case errors.Is(err, media.ErrMemory):
		return "its ffmpeg used too much memory"
	}
	return ""
}

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"streamgate/app/rpc"
)

// changeTasks is one of the bulk calls.
type changeTasks func(context.Context, *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error)

func tasksCancel(ctx context.Context, e *env, f *flags) error {
	return tasksChange(ctx, e, f, "cancelled", func(c *client) changeTasks { return c.transcoder.CancelTasks })
}

func tasksPause(ctx context.Context, e *env, f *flags) error {
	return tasksChange(ctx, e, f, "paused", func(c *client) changeTasks { return c.transcoder.PauseTasks })
}

func tasksResume(ctx context.Context, e *env, f *flags) error {
	return tasksChange(ctx, e, f, "resumed", func(c *client) changeTasks { return c.transcoder.ResumeTasks })
}

func tasksRetry(ctx context.Context, e *env, f *flags) error {
	return tasksChange(ctx, e, f, "retried", func(c *client) changeTasks { return c.transcoder.RetryTasks })
}

func tasksPriority(ctx context.Context, e *env, f *flags) error {
	return tasksChange(ctx, e, f, "changed", func(c *client) changeTasks { return c.transcoder.PrioritiseTasks })
}

// tasksChange changes the tasks that are named, by ids or by flags, and says of
// each that could not be why.
func tasksChange(ctx context.Context, e *env, f *flags, done string, call func(*client) changeTasks) error {
	state := f.String("state", "", "every task in this `STATE`")
	video := f.String("video", "", "every task of the video with this `ID`")
	profile := f.String("profile", "", "every task with this `PROFILE`")
	asJSON := f.jsonFlag()
	c, ids, err := ctl(e, f, anyOperands)
	if err != nil {
		return err
	}
	req := &rpc.ChangeTasksRequest{State: *state, VideoId: *video, Profile: *profile}
	if f.command.name == "tasks priority" {
		if len(ids) == 0 {
			return usagef("%s: N is missing: a priority from 0 to 100", f.command.name)
		}
		n, err := strconv.ParseInt(ids[0], 10, 32)
		if err != nil || n < 0 || n > rpc.MaxPriority {
			return usagef("%s: %q is no priority: write a number from 0 to %d", f.command.name, ids[0], rpc.MaxPriority)
		}
		priority := int32(n)
		req.Priority, ids = &priority, ids[1:]
	}
	if req.Ids = ids; len(ids) == 0 && *state == "" && *video == "" && *profile == "" {
		return usagef("%s: say which tasks: by ID, or by --state, --video or --profile", f.command.name)
	}
	out, err := call(c)(ctx, req)
	if err != nil {
		return c.explain(err)
	}
	switch {
	case *asJSON:
		if err := printJSON(e.stdout, out); err != nil {
			return err
		}
	case len(ids) == 1 && out.GetChanged() == 1:
		fmt.Fprintf(e.stdout, "Task %s is %s.\n", ids[0], done)
	default:
		fmt.Fprintf(e.stdout, "%d of %d tasks %s.\n", out.GetChanged(), out.GetMatched(), done)
		if out.GetMore() {
			fmt.Fprintln(e.stdout, "More tasks match: run the command again.")
		}
	}
	for _, r := range out.GetRefused() {
		fmt.Fprintf(e.stderr, "%s: %s\n", r.GetId(), r.GetError().GetMessage())
	}
	if refused := out.GetMatched() - out.GetChanged(); refused > 0 {
		return fmt.Errorf("%d tasks were not %s", refused, done)
	}
	return nil
}

func tasksJobs(ctx context.Context, e *env, f *flags) error {
	asJSON := f.jsonFlag()
	logs := f.Bool("log", false, "with the end of what ffmpeg said in each attempt")
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	out, err := c.transcoder.ListJobs(ctx, &rpc.ListJobsRequest{TaskId: args[0]})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, out)
	}
	rows := [][]string{{"KIND", "SEGMENTS", "RENDITION", "STATE", "DONE", "FAILURES", "WORKER", "ERROR"}}
	for _, j := range out.GetJobs() {
		rows = append(rows, []string{j.GetKind(), segments(j.GetFromSegment(), j.GetToSegment()), j.GetRendition(), j.GetState(),
			percent(j.GetProgress()), strconv.Itoa(int(j.GetFailures())), j.GetWorker(), failure(j.GetError())})
	}
	printRows(e.stdout, rows)
	for _, j := range out.GetJobs() {
		for _, a := range j.GetAttempts() {
			fmt.Fprintf(e.stdout, "\n%s %s, %s, %s: %s\n", j.GetKind(), segments(j.GetFromSegment(), j.GetToSegment()),
				when(a.GetFinishedAt()), a.GetWorker(), failure(a.GetError()))
			if *logs && a.GetLog() != "" {
				fmt.Fprintln(e.stdout, strings.TrimRight(a.GetLog(), "\n"))
			}
		}
	}
	return nil
}

func segments(from, to int32) string {
	if from >= to {
		return ""
	}
	return fmt.Sprintf("%d-%d", from, to-1)
}

func queueShow(ctx context.Context, e *env, f *flags) error {
	return queueState(e, f, func(c *client) (*rpc.QueueState, error) {
		return c.transcoder.GetQueue(ctx, &rpc.GetQueueRequest{})
	})
}

func queuePause(ctx context.Context, e *env, f *flags) error {
	return queueState(e, f, func(c *client) (*rpc.QueueState, error) {
		return c.transcoder.PauseQueue(ctx, &rpc.PauseQueueRequest{})
	})
}

func queueResume(ctx context.Context, e *env, f *flags) error {
	return queueState(e, f, func(c *client) (*rpc.QueueState, error) {
		return c.transcoder.ResumeQueue(ctx, &rpc.ResumeQueueRequest{})
	})
}

func queueState(e *env, f *flags, call func(*client) (*rpc.QueueState, error)) error {
	asJSON := f.jsonFlag()
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	q, err := call(c)
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, q)
	}
	state := "running"
	if q.GetPaused() {
		state = "paused; streamgate queue resume goes on"
	}
	age := func(s *float64) string {
		if s == nil {
			return ""
		}
		return seconds(*s)
	}
	number := func(n int32) string { return strconv.Itoa(int(n)) }
	printFields(e.stdout, "queue", state, "tasks waiting", number(q.GetTasksWaiting()), "oldest of them", age(q.OldestTaskSeconds),
		"jobs running", number(q.GetJobsRunning()), "jobs ready", number(q.GetJobsReady()), "jobs later", number(q.GetJobsLater()),
		"jobs paused", number(q.GetJobsPaused()))
	return nil
}

func workersList(ctx context.Context, e *env, f *flags) error {
	return workers(e, f, func(c *client) (*rpc.ListWorkersResponse, error) {
		return c.transcoder.ListWorkers(ctx, &rpc.ListWorkersRequest{})
	})
}

func transcoderDrain(ctx context.Context, e *env, f *flags) error {
	return workers(e, f, func(c *client) (*rpc.ListWorkersResponse, error) {
		return c.transcoder.DrainTranscoder(ctx, &rpc.DrainTranscoderRequest{})
	})
}

func transcoderResume(ctx context.Context, e *env, f *flags) error {
	return workers(e, f, func(c *client) (*rpc.ListWorkersResponse, error) {
		return c.transcoder.ResumeTranscoder(ctx, &rpc.ResumeTranscoderRequest{})
	})
}

func workers(e *env, f *flags, call func(*client) (*rpc.ListWorkersResponse, error)) error {
	asJSON := f.jsonFlag()
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	out, err := call(c)
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, out)
	}
	rows := [][]string{{"WORKER", "STATE", "TASK", "JOB", "DONE", "SPEED", "CPU", "MEMORY", "WHY"}}
	for _, w := range out.GetWorkers() {
		row := []string{w.GetId(), w.GetState(), w.GetTaskId(), "", "", "", "", "", w.GetReason()}
		if w.GetJobId() != "" {
			row[3] = strings.TrimSpace(w.GetKind() + " " + segments(w.GetFromSegment(), w.GetToSegment()))
			row[4], row[5] = percent(w.GetProgress()), speed(w.GetSpeed())
			row[6], row[7] = fmt.Sprintf("%.1f s", w.GetCpuSeconds()), fmt.Sprintf("%.0f MB", w.GetResidentBytes()/1e6)
		}
		rows = append(rows, row)
	}
	printRows(e.stdout, rows)
	return nil
}

func workersDrain(ctx context.Context, e *env, f *flags) error {
	return oneWorker(e, f, func(c *client, id string) (*rpc.Worker, error) {
		return c.transcoder.DrainWorker(ctx, &rpc.DrainWorkerRequest{Id: id})
	})
}

func workersResume(ctx context.Context, e *env, f *flags) error {
	return oneWorker(e, f, func(c *client, id string) (*rpc.Worker, error) {
		return c.transcoder.ResumeWorker(ctx, &rpc.ResumeWorkerRequest{Id: id})
	})
}

func oneWorker(e *env, f *flags, call func(*client, string) (*rpc.Worker, error)) error {
	asJSON := f.jsonFlag()
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	w, err := call(c, args[0])
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, w)
	}
	fmt.Fprintf(e.stdout, "Worker %s is %s.\n", w.GetId(), w.GetState())
	return nil
}

package main

import (
	"context"
	"fmt"
	"strconv"

	"streamgate/app/rpc"
)

func tasksList(ctx context.Context, e *env, f *flags) error {
	state, limit, asJSON := f.listFlags()
	video := f.String("video", "", "only those of the video with this `ID`")
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	tasks, err := pages(*limit, func(size int32, cursor string) ([]*rpc.Task, string, error) {
		r, err := c.transcoder.ListTasks(ctx, &rpc.ListTasksRequest{Limit: size, Cursor: cursor, State: *state, VideoId: *video})
		return r.GetTasks(), r.GetNextCursor(), err
	})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, &rpc.ListTasksResponse{Tasks: tasks})
	}
	rows := [][]string{{"ID", "VIDEO", "STATE", "DONE", "SPEED", "LEFT", "PRIORITY", "CREATED"}}
	for _, t := range tasks {
		rows = append(rows, []string{t.GetId(), t.GetVideoId(), t.GetState(), percent(t.GetProgress()), speed(t.GetSpeed()),
			left(t), strconv.Itoa(int(t.GetPriority())), when(t.GetCreatedAt())})
	}
	printRows(e.stdout, rows)
	return nil
}

func tasksShow(ctx context.Context, e *env, f *flags) error {
	asJSON := f.jsonFlag()
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	t, err := c.transcoder.GetTask(ctx, &rpc.GetTaskRequest{Id: args[0]})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, t)
	}
	printFields(e.stdout, "id", t.GetId(), "video", t.GetVideoId(), "state", t.GetState(), "error", failure(t.GetError()),
		"done", percent(t.GetProgress()), "speed", speed(t.GetSpeed()), "left", left(t), "profile", t.GetProfile(),
		"priority", strconv.Itoa(int(t.GetPriority())), "attempt", strconv.Itoa(int(t.GetAttempt())),
		"created", when(t.GetCreatedAt()), "started", when(t.GetStartedAt()), "finished", when(t.GetFinishedAt()))
	return nil
}

func speed(x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f×", x)
}

// left is the time until a task is done, where it is known.
func left(t *rpc.Task) string {
	if t.Eta == nil {
		return ""
	}
	return seconds(max(1, float64(int(t.GetEta()))))
}

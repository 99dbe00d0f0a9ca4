package main

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

func queueCommand(p *cli) *cobra.Command {
	return group("queue", "show, pause and resume the queue",
		queueState(p, "show", "show what waits, and for how long", func(ctx context.Context, c *client) (*rpc.QueueState, error) {
			return c.transcoder.GetQueue(ctx, &rpc.GetQueueRequest{})
		}),
		queueState(p, "pause", "start no more work, but for what viewers wait for", func(ctx context.Context, c *client) (*rpc.QueueState, error) {
			return c.transcoder.PauseQueue(ctx, &rpc.PauseQueueRequest{})
		}),
		queueState(p, "resume", "undo queue pause", func(ctx context.Context, c *client) (*rpc.QueueState, error) {
			return c.transcoder.ResumeQueue(ctx, &rpc.ResumeQueueRequest{})
		}))
}

func queueState(p *cli, verb, short string, call func(context.Context, *client) (*rpc.QueueState, error)) *cobra.Command {
	cmd := &cobra.Command{Use: verb, Short: short, Example: "streamgate queue " + verb}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.QueueState, error) { return call(ctx, c) }, tellQueue)
}

func tellQueue(w io.Writer, q *rpc.QueueState, _ []string) {
	state, age := "running", ""
	if q.GetPaused() {
		state = "paused; streamgate queue resume goes on"
	}
	if q.OldestTaskSeconds != nil {
		age = seconds(q.GetOldestTaskSeconds())
	}
	number := func(n int32) string { return strconv.Itoa(int(n)) }
	printFields(w, "queue", state, "tasks waiting", number(q.GetTasksWaiting()), "oldest of them", age,
		"jobs running", number(q.GetJobsRunning()), "jobs ready", number(q.GetJobsReady()), "jobs later", number(q.GetJobsLater()),
		"jobs paused", number(q.GetJobsPaused()))
}

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

func workersCommand(p *cli) *cobra.Command {
	return group("workers", "show, drain and resume workers",
		manyWorkers(p, "workers list", "show what each worker is doing", func(ctx context.Context, c *client) (*rpc.ListWorkersResponse, error) {
			return c.transcoder.ListWorkers(ctx, &rpc.ListWorkersRequest{})
		}),
		oneWorker(p, "drain", "let a worker finish its job and take no more", func(ctx context.Context, c *client, id string) (*rpc.Worker, error) {
			return c.transcoder.DrainWorker(ctx, &rpc.DrainWorkerRequest{Id: id})
		}),
		oneWorker(p, "resume", "undo workers drain", func(ctx context.Context, c *client, id string) (*rpc.Worker, error) {
			return c.transcoder.ResumeWorker(ctx, &rpc.ResumeWorkerRequest{Id: id})
		}))
}

func transcoderCommand(p *cli) *cobra.Command {
	return group("transcoder", "measure, drain and resume the whole transcoder",
		transcoderMetrics(p),
		manyWorkers(p, "transcoder drain", "let every worker of the node finish its job and take no more",
			func(ctx context.Context, c *client) (*rpc.ListWorkersResponse, error) {
				return c.transcoder.DrainTranscoder(ctx, &rpc.DrainTranscoderRequest{})
			}),
		manyWorkers(p, "transcoder resume", "undo transcoder drain", func(ctx context.Context, c *client) (*rpc.ListWorkersResponse, error) {
			return c.transcoder.ResumeTranscoder(ctx, &rpc.ResumeTranscoderRequest{})
		}))
}

func transcoderMetrics(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "metrics", Short: "tell how busy the transcoder is", Example: "streamgate transcoder metrics"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.GetMetricsResponse, error) {
		return c.transcoder.GetMetrics(ctx, &rpc.GetMetricsRequest{})
	}, func(w io.Writer, m *rpc.GetMetricsResponse, _ []string) {
		number := func(n int32) string { return fmt.Sprint(n) }
		printFields(w, "workers", number(m.GetTotalWorkers()), "active", number(m.GetActiveWorkers()), "idle", number(m.GetIdleWorkers()),
			"unhealthy", number(m.GetUnhealthyWorkers()), "tasks succeeded", number(m.GetTotalTasksProcessed()),
			"tasks failed", number(m.GetTotalTasksFailed()), "mean task time", m.GetAverageTaskTime())
	})
}

// manyWorkers is a command, named with its group, that answers with every
// worker.
func manyWorkers(p *cli, name, short string, call func(context.Context, *client) (*rpc.ListWorkersResponse, error)) *cobra.Command {
	_, verb, _ := strings.Cut(name, " ")
	cmd := &cobra.Command{Use: verb, Short: short, Example: "streamgate " + name}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListWorkersResponse, error) {
		return call(ctx, c)
	}, tellWorkers)
}

func tellWorkers(w io.Writer, out *rpc.ListWorkersResponse, _ []string) {
	rows := [][]string{{"WORKER", "STATE", "TASK", "JOB", "DONE", "SPEED", "CPU", "MEMORY", "WHY"}}
	for _, one := range out.GetWorkers() {
		row := []string{one.GetId(), one.GetState(), one.GetTaskId(), "", "", "", "", "", cell(one.GetReason())}
		if one.GetJobId() != "" {
			row[3] = strings.TrimSpace(one.GetKind() + " " + segments(one.GetFromSegment(), one.GetToSegment()))
			row[4], row[5] = percent(one.GetProgress()), speed(one.GetSpeed())
			row[6], row[7] = fmt.Sprintf("%.1f s", one.GetCpuSeconds()), fmt.Sprintf("%.0f MB", one.GetResidentBytes()/1e6)
		}
		rows = append(rows, row)
	}
	printRows(w, rows)
}

func oneWorker(p *cli, verb, short string, call func(context.Context, *client, string) (*rpc.Worker, error)) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " ID", Short: short, Example: "streamgate workers " + verb + " worker-1"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Worker, error) { return call(ctx, c, args[0]) },
		func(w io.Writer, one *rpc.Worker, _ []string) {
			fmt.Fprintf(w, "Worker %s is %s.\n", one.GetId(), one.GetState())
		})
}

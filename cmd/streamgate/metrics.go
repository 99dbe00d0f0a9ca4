package main

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
)

func metricsCommand(p *cli) *cobra.Command {
	return group("metrics", "how the node's metrics have gone", metricsHistory(p))
}

func metricsHistory(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "history [NAME…]", Short: "show how metrics have gone in the last 7 days, all of them if none is named",
		Example: "streamgate metrics history queue_length egress_bytes --last 6h --step 5m",
	}
	last := cmd.Flags().Duration("last", time.Hour, "how `LONG` ago it begins: at most 7 days")
	step := cmd.Flags().Duration("step", 0, "distance of `POINTS`, like 1m (default: some 240 points)")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.MetricsHistory, error) {
		now := time.Now()
		return c.monitor.GetMetricsHistory(ctx, &rpc.GetMetricsHistoryRequest{
			Name: args, From: timestamppb.New(now.Add(-*last)), To: timestamppb.New(now), Step: int32(min(step.Seconds(), 1<<30)),
		})
	}, func(w io.Writer, r *rpc.MetricsHistory, _ []string) {
		rows := [][]string{{"METRIC", "TIME", "MEAN", "MOST", "UNIT"}}
		for _, s := range r.GetSeries() {
			for _, point := range s.GetPoints() {
				rows = append(rows, []string{s.GetName(), when(&timestamppb.Timestamp{Seconds: int64(point.GetAt())}),
					strconv.FormatFloat(point.GetValue(), 'g', 6, 64), strconv.FormatFloat(point.GetMax(), 'g', 6, 64), s.GetUnit()})
			}
		}
		printRows(w, rows)
	})
}

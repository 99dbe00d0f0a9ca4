package main

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

func alertsCommand(p *cli) *cobra.Command {
	return group("alerts", "what wants an operator", alertsList(p), alertsSilence(p), alertsUnsilence(p))
}

func alertsList(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "list every alert there can be, those that fire first",
		Example: "streamgate alerts list --state firing",
	}
	state := choiceFlag(cmd, "state", "", "only those in this `STATE`", "inactive", "pending", "firing", "resolved")
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListAlertsResponse, error) {
		return c.alerts.ListAlerts(ctx, &rpc.ListAlertsRequest{State: state.value})
	}, func(w io.Writer, r *rpc.ListAlertsResponse, _ []string) {
		rows := [][]string{{"ID", "STATE", "SEVERITY", "SINCE", "SILENCED UNTIL", "SUMMARY"}}
		for _, a := range r.GetAlerts() {
			since := a.GetPendingSince()
			switch a.GetState() {
			case "firing":
				since = a.GetFiredAt()
			case "resolved":
				since = a.GetResolvedAt()
			}
			rows = append(rows, []string{a.GetId(), a.GetState(), a.GetSeverity(), when(since), when(a.GetSilence().GetUntil()), cell(a.GetSummary())})
		}
		printRows(w, rows)
	})
}

func alertsSilence(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "silence ID", Short: "tell nobody of an alert for a while",
		Example: "streamgate alerts silence queue_length_critical --for 2h --reason 'moving house'",
	}
	length := cmd.Flags().Duration("for", time.Hour, "how `LONG`: a minute to 30 days")
	reason := cmd.Flags().String("reason", "", "`WHY`, for those who wonder later; it is asked for")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Alert, error) {
		return c.alerts.SilenceAlert(ctx, &rpc.SilenceAlertRequest{Id: args[0], Seconds: int32(min(length.Seconds(), 1<<30)), Reason: *reason})
	}, tellAlert)
}

func alertsUnsilence(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "unsilence ID", Short: "tell of an alert again", Example: "streamgate alerts unsilence queue_length_critical"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Alert, error) {
		return c.alerts.UnsilenceAlert(ctx, &rpc.UnsilenceAlertRequest{Id: args[0]})
	}, tellAlert)
}

func tellAlert(w io.Writer, a *rpc.Alert, _ []string) {
	value := ""
	if a.Value != nil {
		value = strconv.FormatFloat(a.GetValue(), 'g', 4, 64)
	}
	printFields(w, "id", a.GetId(), "state", a.GetState(), "severity", a.GetSeverity(), "summary", a.GetSummary(), "value", value,
		"threshold", strconv.FormatFloat(a.GetThreshold(), 'g', 4, 64)+" "+a.GetUnit(), "mend", a.GetMend(),
		"silenced until", when(a.GetSilence().GetUntil()), "by", a.GetSilence().GetBy(), "because", a.GetSilence().GetReason())
}

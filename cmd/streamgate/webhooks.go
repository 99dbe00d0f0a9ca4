package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

func webhooksCommand(p *cli) *cobra.Command {
	return group("webhooks", "who is told of events by HTTP, and what became of it",
		webhooksList(p), webhooksShow(p), webhooksCreate(p), webhooksUpdate(p), webhooksDelete(p), webhooksRotate(p),
		webhooksTest(p), webhooksDeliveries(p), webhooksRedeliver(p))
}

func webhooksList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the webhooks, newest first", Example: "streamgate webhooks list"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListWebhooksResponse, error) {
		return c.webhooks.ListWebhooks(ctx, &rpc.ListWebhooksRequest{})
	}, func(w io.Writer, r *rpc.ListWebhooksResponse, _ []string) {
		rows := [][]string{{"ID", "ENABLED", "EVENTS", "CREATED", "URL"}}
		for _, h := range r.GetWebhooks() {
			rows = append(rows, []string{h.GetId(), yes(h.GetEnabled()), cell(strings.Join(h.GetEvents(), " ")), when(h.GetCreatedAt()), cell(h.GetUrl())})
		}
		printRows(w, rows)
	})
}

func webhooksShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "show one webhook", Example: "streamgate webhooks show ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Webhook, error) {
		return c.webhooks.GetWebhook(ctx, &rpc.GetWebhookRequest{Id: args[0]})
	}, tellWebhook)
}

func tellWebhook(w io.Writer, h *rpc.Webhook, _ []string) {
	printFields(w, "id", h.GetId(), "url", h.GetUrl(), "description", h.GetDescription(), "events", strings.Join(h.GetEvents(), " "),
		"enabled", yes(h.GetEnabled()), "error", failure(h.GetFailure()), "failing since", when(h.GetFailingSince()),
		"created", when(h.GetCreatedAt()), "secret", h.GetSecret())
}

// webhookFlags are what a webhook is made of, besides its URL.
type webhookFlags struct {
	description string
	events      []string
	enabled     bool
}

func addWebhookFlags(cmd *cobra.Command) *webhookFlags {
	f := new(webhookFlags)
	cmd.Flags().StringVar(&f.description, "description", "", "what it is for: `TEXT` of at most 200 characters")
	cmd.Flags().StringSliceVar(&f.events, "event", nil, "tell it of this `EVENT`, for example video.ready; may be repeated (default: all)")
	cmd.Flags().BoolVar(&f.enabled, "enabled", true, "whether events are delivered")
	return f
}

func webhooksCreate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create URL", Short: "add a webhook and print the key that signs for it; it is shown only once",
		Example: "streamgate webhooks create https://example.org/hook --event video.ready --event video.failed",
	}
	f := addWebhookFlags(cmd)
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Webhook, error) {
		return c.webhooks.CreateWebhook(ctx, &rpc.CreateWebhookRequest{Url: args[0], Description: f.description, Events: f.events, Enabled: &f.enabled})
	}, tellWebhook)
}

func webhooksUpdate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ID", Short: "change what is given of a webhook",
		Example: "streamgate webhooks update ID --enabled=false\nstreamgate webhooks update ID --url https://example.org/new",
	}
	f := addWebhookFlags(cmd)
	var url string
	cmd.Flags().StringVar(&url, "url", "", "deliver to this `URL`")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Webhook, error) {
		req := &rpc.UpdateWebhookRequest{Id: args[0], Events: f.events}
		for name, set := range map[string]func(){
			"url":         func() { req.Url = &url },
			"description": func() { req.Description = &f.description },
			"enabled":     func() { req.Enabled = &f.enabled },
		} {
			if cmd.Flags().Changed(name) {
				set()
			}
		}
		return c.webhooks.UpdateWebhook(ctx, req)
	}, tellWebhook)
}

func webhooksDelete(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID", Short: "remove a webhook with its deliveries", Example: "streamgate webhooks delete ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.DeleteWebhookResponse, error) {
		return c.webhooks.DeleteWebhook(ctx, &rpc.DeleteWebhookRequest{Id: args[0]})
	}, say[*rpc.DeleteWebhookResponse]("Webhook %s is removed."))
}

func webhooksRotate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate ID", Short: "make a new key and print it; the one before it signs as well for a day",
		Example: "streamgate webhooks rotate ID",
	}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Webhook, error) {
		return c.webhooks.RotateWebhook(ctx, &rpc.RotateWebhookRequest{Id: args[0]})
	}, tellWebhook)
}

func webhooksTest(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "test ID", Short: "deliver a test event", Example: "streamgate webhooks test ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Delivery, error) {
		return c.webhooks.TestWebhook(ctx, &rpc.TestWebhookRequest{Id: args[0]})
	}, tellDelivery)
}

func webhooksDeliveries(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "deliveries ID", Short: "list a webhook's deliveries, newest first",
		Example: "streamgate webhooks deliveries ID --state failed",
	}
	limit := limitFlag(cmd)
	state := choiceFlag(cmd, "state", "", "only those in this `STATE`", "waiting", "delivered", "failed")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.ListDeliveriesResponse, error) {
		deliveries, err := pages(limit.value, func(size int32, cursor string) ([]*rpc.Delivery, string, error) {
			r, err := c.webhooks.ListDeliveries(ctx, &rpc.ListDeliveriesRequest{WebhookId: args[0], State: state.value, Limit: size, Cursor: cursor})
			return r.GetDeliveries(), r.GetNextCursor(), err
		})
		return &rpc.ListDeliveriesResponse{Deliveries: deliveries}, err
	}, func(w io.Writer, r *rpc.ListDeliveriesResponse, _ []string) {
		rows := [][]string{{"ID", "EVENT", "STATE", "ATTEMPTS", "STATUS", "CREATED", "NEXT", "ERROR"}}
		for _, d := range r.GetDeliveries() {
			rows = append(rows, []string{d.GetId(), d.GetEvent(), d.GetState(), strconv.Itoa(int(d.GetAttempts())), status(d.GetLastStatus()),
				when(d.GetCreatedAt()), when(d.GetNextAttemptAt()), cell(d.GetLastError())})
		}
		printRows(w, rows)
	})
}

func webhooksRedeliver(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "redeliver ID DELIVERY", Short: "deliver again at once, with all attempts anew",
		Example: "streamgate webhooks redeliver ID DELIVERY",
	}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Delivery, error) {
		return c.webhooks.Redeliver(ctx, &rpc.RedeliverRequest{WebhookId: args[0], Id: args[1]})
	}, tellDelivery)
}

func tellDelivery(w io.Writer, d *rpc.Delivery, _ []string) {
	printFields(w, "id", d.GetId(), "event", d.GetEvent(), "state", d.GetState(), "attempts", strconv.Itoa(int(d.GetAttempts())),
		"status", status(d.GetLastStatus()), "error", d.GetLastError(), "next", when(d.GetNextAttemptAt()))
}

// status is an HTTP status; "" for none.
func status(code int32) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprint(code)
}

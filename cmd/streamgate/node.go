package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
	"streamgate/node"
)

func nodeCommand(p *cli) *cobra.Command {
	return group("node", "show the running node", nodeShow(p))
}

func nodeShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "show the running node's version, roles and disk", Example: "streamgate node show"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.Node, error) {
		return c.monitor.GetNode(ctx, &rpc.GetNodeRequest{})
	}, func(w io.Writer, n *rpc.Node, _ []string) {
		printFields(w, "id", n.GetId(), "version", n.GetVersion(), "roles", strings.Join(n.GetRoles(), " "), "started", when(n.GetStartedAt()),
			"disk free", node.Bytes(n.GetDiskFreeBytes()).Short(), "of", node.Bytes(n.GetDiskTotalBytes()).Short())
	})
}

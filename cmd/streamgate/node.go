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
	return group("node", "show the running node, or all of them", nodeShow(p), nodeList(p))
}

func nodeShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "show the running node's version, parts and machine", Example: "streamgate node show"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.Node, error) {
		return c.monitor.GetNode(ctx, &rpc.GetNodeRequest{})
	}, func(w io.Writer, n *rpc.Node, _ []string) {
		fields := []string{
			"id", n.GetId(), "host", n.GetHost(), "version", n.GetVersion(), "roles", strings.Join(n.GetRoles(), " "), "state", n.GetState(),
			"started", when(n.GetStartedAt()), "disk free", node.Bytes(n.GetDiskFreeBytes()).Short(), "of", node.Bytes(n.GetDiskTotalBytes()).Short(),
			"memory", node.Bytes(n.GetMemoryBytes()).Short(),
		}
		for _, part := range n.GetParts() {
			if !part.GetHealthy() {
				fields = append(fields, part.GetName(), part.GetProblem())
			}
		}
		printFields(w, fields...)
	})
}

func nodeList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the nodes", Example: "streamgate node list"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListNodesResponse, error) {
		return c.monitor.ListNodes(ctx, &rpc.ListNodesRequest{})
	}, func(w io.Writer, r *rpc.ListNodesResponse, _ []string) {
		rows := [][]string{{"ID", "HOST", "STATE", "ROLES", "VERSION", "STARTED", "DISK FREE"}}
		for _, n := range r.GetNodes() {
			rows = append(rows, []string{n.GetId(), cell(n.GetHost()), n.GetState(), strings.Join(n.GetRoles(), " "), n.GetVersion(),
				when(n.GetStartedAt()), node.Bytes(n.GetDiskFreeBytes()).Short()})
		}
		printRows(w, rows)
	})
}

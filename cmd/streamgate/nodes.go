package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"streamgate/app/rpc"
	"streamgate/node"
)

func nodesCommand(p *cli) *cobra.Command {
	cmd := group("nodes", "list, drain, resume and remove the nodes", nodesList(p), nodesShow(p), nodesDrain(p),
		oneNode(p, "resume", "undo nodes drain", func(ctx context.Context, c *client, id string) (*rpc.Node, error) {
			return c.monitor.ResumeNode(ctx, &rpc.ResumeNodeRequest{Id: id})
		}),
		nodesRemove(p))
	cmd.Aliases = []string{"node"}
	return cmd
}

func nodesShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "show the running node's version, parts and machine", Example: "streamgate nodes show"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.Node, error) {
		return c.monitor.GetNode(ctx, &rpc.GetNodeRequest{})
	}, func(w io.Writer, n *rpc.Node, _ []string) {
		fields := []string{
			"id", n.GetId(), "host", n.GetHost(), "version", n.GetVersion(), "roles", strings.Join(n.GetRoles(), " "), "state", nodeState(n),
			"started", when(n.GetStartedAt()), "load", percent(100 * n.GetLoad()), "disk free", node.Bytes(n.GetDiskFreeBytes()).Short(), "of", node.Bytes(n.GetDiskTotalBytes()).Short(),
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

func nodesList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the nodes of the deployment", Example: "streamgate nodes list"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListNodesResponse, error) {
		return c.monitor.ListNodes(ctx, &rpc.ListNodesRequest{})
	}, func(w io.Writer, r *rpc.ListNodesResponse, _ []string) {
		rows := [][]string{{"ID", "HOST", "STATE", "ROLES", "VERSION", "LOAD", "UP", "ADDRESS"}}
		for _, n := range r.GetNodes() {
			up := ""
			if n.GetStartedAt() != nil {
				up = time.Since(n.GetStartedAt().AsTime()).Truncate(time.Second).String()
			}
			rows = append(rows, []string{n.GetId(), cell(n.GetHost()), nodeState(n), strings.Join(n.GetRoles(), " "), n.GetVersion(),
				percent(100 * n.GetLoad()), up, n.GetAddress()})
		}
		printRows(w, rows)
	})
}

// nodeState is a node's state, and what a draining one still has to end.
func nodeState(n *rpc.Node) string {
	if n.GetState() != nodeDraining {
		return n.GetState()
	}
	return fmt.Sprintf("%s (jobs %d, requests %d)", nodeDraining, n.GetJobs(), n.GetRequests())
}

const nodeDraining = "draining"

// drainLook is how often --wait looks.
const drainLook = 500 * time.Millisecond

func nodesDrain(p *cli) *cobra.Command {
	var wait bool
	cmd := oneNode(p, "drain", "give a node nothing new, and let it end what it has", func(ctx context.Context, c *client, id string) (*rpc.Node, error) {
		n, err := c.monitor.DrainNode(ctx, &rpc.DrainNodeRequest{Id: id})
		for err == nil && wait && n.GetState() == nodeDraining {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(drainLook):
			}
			n, err = c.nodeNamed(ctx, id)
		}
		return n, err
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "return when nothing runs there any more, so that the node may be stopped")
	return cmd
}

// nodeNamed looks a node up.
func (c *client) nodeNamed(ctx context.Context, id string) (*rpc.Node, error) {
	list, err := c.monitor.ListNodes(ctx, &rpc.ListNodesRequest{})
	for _, n := range list.GetNodes() {
		if n.GetId() == id {
			return n, nil
		}
	}
	if err == nil {
		err = rpc.Errorf(connect.CodeNotFound, "node_not_found", "The node %s has gone.", id)
	}
	return nil, err
}

func oneNode(p *cli, verb, short string, call func(context.Context, *client, string) (*rpc.Node, error)) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " ID", Short: short, Example: "streamgate nodes " + verb + " ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Node, error) { return call(ctx, c, args[0]) },
		func(w io.Writer, n *rpc.Node, _ []string) {
			fmt.Fprintf(w, "Node %s is %s.\n", n.GetId(), nodeState(n))
		})
}

func nodesRemove(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "remove ID", Short: "take a node that does not answer any more out of the registry", Example: "streamgate nodes remove ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.RemoveNodeResponse, error) {
		return c.monitor.RemoveNode(ctx, &rpc.RemoveNodeRequest{Id: args[0]})
	}, say[*rpc.RemoveNodeResponse]("Node %s is removed; its jobs are taken up by others."))
}

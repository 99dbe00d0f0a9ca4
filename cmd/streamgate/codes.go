package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

// maxCodes is how many codes the node makes at once.
const maxCodes = 1000

func codesCommand(p *cli) *cobra.Command {
	return group("codes", "make, count and end ticket codes", codesCreate(p), codesList(p), codesDelete(p))
}

// codesCreate prints the codes alone on stdout, for scripts.
func codesCreate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create POOL", Short: "make ticket codes and print them; they are shown only once",
		Example: "streamgate codes create premiere --count 10",
	}
	count := numberFlag(cmd, "count", 1, 1, maxCodes, fmt.Sprintf("how many: `N` from 1 to %d", maxCodes))
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Codes, error) {
		return c.access.CreateCodes(ctx, &rpc.CreateCodesRequest{Pool: args[0], Count: count.value})
	}, func(w io.Writer, codes *rpc.Codes, _ []string) {
		for _, code := range codes.GetCodes() {
			fmt.Fprintln(w, code)
		}
	})
}

func codesList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "count the ticket codes of each pool", Example: "streamgate codes list"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListCodesResponse, error) {
		return c.access.ListCodes(ctx, &rpc.ListCodesRequest{})
	}, func(w io.Writer, r *rpc.ListCodesResponse, _ []string) {
		rows := [][]string{{"POOL", "CODES", "USED", "CREATED"}}
		for _, pool := range r.GetPools() {
			rows = append(rows, []string{pool.GetPool(), fmt.Sprint(pool.GetCodes()), fmt.Sprint(pool.GetUsed()), when(pool.GetCreatedAt())})
		}
		printRows(w, rows)
		if r.GetMore() {
			fmt.Fprintln(w, "There are more codes than were counted.")
		}
	})
}

func codesDelete(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "delete POOL", Short: "end every ticket code of a pool", Example: "streamgate codes delete premiere"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.DeleteCodesResponse, error) {
		return c.access.DeleteCodes(ctx, &rpc.DeleteCodesRequest{Pool: args[0]})
	}, say[*rpc.DeleteCodesResponse]("Every code of pool %s has ended."))
}

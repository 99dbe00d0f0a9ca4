package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

func keysCommand(p *cli) *cobra.Command {
	return group("keys", "make, list and end API keys", keysCreate(p), keysList(p), keysRevoke(p))
}

// keysCreate prints the key alone on stdout, for scripts.
func keysCreate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "make an API key and print it; it is shown only once",
		Example: "KEY=$(streamgate keys create --scope uploader --name camera)",
	}
	scope := choiceFlag(cmd, "scope", "", "what the key may do, `SCOPE`", "admin", "operator", "uploader", "read")
	name := cmd.Flags().String("name", "", "a `NAME` to know it by")
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.Key, error) {
		if scope.value == "" {
			return nil, usagef("keys create: --scope is missing; write admin, operator, uploader or read")
		}
		return c.access.CreateKey(ctx, &rpc.CreateKeyRequest{Name: *name, Scope: scope.value})
	}, func(w io.Writer, key *rpc.Key, _ []string) { fmt.Fprintln(w, key.GetSecret()) })
}

func keysList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the API keys", Example: "streamgate keys list"}
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListKeysResponse, error) {
		return c.access.ListKeys(ctx, &rpc.ListKeysRequest{})
	}, func(w io.Writer, r *rpc.ListKeysResponse, _ []string) {
		rows := [][]string{{"ID", "SCOPE", "CREATED", "NAME"}}
		for _, k := range r.GetKeys() {
			rows = append(rows, []string{k.GetId(), k.GetScope(), when(k.GetCreatedAt()), cell(k.GetName())})
		}
		printRows(w, rows)
	})
}

func keysRevoke(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "end an API key at once", Example: "streamgate keys revoke ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.RevokeKeyResponse, error) {
		return c.access.RevokeKey(ctx, &rpc.RevokeKeyRequest{Id: args[0]})
	}, say[*rpc.RevokeKeyResponse]("Revoked key %s."))
}

package main

import (
	"context"
	"fmt"

	"streamgate/app/rpc"
)

// keysCreate prints the key alone on stdout, for scripts.
func keysCreate(ctx context.Context, e *env, f *flags) error {
	scope := f.String("scope", "", "what the key may do: `SCOPE` admin, operator, uploader or read")
	name := f.String("name", "", "a `NAME` to know it by")
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	if _, ok := rpc.ParseScope(*scope); !ok {
		return usagef("keys create: --scope %q is none of admin, operator, uploader, read", *scope)
	}
	key, err := c.access.CreateKey(ctx, &rpc.CreateKeyRequest{Name: *name, Scope: *scope})
	if err != nil {
		return c.explain(err)
	}
	fmt.Fprintln(e.stdout, key.GetSecret())
	return nil
}

func keysList(ctx context.Context, e *env, f *flags) error {
	asJSON := f.jsonFlag()
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	r, err := c.access.ListKeys(ctx, &rpc.ListKeysRequest{})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, r)
	}
	rows := [][]string{{"ID", "SCOPE", "CREATED", "NAME"}}
	for _, k := range r.GetKeys() {
		rows = append(rows, []string{k.GetId(), k.GetScope(), when(k.GetCreatedAt()), k.GetName()})
	}
	printRows(e.stdout, rows)
	return nil
}

func keysRevoke(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	if _, err := c.access.RevokeKey(ctx, &rpc.RevokeKeyRequest{Id: args[0]}); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(e.stdout, "Revoked key %s.\n", args[0])
	return nil
}

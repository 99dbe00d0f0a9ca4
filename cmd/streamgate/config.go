package main

import (
	"context"
	"fmt"

	"streamgate/node"
)

// configCheck says whether a node would accept the configuration.
func configCheck(_ context.Context, e *env, f *flags) error {
	if _, err := f.load(e); err != nil {
		return err
	}
	for _, line := range node.UnknownEnv(e.vars) {
		fmt.Fprintf(e.stderr, "streamgate: warning: %s\n", line)
	}
	fmt.Fprintln(e.stdout, "The configuration is right.")
	return nil
}

// configPrint writes what is in force after file, environment and flags.
func configPrint(_ context.Context, e *env, f *flags) error {
	cfg, err := f.load(e)
	if err != nil {
		return err
	}
	return cfg.Print(e.stdout)
}

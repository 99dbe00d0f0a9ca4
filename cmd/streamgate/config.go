package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"streamgate/node"
)

func configCommand(p *cli) *cobra.Command {
	return group("config", "check and print the configuration", configCheck(p), configPrint(p))
}

// configCheck says whether a node would accept the configuration.
func configCheck(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "check", Short: "check the configuration", Example: "streamgate config check --config streamgate.yaml", Args: operands}
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, warnings, err := p.sharedConfig(cmd.Context())
		if err != nil {
			return err
		}
		warnings = append(warnings, node.UnknownEnv(p.vars)...)
		if *asJSON {
			return printValue(p.stdout, map[string]any{"valid": true, "warnings": warnings})
		}
		p.warn(warnings)
		fmt.Fprintln(p.stdout, "The configuration is right.")
		return nil
	}
	return cmd
}

// sharedConfig is the configuration with what the nodes of a cluster share; what of
// that cannot be read or used is a warning.
func (p *cli) sharedConfig(ctx context.Context) (cfg *node.Config, warnings []string, err error) {
	layers, err := p.layers()
	if err != nil {
		return nil, nil, err
	}
	if cfg, err = layers.Config(); err != nil {
		return nil, nil, err
	}
	warnings = []string{}
	shared, err := layers.WithRegistry(ctx)
	if err != nil {
		return cfg, append(warnings, "without what the nodes share: "+err.Error()), nil
	}
	return shared.Config, append(warnings, shared.Warnings()...), nil
}

func (p *cli) warn(warnings []string) {
	for _, line := range warnings {
		fmt.Fprintf(p.stderr, "streamgate: warning: %s\n", line)
	}
}

// configPrint writes what is in force after file, what is shared, environment and
// flags.
func configPrint(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "print", Short: "print the configuration in force, secrets redacted",
		Example: "streamgate config print\nstreamgate config print --json | jq .data_dir", Args: operands,
	}
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, warnings, err := p.sharedConfig(cmd.Context())
		if err != nil {
			return err
		}
		p.warn(warnings)
		if !*asJSON {
			return cfg.Print(p.stdout)
		}
		var text bytes.Buffer
		if err := cfg.Print(&text); err != nil {
			return err
		}
		var value map[string]any
		if err := yaml.Unmarshal(text.Bytes(), &value); err != nil {
			return fmt.Errorf("read the configuration as it is printed: %w", err)
		}
		return printValue(p.stdout, value)
	}
	return cmd
}

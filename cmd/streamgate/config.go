package main

import (
	"bytes"
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
	cmd.RunE = func(*cobra.Command, []string) error {
		if _, err := p.config(); err != nil {
			return err
		}
		warnings := append([]string{}, node.UnknownEnv(p.vars)...)
		if *asJSON {
			return printValue(p.stdout, map[string]any{"valid": true, "warnings": warnings})
		}
		for _, line := range warnings {
			fmt.Fprintf(p.stderr, "streamgate: warning: %s\n", line)
		}
		fmt.Fprintln(p.stdout, "The configuration is right.")
		return nil
	}
	return cmd
}

// configPrint writes what is in force after file, environment and flags.
func configPrint(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "print", Short: "print the configuration in force, secrets redacted",
		Example: "streamgate config print\nstreamgate config print --json | jq .data_dir", Args: operands,
	}
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := p.config()
		if err != nil {
			return err
		}
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

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"streamgate/node"
)

func chainsCommand(p *cli) *cobra.Command {
	return group("chains", "the blockchain endpoints that the gate asks", checkChainsCommand(p))
}

// checkChainsCommand tries each configured endpoint for all that the gate
// needs of it. It needs no running node.
func checkChainsCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "try every configured endpoint and say what it can do",
		Example: "streamgate chains check --config streamgate.yaml", Args: operands,
	}
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := p.config()
		if err != nil {
			return err
		}
		found, err := node.CheckChains(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		switch {
		case *asJSON:
			err = printValue(p.stdout, map[string][]node.ChainFinding{"findings": append([]node.ChainFinding{}, found...)})
		case len(cfg.Chains) == 0:
			_, err = fmt.Fprintln(p.stdout, "No chain is configured; list some under chains, each with its id and urls.")
		default:
			node.WriteChainCheck(p.stdout, found)
		}
		faulty := 0
		for _, f := range found {
			if !f.Works {
				faulty++
			}
		}
		if err == nil && faulty > 0 {
			err = fmt.Errorf("%d of %d checks found an endpoint that cannot be used", faulty, len(found))
		}
		return err
	}
	return cmd
}

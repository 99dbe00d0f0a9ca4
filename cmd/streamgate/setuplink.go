package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"streamgate/node"
)

// setupLinkCommand prints the link alone on stdout, for scripts.
func setupLinkCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "setup-link", Short: "print a link that makes the console's first admin, once",
		Example: "streamgate setup-link", Args: operands,
	}
	reset := cmd.Flags().Bool("reset", false, "for who is locked out: the link also gives an admin that there is another password")
	asJSON := jsonFlag(cmd)
	reads(cmd, configEnv...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		var made node.SetupLink
		if err := c.ask(cmd.Context(), http.MethodPost, node.SetupLinkPath+"?reset="+strconv.FormatBool(*reset), &made); err != nil {
			return err
		}
		if *asJSON {
			return printValue(p.stdout, made)
		}
		fmt.Fprintln(p.stdout, made.Link)
		return nil
	}
	return cmd
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
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
		url := socketURL + node.SetupLinkPath + "?reset=" + strconv.FormatBool(*reset)
		req, err := http.NewRequestWithContext(cmd.Context(), http.MethodPost, url, nil)
		if err != nil {
			return err
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return c.explain(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return newStatusError(resp)
		}
		var made node.SetupLink
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&made); err != nil {
			return fmt.Errorf("read the node's answer: %w", err)
		}
		if *asJSON {
			return printValue(p.stdout, made)
		}
		fmt.Fprintln(p.stdout, made.Link)
		return nil
	}
	return cmd
}

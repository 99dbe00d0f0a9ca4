package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"streamgate/node"
)

func auditCommand(p *cli) *cobra.Command {
	return group("audit", "check the audit log", auditVerify(p))
}

// auditVerify fails if the log is not what was written, so that scripts can rest on it.
func auditVerify(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "check that no entry of the audit log was changed or cut off",
		Example: "streamgate audit verify", Args: operands,
	}
	asJSON := jsonFlag(cmd)
	reads(cmd, configEnv...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, socketURL+node.AuditVerifyPath, nil)
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
		var found node.AuditVerdict
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&found); err != nil {
			return fmt.Errorf("read the node's answer: %w", err)
		}
		switch {
		case found.Fault != "":
			return fmt.Errorf("the audit log is not as it was written: %s (entry %s)", found.Fault, found.At)
		case *asJSON:
			return printValue(p.stdout, found)
		}
		fmt.Fprintf(p.stdout, "The audit log is whole: entries %d.\n", found.Entries)
		return nil
	}
	return cmd
}

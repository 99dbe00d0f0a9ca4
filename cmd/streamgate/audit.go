package main

import (
	"fmt"
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
		var found node.AuditVerdict
		if err := c.ask(cmd.Context(), http.MethodGet, node.AuditVerifyPath, &found); err != nil {
			return err
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

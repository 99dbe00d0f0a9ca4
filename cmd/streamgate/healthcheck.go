package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"streamgate/node"
)

// healthTimeout is what a container engine's own time-out should exceed.
const healthTimeout = 5 * time.Second

// maxReadiness bounds what is read of the node's answer, bytes.
const maxReadiness = 1 << 20

// healthcheckCommand asks /readyz of the operator's listener.
func healthcheckCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "exit with 0 if the node is ready, degraded or drained, for containers",
		Example: "streamgate healthcheck --config streamgate.yaml", Args: operands,
	}
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := p.config()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
		defer cancel()
		ready, err := readiness(ctx, cfg.Monitor.Listen)
		if err != nil {
			return err
		}
		if *asJSON {
			if err := printValue(p.stdout, ready); err != nil {
				return err
			}
		}
		switch {
		case !ready.Well():
			return fmt.Errorf("the node is %s%s", ready.Status, faults(ready))
		case !*asJSON:
			fmt.Fprintln(p.stdout, ready.Status+faults(ready))
		}
		return nil
	}
	return cmd
}

// readiness asks the node at the operator's address.
func readiness(ctx context.Context, addr string) (node.Readiness, error) {
	var ready node.Readiness
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+dialable(addr)+"/readyz", nil)
	if err != nil {
		return ready, fmt.Errorf("monitor.listen %s: %w", addr, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ready, fmt.Errorf("no node answers at monitor.listen %s: %w", addr, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadiness)).Decode(&ready); err != nil {
		return ready, fmt.Errorf("what answers at monitor.listen %s is no node", addr)
	}
	return ready, nil
}

// faults lists the checks that fail.
func faults(ready node.Readiness) string {
	var b strings.Builder
	for name, text := range ready.Checks {
		if text != "ok" {
			fmt.Fprintf(&b, "; %s: %s", name, text)
		}
	}
	return b.String()
}

// dialable turns an address to listen on into one to call.
func dialable(addr string) string {
	for _, every := range []string{"0.0.0.0", "[::]", ""} {
		if port, ok := strings.CutPrefix(addr, every+":"); ok {
			return "127.0.0.1:" + port
		}
	}
	return addr
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"streamgate/node"
)

// healthTimeout is what a container engine's own time-out should exceed.
const healthTimeout = 5 * time.Second

// healthcheck asks /readyz of the operator's listener.
func healthcheck(ctx context.Context, e *env, f *flags) error {
	cfg, err := f.load(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	ready, err := readiness(ctx, cfg.Monitor.Listen)
	if err != nil {
		return err
	}
	if ready.Status != "ready" {
		return fmt.Errorf("the node is %s%s", ready.Status, faults(ready))
	}
	fmt.Fprintln(e.stdout, "ready")
	return nil
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
	if err := json.NewDecoder(resp.Body).Decode(&ready); err != nil {
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

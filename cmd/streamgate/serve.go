package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"streamgate/node"
)

func serveCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "run a node (what a bare streamgate does)",
		Example: "streamgate serve --data /srv/video --listen 127.0.0.1:8080\nstreamgate serve --config streamgate.yaml --set log.level=debug",
		Args:    operands,
	}
	listen := cmd.Flags().String("listen", "", "public `ADDRESS`, host:port (api_gateway.host and .port)")
	role := cmd.Flags().String("role", "", "the `ROLES` of the node, with commas between (default: by the program's name, else monolith)")
	p.allowSet(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.setListen(*listen); err != nil {
			return err
		}
		return p.serve(cmd.Context(), *role)
	}
	return cmd
}

// serve runs a node until a signal.
func (p *cli) serve(ctx context.Context, role string) error {
	chosen, err := rolesOf(role, p.name)
	if err != nil {
		return err
	}
	layers, err := p.layers()
	if err != nil {
		return err
	}
	cfg, err := layers.Config()
	if err != nil {
		return err
	}
	log := node.NewLog(cfg.Log, p.stderr, p.terminal)
	for _, line := range node.UnknownEnv(p.vars) {
		log.Warn(line)
	}
	n, err := node.New(cfg, node.Options{Roles: chosen, Log: log, Layers: layers, Version: programVersion(), Env: p.vars})
	if err != nil {
		return err
	}
	err = n.Start(ctx)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil // stopped while it waited for its stores: an orderly stop
	case err != nil:
		return err
	}
	if p.terminal {
		welcome(p.stderr, n, cfg)
	}
	err = n.Wait(ctx)
	if next, ok := errors.AsType[*node.Switch](err); ok {
		return next.Exec(p.name, p.vars)
	}
	return err
}

// setListen turns --listen into the two keys it stands for.
func (p *cli) setListen(addr string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("serve: --listen %q is not host:port, like 127.0.0.1:8080 or :8080", addr)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	p.src.Set = append(p.src.Set,
		node.Setting{Key: "api_gateway.host", Value: host}, node.Setting{Key: "api_gateway.port", Value: port})
	return nil
}

// rolesOf are the named roles, else that of the program's name
// (streamgate-upload), else the monolith.
func rolesOf(named, program string) ([]node.Role, error) {
	if named == "" {
		_, named, _ = strings.Cut(filepath.Base(program), "streamgate-")
	}
	if named == "" {
		named = string(node.RoleMonolith)
	}
	roles, err := node.ParseRoles(named)
	if err != nil {
		return nil, usagef("%s", err)
	}
	return roles, nil
}

// welcome tells a person at a terminal where everything is.
func welcome(w io.Writer, n *node.Node, cfg *node.Config) {
	fmt.Fprintf(w, `
  StreamGate is running.

    address    %s
    health     http://%s/readyz
    data       %s

  Upload a video:    streamgate push FILE --data %s
  Make an API key:   streamgate keys create --scope admin --data %s
  Stop:              Ctrl-C

`, n.URL(), n.Addr("operator"), cfg.DataDir, cfg.DataDir, cfg.DataDir)
}

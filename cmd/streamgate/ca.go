package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"streamgate/node"
	"streamgate/node/cluster"
)

func caCommand(p *cli) *cobra.Command {
	return group("ca", "the certificates by which the nodes of a cluster know each other", caInit(p), caToken(p))
}

// caInit makes a CA in the data directory.
func caInit(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "init", Short: "make the CA of a new cluster in this node's data directory, before its first start",
		Example: "streamgate ca init --data /var/lib/streamgate", Args: operands,
	}
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := p.config()
		if err != nil {
			return err
		}
		dir := node.CADir(cfg.DataDir)
		ca, err := cluster.InitCA(dir)
		if err != nil {
			return err
		}
		if *asJSON {
			return printValue(p.stdout, map[string]string{"dir": dir, "fingerprint": ca.Fingerprint()})
		}
		fmt.Fprintf(p.stdout, "The CA is in %s. Keep a copy of that folder in a safe place: whoever has it can join any node.\nSHA-256 %s\n", dir, ca.Fingerprint())
		return nil
	}
	return cmd
}

// mostTokenLife is the longest that a join token may count.
const mostTokenLife = 90 * 24 * time.Hour

// caToken makes a join token.
func caToken(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "make a join token for nodes of some roles, on the machine that has the CA",
		Example: "streamgate ca token --role transcoder --life 1h --address ca.example:7070", Args: operands,
	}
	role := cmd.Flags().String("role", "", "the `ROLES` that the nodes may have, with commas between (default: every role)")
	life := cmd.Flags().Duration("life", time.Hour, "how long it counts")
	addrs := cmd.Flags().StringSlice("address", nil, "where other nodes reach this one's cluster.listen, `HOST:PORT`, once or more (default: cluster.advertise_host and the port of cluster.listen)")
	p.allowSet(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		names, err := tokenRoles(*role)
		if err != nil {
			return err
		}
		if *life < time.Minute || *life > mostTokenLife {
			return usagef("ca token: --life %v is not from 1m to %v", *life, mostTokenLife)
		}
		cfg, err := p.config()
		if err != nil {
			return err
		}
		ca, err := cluster.LoadCA(node.CADir(cfg.DataDir))
		if err != nil {
			return fmt.Errorf("%w; run this on the machine where streamgate ca init was run, with the same --data", err)
		}
		if len(*addrs) == 0 {
			if *addrs, err = caAddress(cfg); err != nil {
				return err
			}
		}
		for _, addr := range *addrs {
			if _, port, err := net.SplitHostPort(addr); err != nil || port == "0" || port == "" {
				return usagef("ca token: --address %q is not HOST:PORT, like ca.example:7070", addr)
			}
		}
		token, err := ca.Token(*addrs, names, *life)
		if err != nil {
			return err
		}
		if *asJSON {
			return printValue(p.stdout, map[string]any{"token": token, "roles": names, "expires_at": time.Now().Add(*life).UTC().Format(time.RFC3339)})
		}
		fmt.Fprintln(p.stdout, token)
		return nil
	}
	return cmd
}

// tokenRoles are the roles of a list, or every one. A monolith's node has every one
// too.
func tokenRoles(list string) ([]string, error) {
	roles := node.Roles()[1:]
	if list != "" {
		var err error
		if roles, err = node.ParseRoles(list); err != nil {
			return nil, usagef("ca token: --role: %s", err)
		}
		if roles[0] == node.RoleMonolith {
			roles = node.Roles()[1:]
		}
	}
	names := make([]string, 0, len(roles))
	for _, r := range roles {
		names = append(names, string(r))
	}
	return names, nil
}

// caAddress is where the configuration says that this node is reached.
func caAddress(cfg *node.Config) ([]string, error) {
	host, port, err := net.SplitHostPort(cfg.Cluster.Listen)
	if err != nil || port == "0" {
		return nil, usagef("ca token: cluster.listen is %q, which has no port of its own; say --address HOST:PORT", cfg.Cluster.Listen)
	}
	if cfg.Cluster.AdvertiseHost != "" {
		host = cfg.Cluster.AdvertiseHost
	}
	return []string{net.JoinHostPort(host, port)}, nil
}

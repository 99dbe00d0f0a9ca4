package node

import (
	"context"
	"slices"

	"streamgate/node/cluster"
)

// registration keeps this node in the registry.
type registration struct{ registry cluster.Registry }

func (r *registration) Name() string { return "registry" }

func (r *registration) Start(ctx context.Context, k *Kernel) error {
	r.registry = &cluster.Static{}
	k.Registry = r.registry
	return r.registry.Announce(ctx, cluster.Instance{ID: k.NodeID, Boot: k.BootID, Roles: k.roleNames(), Version: k.Version})
}

func (r *registration) Stop(ctx context.Context) error { return r.registry.Withdraw(ctx) }

// roleNames are the node's roles as others know them: a monolith has every one.
func (k *Kernel) roleNames() []string {
	roles := k.Roles
	if slices.Contains(roles, RoleMonolith) {
		roles = every()
	}
	names := make([]string, 0, len(roles))
	for _, r := range roles {
		names = append(names, string(r))
	}
	return names
}

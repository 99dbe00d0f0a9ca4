package node

import (
	"context"

	"streamgate/app/monitor"
)

// monitoring tells how the node is.
type monitoring struct{}

func (monitoring) Name() string { return "monitor" }

func (monitoring) Start(_ context.Context, k *Kernel) error {
	roles := make([]string, 0, len(k.Roles))
	for _, r := range k.Roles {
		roles = append(roles, string(r))
	}
	k.Peers.Monitor = monitor.New(monitor.Config{
		NodeID: k.NodeID, Version: k.Version, Roles: roles, Started: k.Started, Space: k.Stores.Objects.Space,
	})
	return nil
}

func (monitoring) Stop(context.Context) error { return nil }

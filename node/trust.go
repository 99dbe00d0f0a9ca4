package node

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"streamgate/node/cluster"
)

// trust is the certificate by which the nodes of a cluster know this one. A
// monolith has none.
type trust struct{}

func (trust) Name() string { return "certificate" }

// CADir is the folder of the built-in CA in a data directory.
func CADir(dataDir string) string { return filepath.Join(dataDir, "ca") }

func (trust) Start(ctx context.Context, k *Kernel) error {
	if !k.clustered() {
		return nil
	}
	ca, err := cluster.LoadCA(CADir(k.DataDir))
	if err != nil && !errors.Is(err, cluster.ErrNoCA) {
		return err
	}
	cfg := &k.Config.Cluster
	k.ca = ca
	k.identity, err = cluster.NewIdentity(ctx, cluster.IdentityConfig{
		ID: k.NodeID, Roles: k.roleNames(), Dir: filepath.Join(k.DataDir, "tls"), CA: ca, Token: cfg.JoinToken,
		CAFile: cfg.CAFile, CertFile: cfg.CertFile, KeyFile: cfg.KeyFile,
	})
	if err != nil {
		return err
	}
	return k.identity.Check()
}

func (trust) Stop(context.Context) error { return nil }

// clustered tells whether there are other nodes.
func (k *Kernel) clustered() bool { return k.Config.Deployment.Mode == ModeCluster }

// has tells whether this node has a role.
func (k *Kernel) has(role Role) bool {
	return slices.Contains(k.Roles, role) || slices.Contains(k.Roles, RoleMonolith)
}

package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"streamgate/node/cluster"
)

// WithRegistry puts what the nodes share in the registry upon the file's, as a node
// that starts now would. Without a registry nothing is shared.
func (l *Layers) WithRegistry(ctx context.Context) (*Shared, error) {
	cfg, err := l.Config()
	if err != nil || cfg.Deployment.Mode != ModeCluster {
		return &Shared{Config: cfg}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	consul, err := lookForConsul(ctx, cfg)
	if err != nil {
		return &Shared{Config: cfg}, err
	}
	values, err := consul.Shared(ctx)
	if err != nil {
		return &Shared{Config: cfg}, err
	}
	return l.With(values, nil)
}

// lookForConsul reads what the registry has of a deployment, and changes nothing
// there.
func lookForConsul(ctx context.Context, cfg *Config) (*cluster.Consul, error) {
	address, err := cluster.ParseAddress(cfg.Cluster.Registry)
	if err != nil {
		return nil, fmt.Errorf("cluster.registry: %w", err)
	}
	consul, err := cluster.OpenConsul(ctx, address, cluster.Options{})
	if err != nil {
		return nil, fmt.Errorf("cluster.registry: %w", err)
	}
	return consul, nil
}

// Warnings are a line for each shared value that is refused.
func (s *Shared) Warnings() []string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(s.Refused)) {
		lines = append(lines, fmt.Sprintf("the shared value of %s is refused: %s", key, oneLine(reason(key, s.Refused[key]))))
	}
	return lines
}

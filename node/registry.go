package node

import (
	"context"
	"slices"
	"sync"
)

// Instance is a node as others see it.
type Instance struct {
	ID    string
	Roles []Role
	Addr  string // of its RPC, host:port
}

// Registry knows which nodes there are.
type Registry interface {
	// Announce makes this node known; again to change what is known.
	Announce(ctx context.Context, self Instance) error
	// Withdraw makes it unknown; nil if it was not known.
	Withdraw(ctx context.Context, id string) error
	// Instances returns the healthy nodes of a role.
	Instances(ctx context.Context, role Role) ([]Instance, error)
}

// Static is the registry of a node that is alone: it knows only who announced
// itself to it.
type Static struct {
	mu    sync.Mutex
	nodes []Instance
}

// Announce implements Registry.
func (s *Static) Announce(ctx context.Context, self Instance) error {
	if err := s.Withdraw(ctx, self.ID); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, self)
	return nil
}

// Withdraw implements Registry.
func (s *Static) Withdraw(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = slices.DeleteFunc(s.nodes, func(i Instance) bool { return i.ID == id })
	return nil
}

// Instances implements Registry. A monolith has every role.
func (s *Static) Instances(_ context.Context, role Role) ([]Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Instance
	for _, i := range s.nodes {
		if slices.Contains(i.Roles, role) || slices.Contains(i.Roles, RoleMonolith) {
			out = append(out, i)
		}
	}
	return out, nil
}

// registration keeps this node in the registry.
type registration struct {
	registry Registry
	id       string
}

func (r *registration) Name() string { return "registry" }

func (r *registration) Start(ctx context.Context, k *Kernel) error {
	r.registry, r.id = &Static{}, k.NodeID
	k.Registry = r.registry
	return r.registry.Announce(ctx, Instance{ID: k.NodeID, Roles: k.Roles})
}

func (r *registration) Stop(ctx context.Context) error { return r.registry.Withdraw(ctx, r.id) }

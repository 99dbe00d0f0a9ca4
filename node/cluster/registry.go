package cluster

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"streamgate/store"
)

// Instance is a running node as the others see it.
type Instance struct {
	ID   string // of the node, for good
	Boot string // of this start of it

	Roles   []string // as --role takes them
	Version string   // of the program
	Addr    string   // of its calls from other nodes (mutual TLS), host:port
	Events  string   // of its event bus's routes, host:port; "" if it has none
	Metrics string   // of its health and metrics, host:port, as Prometheus reaches it; "" if not told
	Encoder string   // which ffmpeg and libraries it encodes with; "" if it does not
	Schema  int      // the newest version of the database's tables that the program knows; 0 if not told

	// Load is how much of what it can do it does: 0 to 1, more if work waits.
	Load float64
	// Draining nodes finish what they have and are given nothing new.
	Draining bool
}

// AnyRole is every node's: what each tells of itself is asked in its name.
const AnyRole = "node"

// Has tells whether the node has a role.
func (i *Instance) Has(role string) bool { return role == AnyRole || slices.Contains(i.Roles, role) }

// Registry knows which nodes there are.
type Registry interface {
	// Announce makes this node known until Withdraw; again to change what is
	// known of it, its load above all. Another boot of the same node that is
	// alive makes it fail with ErrDuplicate.
	Announce(ctx context.Context, self Instance) error
	// Withdraw makes it unknown; nil if it was not known.
	Withdraw(ctx context.Context) error
	// Remove takes a boot of a node that is dead out of the registry at once, and
	// frees the identity; with boot "" whichever boot does not count as healthy.
	// store.ErrNotFound. A boot that lives all the same makes itself known again.
	Remove(ctx context.Context, id, boot string) error
	// Instances returns the healthy nodes, by ID. It asks nobody: where the
	// registry is away, they are the last that were known.
	Instances() []Instance
	// Current tells whether Instances is what the registry says now: it is not while
	// the registry is away, nor for as long after that as nodes may need to come back
	// to it.
	Current() bool
	// Changed returns a channel that is closed at the next change of them.
	Changed() <-chan struct{}
}

// Static is the registry of a node that is alone: it knows only itself.
type Static struct{ known }

// Announce implements Registry.
func (s *Static) Announce(_ context.Context, self Instance) error {
	s.set([]Instance{self})
	return nil
}

// Current implements Registry.
func (s *Static) Current() bool { return true }

// Withdraw implements Registry.
func (s *Static) Withdraw(context.Context) error {
	s.set(nil)
	return nil
}

// Remove implements Registry: there is nobody else.
func (s *Static) Remove(context.Context, string, string) error { return store.ErrNotFound }

// known are the nodes as they were last told.
type known struct {
	mu        sync.Mutex
	instances []Instance
	changed   chan struct{}
}

// set takes what there is now, and tells of it if it is something else.
func (k *known) set(instances []Instance) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if reflect.DeepEqual(k.instances, instances) {
		return
	}
	k.instances = instances
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

// Instances implements Registry.
func (k *known) Instances() []Instance {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.instances)
}

// Changed implements Registry.
func (k *known) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changed == nil {
		k.changed = make(chan struct{})
	}
	return k.changed
}

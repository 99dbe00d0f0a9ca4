package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"streamgate/node/cluster"
	"streamgate/store"
)

// registration opens the registry: who else is there can be read from then on, and
// this node's identity is its own. Nobody is told of it yet.
type registration struct {
	registry cluster.Registry
	ttl      time.Duration // of tests; 0 is the usual one
}

func (r *registration) Name() string { return "registry" }

func (r *registration) Start(ctx context.Context, k *Kernel) error {
	if !k.clustered() {
		r.registry = &cluster.Static{}
		k.Registry = r.registry
		return nil
	}
	consul, err := r.openConsul(ctx, k)
	if err != nil {
		return fmt.Errorf("cluster.registry: %w", err)
	}
	k.Go("registry", consul.Run)
	k.watch(&backend{
		check: "registry", name: "Consul", key: "cluster.registry", ready: always,
		without: "the node goes on with the nodes that were there, and hears of no other",
		ask:     consul.Ping,
	})
	r.registry, k.Registry = consul, consul
	return nil
}

// Stop leaves the registry. Where that cannot be said, the others find out.
func (r *registration) Stop(ctx context.Context) error {
	if err := r.registry.Withdraw(ctx); !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return nil
}

// openConsul claims the node's identity before anything is done in its name, and
// takes in what the nodes share before anything is made of the configuration.
func (r *registration) openConsul(ctx context.Context, k *Kernel) (*cluster.Consul, error) {
	address, err := cluster.ParseAddress(k.Config.Cluster.Registry)
	if err != nil {
		return nil, err
	}
	consul, err := cluster.OpenConsul(ctx, address, cluster.Options{TTL: r.ttl, Place: place(k.DataDir), Held: k.heldBy})
	if err != nil {
		return nil, err
	}
	if err := consul.Claim(ctx, k.NodeID, k.BootID); err != nil {
		return nil, err
	}
	if err := k.followShared(ctx, consul); err != nil {
		return nil, err
	}
	return consul, nil
}

// heldBy says why the start waits. What part registry waits for ends with its start.
func (k *Kernel) heldBy(boot string) {
	err := fmt.Errorf("another boot of this node, %s, is in the registry; waiting until it has ended or is known to live", boot)
	k.state.setWait("registry", err)
	k.Log.Warn("the node waits for its identity", "err", err)
}

// place names the data directory, as the kernel that runs now knows it. Whoever
// starts a node there has the directory's lock, so that no other boot of the node
// can be alive in the same place: a node that was killed is back at once. A copy of
// the directory, or the same disk at another machine, is another place. "" if it
// cannot be told.
func place(dir string) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s/%d/%d", strings.TrimSpace(string(boot)), file.Dev, file.Ino)
}

// loadEvery is how often the node's load is told, if it has changed.
const loadEvery = 5 * time.Second

// announcing tells the others of this node, now that it can serve them.
type announcing struct{ k *Kernel }

func (*announcing) Name() string { return "announcement" }

func (a *announcing) Start(ctx context.Context, k *Kernel) error {
	a.k = k
	k.drain.known = true
	if err := k.announce(ctx); err != nil {
		return err
	}
	k.Go("announce", func(ctx context.Context) error {
		if k.encoder != nil && k.encoder(ctx) != "" { // at once, since jobs wait for who has one
			if err := k.Registry.Announce(ctx, k.instance()); errors.Is(err, cluster.ErrDuplicate) {
				return err
			}
		}
		tick := time.NewTicker(loadEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if err := k.announce(ctx); errors.Is(err, cluster.ErrDuplicate) {
				return err
			} // else it is told the next time, or was
		}
	})
	return nil
}

// Stop has the others send nothing new. The node stays known until its jobs have
// ended: see registration.
func (a *announcing) Stop(ctx context.Context) error {
	err := a.k.announce(ctx)
	a.k.drain.forget()
	if !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return nil
}

// instance is the node as the others are to see it now.
func (k *Kernel) instance() cluster.Instance {
	self := cluster.Instance{
		ID: k.NodeID, Boot: k.BootID, Roles: k.roleNames(), Version: k.Version,
		Addr: k.advertised(k.state.addr("cluster")), Events: k.advertised(k.eventsAddr), Metrics: k.metricsAddr(),
		Draining: k.draining.Err() != nil || k.drain.on.Load() || k.clockOff() != nil, Schema: k.schema,
	}
	if k.load != nil {
		self.Load = k.load()
	}
	if k.knownEncoder != nil {
		self.Encoder = k.knownEncoder()
	}
	return self
}

// advertised is an address of this machine under the host by which others reach it.
func (k *Kernel) advertised(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if k.Config.Cluster.AdvertiseHost != "" {
		host = k.Config.Cluster.AdvertiseHost
	}
	return net.JoinHostPort(host, port)
}

// metricsAddr is where Prometheus reaches the operator's listener; "" for one that
// only this machine reaches, while the other nodes are elsewhere.
func (k *Kernel) metricsAddr() string {
	host, port, err := net.SplitHostPort(k.state.addr("operator"))
	if err != nil {
		return ""
	}
	ip, outside := net.ParseIP(host), k.Config.Cluster.AdvertiseHost
	switch {
	case outside == "" || ip == nil || !ip.IsLoopback() && !ip.IsUnspecified():
		return net.JoinHostPort(host, port)
	case ip.IsUnspecified():
		return net.JoinHostPort(outside, port)
	case net.ParseIP(outside).IsLoopback():
		return net.JoinHostPort(host, port)
	}
	return ""
}

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

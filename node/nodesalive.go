package node

import (
	"slices"
	"sync"

	"streamgate/node/cluster"
)

// goneNodes knows which nodes were there and are no more. A node that this one has
// never heard of may have come while the registry was away, so it counts as alive;
// so does everybody while the registry does not even name this node.
type goneNodes struct {
	registry cluster.Registry
	self     string

	mu   sync.Mutex
	seen map[bootOf]bool
}

type bootOf struct{ node, boot string }

// watch notes who is there until done is closed.
func (g *goneNodes) watch(done <-chan struct{}) {
	for {
		changed := g.registry.Changed()
		g.note(g.registry.Instances())
		select {
		case <-done:
			return
		case <-changed:
		}
	}
}

// maxSeen bounds what is remembered: boots of nodes, over a node's life.
const maxSeen = 100_000

func (g *goneNodes) note(there []cluster.Instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil || len(g.seen) > maxSeen {
		g.seen = map[bootOf]bool{}
	}
	for _, i := range there {
		g.seen[bootOf{i.ID, i.Boot}] = true
	}
}

// alive tells whether a boot of a node may still run.
func (g *goneNodes) alive(node, boot string) bool {
	there := g.registry.Instances()
	g.note(there)
	is := func(id string) func(cluster.Instance) bool {
		return func(i cluster.Instance) bool { return i.ID == id }
	}
	if !slices.ContainsFunc(there, is(g.self)) {
		return true
	}
	if at := slices.IndexFunc(there, is(node)); at >= 0 {
		return there[at].Boot == boot // a node has one boot at a time: see Registry.Announce
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.seen[bootOf{node, boot}]
}

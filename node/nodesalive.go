package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"streamgate/node/cluster"
)

// livingNodes is the one answer to whether a start of a node may still run: whose
// leases are taken back, and whose uploads others may finish. What is taken from a
// node that lives all the same is safe, since jobs and uploads are fenced, but its
// work is lost. So a node counts as alive
//
//   - when the registry names it, with this very boot: a node has one at a time;
//   - as long as the registry does not even name this node, or is away;
//   - if this node has never heard of it, for strangersLive after it was first asked
//     for: it may have come a moment ago.
//
// Whoever was named and is not any more is gone at once.
type livingNodes struct {
	registry cluster.Registry
	self     string
	now      func() time.Time

	mu        sync.Mutex
	seen      map[bootOf]bool
	strangers map[bootOf]time.Time // since when they are asked for
}

type bootOf struct{ node, boot string }

// strangersLive is twice the time for which the registry keeps a silent node.
const strangersLive = 30 * time.Second

// living knows the nodes from now on; nil where this node is alone.
func (k *Kernel) living() func(node, boot string) bool {
	if !k.clustered() {
		return nil
	}
	k.livesOnce.Do(func() {
		l := &livingNodes{registry: k.Registry, self: k.NodeID, now: time.Now}
		k.lives = l.alive
		k.Go("living nodes", func(ctx context.Context) error {
			l.watch(ctx.Done())
			return nil
		})
	})
	return k.lives
}

// watch notes who is there until done is closed.
func (l *livingNodes) watch(done <-chan struct{}) {
	for {
		changed := l.registry.Changed()
		l.note(l.registry.Instances())
		select {
		case <-done:
			return
		case <-changed:
		}
	}
}

// maxSeen bounds what is remembered: boots of nodes, over a node's life.
const maxSeen = 100_000

func (l *livingNodes) note(there []cluster.Instance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil || len(l.seen) > maxSeen {
		l.seen = map[bootOf]bool{}
	}
	for _, i := range there {
		l.seen[bootOf{i.ID, i.Boot}] = true
	}
}

// alive tells whether a boot of a node may still run.
func (l *livingNodes) alive(node, boot string) bool {
	current, there := l.registry.Current(), l.registry.Instances()
	l.note(there)
	is := func(id string) func(cluster.Instance) bool {
		return func(i cluster.Instance) bool { return i.ID == id }
	}
	if !slices.ContainsFunc(there, is(l.self)) {
		return true
	}
	if at := slices.IndexFunc(there, is(node)); at >= 0 {
		return there[at].Boot == boot
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.seen[bootOf{node, boot}] && l.mayBeNew(bootOf{node, boot}, current)
}

// mayBeNew tells whether a boot that was never named may have come a moment ago. It
// needs the lock.
func (l *livingNodes) mayBeNew(b bootOf, current bool) bool {
	if !current || l.strangers == nil || len(l.strangers) > maxSeen {
		l.strangers = map[bootOf]time.Time{} // count again: many may have come meanwhile
	}
	if _, asked := l.strangers[b]; !asked {
		l.strangers[b] = l.now()
	}
	return !current || l.now().Sub(l.strangers[b]) < strangersLive
}

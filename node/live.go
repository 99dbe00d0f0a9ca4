package node

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"streamgate/node/cluster"
)

// live is what of the configuration changes while the node runs.
type live struct {
	inForce atomic.Pointer[Config] // as the node started, and what has changed since

	mu     sync.Mutex
	takers []*taker
}

// taker is a part that takes changes of some keys.
type taker struct {
	keys  []string // or sections
	apply func(*Config)
}

func (t *taker) takes(key string) bool {
	return slices.ContainsFunc(t.keys, func(k string) bool { return inSection(key, k) })
}

// Live has apply called with the configuration in force whenever one of these keys,
// or a key of these sections, changes while the node runs; from another goroutine,
// and one call at a time. Call it from Start only: it ends with the part.
func (k *Kernel) Live(apply func(*Config), keys ...string) {
	t := &taker{keys: keys, apply: apply}
	k.live.mu.Lock()
	defer k.live.mu.Unlock()
	k.live.takers = append(k.live.takers, t)
	context.AfterFunc(k.scope.ctx, func() {
		k.live.mu.Lock()
		defer k.live.mu.Unlock()
		k.live.takers = slices.DeleteFunc(k.live.takers, func(other *taker) bool { return other == t })
	})
}

// InForce is the configuration as the node has it now; nobody changes it.
func (k *Kernel) InForce() *Config {
	if now := k.live.inForce.Load(); now != nil {
		return now
	}
	return k.Config
}

// change takes the keys of next that a part takes, and returns them and the others.
func (l *live) change(now *Config, next []leaf) (taken, waiting []leaf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := *now
	var takers []*taker
	for _, leaf := range next {
		t := slices.IndexFunc(l.takers, func(t *taker) bool { return t.takes(leaf.key) })
		if t < 0 {
			waiting = append(waiting, leaf)
			continue
		}
		taken = append(taken, leaf)
		if in, err := findLeaf(&changed, leaf.key); err == nil {
			in.value.Set(leaf.value)
		}
		for _, t := range l.takers {
			if t.takes(leaf.key) && !slices.Contains(takers, t) {
				takers = append(takers, t)
			}
		}
	}
	l.inForce.Store(&changed)
	for _, t := range takers {
		t.apply(&changed)
	}
	return taken, waiting
}

// follower keeps the node's configuration in step with what is shared.
type follower struct {
	k       *Kernel
	layers  *Layers
	current *Shared // as it would be if the node started now
}

// followShared takes the shared configuration into that of the node, before the
// parts that use it start, and follows it from then on.
func (k *Kernel) followShared(ctx context.Context, registry *cluster.Consul) error {
	if k.layers == nil {
		return nil
	}
	values, err := registry.Shared(ctx)
	if err != nil {
		return err
	}
	f := &follower{k: k, layers: k.layers}
	if f.current, err = k.layers.With(values, nil); err != nil {
		return err
	}
	f.refuse(nil)
	k.Config = f.current.Config
	k.followLevel()
	k.Go("shared configuration", func(ctx context.Context) error { return registry.WatchShared(ctx, values, f.take) })
	return nil
}

// take takes what is shared now.
func (f *follower) take(values map[string]string) {
	next, err := f.layers.With(values, f.current.Used)
	if err != nil {
		f.k.Log.Error("put the shared configuration upon the node's own", "err", err)
		return
	}
	before := f.current
	f.current = next
	f.refuse(before.Refused)
	taken, waiting := f.k.live.change(f.k.InForce(), different(before.Config, next.Config))
	for _, l := range taken {
		f.k.Log.Info("the configuration has changed", "key", l.key, "value", l.text())
	}
	for _, l := range waiting {
		f.k.Log.Warn("the configuration has changed, which this node takes in when it is started again", "key", l.key, "value", l.text())
	}
}

// refuse tells of the values that cannot be used and were not told of before.
func (f *follower) refuse(told map[string]error) {
	for key, err := range f.current.Refused {
		if old, ok := told[key]; !ok || old.Error() != err.Error() {
			f.k.Log.Error("a value of the shared configuration is refused; the one before it stays", "key", key, "err", reason(key, err))
		}
	}
}

// followLevel gives the log the level in force, if it can be given another.
func (k *Kernel) followLevel() {
	log, ok := k.Log.Handler().(leveled)
	if !ok {
		return
	}
	log.level.Set(k.Config.Log.level())
	k.Live(func(c *Config) { log.level.Set(c.Log.level()) }, "log.level")
}

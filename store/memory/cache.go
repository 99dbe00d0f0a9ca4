package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"streamgate/store"
)

// DefaultEntries is how many entries of each kind a Cache holds.
const DefaultEntries = 100_000

// Options tune a Cache. The zero value is what a node uses.
type Options struct {
	// Entries is how many values, and how many rate limits, are held at most;
	// 0 is DefaultEntries.
	Entries int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Cache implements store.Cache in memory.
type Cache struct {
	now func() time.Time

	mu      sync.Mutex
	values  *recent[value]
	buckets *recent[bucket]
	sets    *recent[members]
}

var _ store.Cache = (*Cache)(nil)

// members are those of a set, and until when.
type members map[string]time.Time

type value struct {
	data    []byte
	expires time.Time
}

// NewCache returns an empty cache.
func NewCache(opts Options) *Cache {
	entries := opts.Entries
	if entries <= 0 {
		entries = DefaultEntries
	}
	c := &Cache{now: opts.Now, values: newRecent[value](entries), buckets: newRecent[bucket](entries), sets: newRecent[members](entries)}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// Get implements store.Cache.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.get(key)
}

// Set implements store.Cache.
func (c *Cache) Set(ctx context.Context, key string, data []byte, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ttl <= 0 {
		return fmt.Errorf("cache %s: it would live for %v", key, ttl)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values.put(key, value{bytes.Clone(data), c.now().Add(ttl)})
	return nil
}

// Take implements store.Cache.
func (c *Cache) Take(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := c.get(key)
	c.values.remove(key)
	return data, err
}

// Allow implements store.Cache.
func (c *Cache) Allow(ctx context.Context, key string, rate float64, burst int) (store.Allowance, error) {
	if err := ctx.Err(); err != nil {
		return store.Allowance{}, err
	}
	if !(rate > 0) || burst < 1 {
		return store.Allowance{}, fmt.Errorf("limit %s: %v tokens a second up to %d would never let anything pass", key, rate, burst)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	b, ok := c.buckets.get(key)
	if !ok {
		b = bucket{tokens: float64(burst), filled: now}
	}
	b, allowed := b.spend(now, rate, float64(burst))
	c.buckets.put(key, b)
	return allowed, nil
}

// Enter implements store.Cache.
func (c *Cache) Enter(ctx context.Context, set, member string, most int, ttl time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if ttl <= 0 {
		return false, fmt.Errorf("set %s: a member would be in it for %v", set, ttl)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	in, ok := c.sets.get(set)
	if !ok {
		in = members{}
		c.sets.put(set, in)
	}
	if until, there := in[member]; most > 0 && (!there || !now.Before(until)) && len(in) >= most {
		maps.DeleteFunc(in, func(_ string, until time.Time) bool { return !now.Before(until) })
		if len(in) >= most {
			return false, nil
		}
	}
	in[member] = now.Add(ttl)
	return true, nil
}

// Leave implements store.Cache.
func (c *Cache) Leave(ctx context.Context, set, member string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if in, ok := c.sets.get(set); ok {
		if delete(in, member); len(in) == 0 {
			c.sets.remove(set)
		}
	}
	return nil
}

// get returns a copy of a value that is still good.
func (c *Cache) get(key string) ([]byte, error) {
	v, ok := c.values.get(key)
	if !ok || !c.now().Before(v.expires) {
		c.values.remove(key)
		return nil, fmt.Errorf("cached %s: %w", key, store.ErrNotFound)
	}
	return bytes.Clone(v.data), nil
}

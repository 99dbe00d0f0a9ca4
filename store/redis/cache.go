package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"streamgate/store"
)

const (
	values         = "streamgate/value/" // what keys begin with
	limits         = "streamgate/limit/"
	sets           = "streamgate/set/"
	defaultTimeout = 500 * time.Millisecond
	// awayFor is how long no call is tried after one that failed: each would
	// wait for the timeout.
	awayFor = time.Second
)

// Options say where the server is.
type Options struct {
	// URL of the server: redis, rediss or unix.
	URL string
	// Local answers Allow, and counts the members of sets, while the server is away.
	Local store.Cache
	// Timeout bounds each call, connecting included; 0 is 500 ms.
	Timeout time.Duration
	// Now is the clock; nil is the server's.
	Now func() time.Time
}

// Cache implements store.Cache on a Redis server.
type Cache struct {
	client *redis.Client
	local  store.Cache
	now    func() time.Time
	away   atomic.Int64 // until when no call is tried, Unix nanoseconds
}

var _ store.Cache = (*Cache)(nil)

// NewCache returns the cache on a server. It need not be there yet.
func NewCache(opts Options) (*Cache, error) {
	o, err := redis.ParseURL(opts.URL)
	if err != nil {
		return nil, fmt.Errorf("the address of Redis is not one: write redis://HOST:6379/0 or rediss://…, with user and password if it has any: %w", err)
	}
	timeout := cmp.Or(opts.Timeout, defaultTimeout)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
	o.MaxRetries = -1 // a script that has run must not run again
	o.DialerRetries = 1
	o.ContextTimeoutEnabled = true
	redis.SetLogger(quiet{})
	return &Cache{client: redis.NewClient(o), local: opts.Local, now: opts.Now}, nil
}

// quiet drops what the client would write to standard error: each call returns
// its own error.
type quiet struct{}

// Printf implements the client's interface of loggers.
func (quiet) Printf(context.Context, string, ...any) {}

// Close ends the connections.
func (c *Cache) Close() error { return c.client.Close() }

// Get implements store.Cache.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	return c.value(ctx, get, key)
}

// Take implements store.Cache.
func (c *Cache) Take(ctx context.Context, key string) ([]byte, error) {
	return c.value(ctx, take, key)
}

func (c *Cache) value(ctx context.Context, script *redis.Script, key string) ([]byte, error) {
	got, err := c.run(ctx, script, values+key)
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("cached %s: %w", key, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("cached %s: %w", key, err)
	}
	text, ok := got.(string)
	if !ok {
		return nil, fmt.Errorf("cached %s: the server answered %T", key, got)
	}
	return []byte(text), nil
}

// Set implements store.Cache.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl <= 0 {
		return fmt.Errorf("cache %s: it would live for %v", key, ttl)
	}
	if _, err := c.run(ctx, set, values+key, value, max(1, ttl.Microseconds())); err != nil {
		return fmt.Errorf("cache %s: %w", key, err)
	}
	return nil
}

// Allow implements store.Cache. While the server is away it is Options.Local's.
func (c *Cache) Allow(ctx context.Context, key string, rate float64, burst int) (store.Allowance, error) {
	if !(rate > 0) || burst < 1 {
		return store.Allowance{}, fmt.Errorf("limit %s: %v tokens a second up to %d would never let anything pass", key, rate, burst)
	}
	got, err := c.run(ctx, allow, limits+key, rate, burst)
	if errors.Is(err, store.ErrUnavailable) && c.local != nil {
		return c.local.Allow(ctx, key, rate, burst)
	}
	if err != nil {
		return store.Allowance{}, fmt.Errorf("limit %s: %w", key, err)
	}
	numbers, ok := got.([]any)
	if !ok || len(numbers) != 3 {
		return store.Allowance{}, fmt.Errorf("limit %s: the server answered %v", key, got)
	}
	passed, left, next := number(numbers[0]), number(numbers[1]), number(numbers[2])
	return store.Allowance{OK: passed == 1, Left: int(left), Next: time.Duration(next) * time.Microsecond}, nil
}

// Enter implements store.Cache. While the server is away it is Options.Local's.
func (c *Cache) Enter(ctx context.Context, set, member string, most int, ttl time.Duration) (bool, error) {
	if ttl <= 0 {
		return false, fmt.Errorf("set %s: a member would be in it for %v", set, ttl)
	}
	got, err := c.run(ctx, enter, sets+set, member, max(0, most), max(1, ttl.Microseconds()))
	if errors.Is(err, store.ErrUnavailable) && c.local != nil {
		return c.local.Enter(ctx, set, member, most, ttl)
	}
	if err != nil {
		return false, fmt.Errorf("set %s: %w", set, err)
	}
	return number(got) == 1, nil
}

// Leave implements store.Cache.
func (c *Cache) Leave(ctx context.Context, set, member string) error {
	if c.local != nil { // where it entered while the server was away
		if err := c.local.Leave(ctx, set, member); err != nil {
			return err
		}
	}
	if _, err := c.run(ctx, leave, sets+set, member); err != nil {
		return fmt.Errorf("set %s: %w", set, err)
	}
	return nil
}

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}

// run runs a script. An error that the server has not sent is store.ErrUnavailable,
// and so is one that says it cannot serve just now.
func (c *Cache) run(ctx context.Context, script *redis.Script, key string, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if time.Now().UnixNano() < c.away.Load() {
		return nil, fmt.Errorf("redis: %w", store.ErrUnavailable)
	}
	var now int64 // the server's
	if c.now != nil {
		now = c.now().UnixMicro()
	}
	got, err := script.Run(ctx, c.client, []string{key}, append([]any{now}, args...)...).Result()
	if err == nil || errors.Is(err, redis.Nil) {
		return got, err
	}
	if err = failure(ctx, err); errors.Is(err, store.ErrUnavailable) {
		c.away.Store(time.Now().Add(awayFor).UnixNano())
	}
	return nil, err
}

// unable tells the answers of a server that cannot serve just now: it reads its
// data, has become a replica, or has lost its own.
func unable(err error) bool {
	for _, word := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"} {
		if redis.HasErrorPrefix(err, word) {
			return true
		}
	}
	return false
}

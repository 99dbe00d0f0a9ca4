package cluster

import (
	"context"
	"maps"
	"strings"

	"github.com/hashicorp/consul/api"
)

// Bounds of the shared configuration.
const (
	maxSharedKeys  = 1000
	maxSharedValue = 64 << 10 // bytes
)

// Shared reads the configuration that the deployment's nodes share: the value of
// PREFIX/config/KEY by KEY. A value over 64 kB, and a key after the first thousand,
// is left out.
func (c *Consul) Shared(ctx context.Context) (map[string]string, error) {
	values, _, err := c.readShared(ctx, 0)
	return values, err
}

// WatchShared calls take with the shared configuration whenever it is not what it
// was, at first known, until ctx is done. While Consul is away nothing has changed.
func (c *Consul) WatchShared(ctx context.Context, known map[string]string, take func(map[string]string)) error {
	failed := backoff{most: mostRetry}
	var index uint64
	for ctx.Err() == nil {
		values, next, err := c.readShared(ctx, index)
		if err != nil {
			index = 0
			sleep(ctx, failed.next())
			continue
		}
		failed.reset()
		if next < index { // Consul began anew
			next = 0
		}
		if index = next; !maps.Equal(known, values) {
			known = values
			take(values)
		}
		sleep(ctx, jittered(firstRetry/4)) // a change of many keys is read as one
	}
	return nil
}

// readShared reads the shared configuration, once there is something newer than
// index.
func (c *Consul) readShared(ctx context.Context, index uint64) (map[string]string, uint64, error) {
	wait := waitLimit
	if index == 0 {
		wait = 0
	}
	ctx, cancel := context.WithTimeout(ctx, wait+wait/8+callLimit)
	defer cancel()
	prefix := c.prefix + "/config/"
	pairs, meta, err := c.client.KV().List(prefix, waiting(ctx, index, wait))
	if err != nil {
		return nil, 0, failure("read the shared configuration from Consul", err)
	}
	return sharedOf(prefix, pairs), max(1, meta.LastIndex), nil
}

func sharedOf(prefix string, pairs api.KVPairs) map[string]string {
	values := map[string]string{}
	for _, p := range pairs {
		key := strings.TrimPrefix(p.Key, prefix)
		folder := key == "" || strings.HasSuffix(key, "/") // as Consul's own pages make them
		if !folder && len(p.Value) <= maxSharedValue && len(values) < maxSharedKeys {
			values[key] = string(p.Value)
		}
	}
	return values
}

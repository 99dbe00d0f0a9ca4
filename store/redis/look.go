package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"streamgate/store"
)

// ValidURL tells whether a URL can be one of a server.
func ValidURL(url string) bool {
	_, err := redis.ParseURL(url)
	return err == nil
}

// Report is what a look at a server finds.
type Report struct {
	Server string // its version, like 7.0.15
	Policy string // its maxmemory-policy; noeviction is wanted
}

// Look looks at a server and changes nothing: store.ErrUnavailable.
func Look(ctx context.Context, url string) (Report, error) {
	c, err := NewCache(Options{URL: url})
	if err != nil {
		return Report{}, err
	}
	defer c.Close() //nolint:errcheck // nothing was changed
	var r Report
	for section, fields := range map[string]map[string]*string{
		"server": {"redis_version": &r.Server},
		"memory": {"maxmemory_policy": &r.Policy},
	} {
		text, err := c.client.Info(ctx, section).Result()
		if err != nil {
			return Report{}, failure(ctx, err)
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if into := fields[name]; into != nil {
				*into = value
			}
		}
	}
	return r, nil
}

// Ping asks whether the server is there: store.ErrUnavailable.
func (c *Cache) Ping(ctx context.Context) error {
	if err := c.client.Ping(ctx).Err(); err != nil {
		return failure(ctx, err)
	}
	c.away.Store(0) // there is no reason to wait
	return nil
}

// failure is the error of a command that ended with err.
func failure(ctx context.Context, err error) error {
	var said redis.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &said) && !unable(err):
		return err
	}
	return fmt.Errorf("redis: %w: %w", store.ErrUnavailable, err)
}

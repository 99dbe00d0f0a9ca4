package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sync/errgroup"

	"streamgate/store"
)

// Options tune a Consul. The zero value is for use.
type Options struct {
	// TTL is how long a node that no longer says that it lives is still believed
	// to; it says so three times as often. Default: 15 s. Consul takes 10 s at
	// least, unless its own session_ttl_min is less.
	TTL time.Duration
	// Place is where the node's identity is kept, if at most one process at a time
	// can be at that place: another boot from there is then known to be dead, and its
	// claim is taken over at once. Default: empty, a claim stands until its TTL ends.
	Place string
	// Held is told when another boot has the identity, and Claim waits for it to end
	// or to be known to live.
	Held func(boot string)
}

const (
	defaultTTL = 15 * time.Second
	// deregisterAfter is when Consul forgets a node that is dead. Nobody is sent
	// there long before: it is Consul's own least value, for tidiness.
	deregisterAfter = time.Minute
	// callLimit bounds one call that does not wait for a change.
	callLimit = 5 * time.Second
	// waitLimit is how long one call waits for a change.
	waitLimit = time.Minute
	// firstRetry is the pause after a first failure; it doubles up to mostRetry.
	firstRetry = 250 * time.Millisecond
	mostRetry  = 10 * time.Second
)

// Consul is the registry of many nodes, which a Consul agent keeps.
//
// A node is one service PREFIX, which says all about it and has the one check that
// the node renews, and a service PREFIX-ROLE for each role, whose check follows
// that one: for people, DNS and Prometheus. The nodes ask for the first only.
//
// What changes all the time, the load, is in the key PREFIX/nodes/ID. A change
// there wakes nobody: each node reads all of them every few seconds. (A check's
// output would reach the others minutes late, and a registration would wake
// everyone.) The key is also the claim on the node's identity: it is held by a
// session that the node renews, and goes with it.
type Consul struct {
	known
	client    *api.Client
	transport *http.Transport
	prefix    string
	opts      Options

	mu    sync.Mutex // one claim, announcement, renewal or withdrawal at a time
	self  self
	named atomic.Pointer[string] // the ID that is announced
	view  view
}

var _ Registry = (*Consul)(nil)

// OpenConsul reads which nodes there are; store.ErrUnavailable if Consul does not
// say. Run keeps that fresh.
func OpenConsul(ctx context.Context, address Address, opts Options) (*Consul, error) {
	opts.TTL = cmp.Or(opts.TTL, defaultTTL)
	cfg := api.DefaultConfig() // and CONSUL_CACERT and its like, of the environment
	cfg.Address, cfg.Scheme = address.Host, "http"
	if address.TLS {
		cfg.Scheme = "https"
	}
	if address.Token != "" {
		cfg.Token, cfg.TokenFile = address.Token, ""
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Consul: %w", err)
	}
	c := &Consul{client: client, transport: cfg.Transport, prefix: address.Prefix, opts: opts}
	c.view.grace = opts.TTL
	if _, err := c.readNodes(ctx, 0, 0); err != nil {
		return nil, err
	}
	return c, c.readLoads(ctx)
}

// Run keeps the node alive in the eyes of the others, and the others in its own,
// until ctx is done. ErrDuplicate, when another boot has taken the node's identity
// while Consul did not hear of this one.
func (c *Consul) Run(ctx context.Context) error {
	defer c.transport.CloseIdleConnections()
	loops, ctx := errgroup.WithContext(ctx)
	loops.Go(func() error { return c.again(ctx, c.opts.TTL/3, c.renew) })
	loops.Go(func() error { return c.again(ctx, c.opts.TTL/3, c.readLoads) })
	loops.Go(func() error { return c.watchNodes(ctx) })
	return loops.Wait()
}

// again does a step every so often, sooner after a failure, until it says
// ErrDuplicate or ctx is done.
func (c *Consul) again(ctx context.Context, every time.Duration, step func(context.Context) error) error {
	failed := backoff{most: every}
	for {
		err := step(ctx)
		if errors.Is(err, ErrDuplicate) {
			return err
		}
		pause := jittered(every)
		if err != nil {
			pause = failed.next()
		} else {
			failed.reset()
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// Ping says whether Consul is there and can decide.
func (c *Consul) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	leader, err := c.client.Status().LeaderWithQueryOptions(query(ctx))
	if err == nil && leader == "" {
		return fmt.Errorf("consul has no leader: %w", store.ErrUnavailable)
	}
	return failure("ask for Consul's leader", err)
}

// failure says in which way a call of Consul failed: for now, or by what it was.
func failure(doing string, err error) error {
	var status api.StatusError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &status), status.Code >= 500, status.Code == http.StatusTooManyRequests:
		return fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, err)
	case status.Code == http.StatusForbidden, status.Code == http.StatusUnauthorized:
		return fmt.Errorf("%s: Consul refuses the token of the address; it needs write on service_prefix, key_prefix and session_prefix, and read on node_prefix: %w", doing, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// isStatus tells whether Consul answered with a status, and with a text in it.
func isStatus(err error, code int, text string) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == code && strings.Contains(status.Body, text)
}

func query(ctx context.Context) *api.QueryOptions   { return (&api.QueryOptions{}).WithContext(ctx) }
func writing(ctx context.Context) *api.WriteOptions { return (&api.WriteOptions{}).WithContext(ctx) }

// waiting asks for what is newer than an index, for that long; everything at once
// with index 0. Any server of Consul may answer: one without a leader too.
func waiting(ctx context.Context, index uint64, wait time.Duration) *api.QueryOptions {
	q := &api.QueryOptions{WaitIndex: index, WaitTime: wait, AllowStale: true}
	return q.WithContext(ctx)
}

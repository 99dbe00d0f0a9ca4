package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The roles of a cluster's nodes, as --role takes them.
const (
	roleGateway    = "api-gateway"
	roleUpload     = "upload"
	roleTranscoder = "transcoder"
	roleStreaming  = "streaming"
	roleMetadata   = "metadata"
	roleMonitor    = "monitor"
)

// cluster is nodes on the servers that they share. Each node has a data directory of
// its own, and the settings that all have.
type cluster struct {
	*bench
	*stores
	settings string
	media    string // the address of the bucket, as nodes are told it from now on
	front    *node  // the gateway
	token    string // by which nodes join
	nodes    []*node
}

// startCluster runs a node of each of these roles, the first of which has the CA, and
// the gateway after them. They are ready when it returns.
func (b *bench) startCluster(ctx context.Context, settings string, roles ...string) (c *cluster, err error) {
	c = &cluster{bench: b, settings: settings}
	if c.stores, err = startStores(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, c.said())
			c.stop()
		}
	}()
	c.media = c.minio.URL(c.bucket)
	if c.front, err = c.newNode(roleGateway); err != nil { // its address is everyone's public URL
		return nil, err
	}
	first, err := c.newNode(roles[0])
	if err != nil {
		return nil, err
	}
	if err := c.found(ctx, first); err != nil {
		return nil, err
	}
	for _, role := range roles[1:] {
		if _, err := c.start(ctx, role); err != nil {
			return nil, err
		}
	}
	return c, c.run(ctx, c.front)
}

// found makes the CA on a node and runs it.
func (c *cluster) found(ctx context.Context, first *node) error {
	if out, err := command(ctx, c.binary, "ca", "init", "--data", first.data()).CombinedOutput(); err != nil {
		return fmt.Errorf("ca init: %w: %s", err, out)
	}
	token, err := command(ctx, c.binary, "ca", "token", "--data", first.data(), "--address", first.listen).Output()
	if err != nil {
		return fmt.Errorf("ca token: %w", err)
	}
	c.token = strings.TrimSpace(string(token))
	return c.run(ctx, first)
}

// newNode prepares a node of a role, with further arguments for serve.
func (c *cluster) newNode(role string, args ...string) (*node, error) {
	n, err := c.bench.newNode(c.settings)
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	front := n
	if c.front != nil {
		front = c.front
	}
	n.role, n.listen = role, addrs[0]
	n.args = append([]string{"--role", role, "--set", "cluster.listen=" + n.listen, "--set", "cluster.events=" + addrs[1]}, args...)
	n.env = []string{
		"STREAMGATE_DEPLOYMENT_MODE=cluster", "STREAMGATE_API_GATEWAY_PUBLIC_URL=" + front.url,
		"STREAMGATE_RECORDS_URL=" + c.pg.Address("postgres"), "STREAMGATE_CACHE_URL=" + c.redis.URL(),
		"STREAMGATE_MEDIA_URL=" + c.media, "STREAMGATE_CLUSTER_REGISTRY=" + c.consul.URL("bench"),
	}
	return n, nil
}

// start runs a new node of a role.
func (c *cluster) start(ctx context.Context, role string, args ...string) (*node, error) {
	n, err := c.newNode(role, args...)
	if err != nil {
		return nil, err
	}
	return n, c.run(ctx, n)
}

// run starts a node that was prepared, which joins.
func (c *cluster) run(ctx context.Context, n *node) error {
	n.env = append(n.env, "STREAMGATE_CLUSTER_JOIN_TOKEN="+c.token)
	if err := n.start(ctx); err != nil {
		os.RemoveAll(n.dir)
		return fmt.Errorf("the %s node: %w", n.role, err)
	}
	c.nodes = append(c.nodes, n)
	return nil
}

// remove ends a node in order, and removes what it kept.
func (c *cluster) remove(n *node) error {
	c.nodes = slices.DeleteFunc(c.nodes, func(other *node) bool { return other == n })
	return n.stop()
}

// of are the nodes of a role.
func (c *cluster) of(role string) (nodes []*node) {
	for _, n := range c.nodes {
		if n.role == role {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (c *cluster) stop() {
	for _, n := range slices.Backward(c.nodes) {
		n.kill()
	}
	c.close()
}

// said is the end of each node's log, for errors.
func (c *cluster) said() string {
	var said strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&said, "the %s node:\n%s\n", n.role, n.said())
	}
	return said.String()
}

// foreignFilm is a film that must be encoded, and how long it is.
func (b *bench) foreignFilm(ctx context.Context) (file, length string, err error) {
	src, length := foreign10min, "10 min"
	if b.quick {
		src, length = foreign30s, "30 s"
	}
	file, err = b.sources.file(ctx, src)
	return file, length, err
}

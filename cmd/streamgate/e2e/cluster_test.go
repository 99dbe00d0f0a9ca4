package e2e

import (
	"slices"
	"strings"
	"testing"

	"streamgate/store/servertest"
)

// fleet is a cluster of processes on the servers that it shares.
type fleet struct {
	t      *testing.T
	on     *servers
	consul *servertest.Consul
	config string
	nodes  map[string]*node // by their roles
	token  string
}

// roles are one process each.
var roles = []string{"metadata", "monitor", "transcoder", "upload", "streaming", "api-gateway"}

// startFleet runs a node of each role; the gateway is in front. It skips the test
// where a server is missing.
func startFleet(t *testing.T, config string) *fleet {
	t.Helper()
	f := &fleet{t: t, on: startAllServers(t), config: config, nodes: map[string]*node{}}
	f.consul = servertest.NeedConsul(t, "../../../bin/consul")
	// The gateway's address is everyone's public URL.
	front := f.node("api-gateway")
	first := f.node("metadata")
	first.ctl("ca", "init")
	f.token = strings.TrimSpace(first.ctl("ca", "token", "--address", first.listens("cluster.listen")))
	for _, role := range roles {
		n := f.node(role)
		n.env = append(n.env, "STREAMGATE_API_GATEWAY_PUBLIC_URL="+front.url, "STREAMGATE_CLUSTER_JOIN_TOKEN_FILE="+writeFile(t, "token", f.token+"\n"))
		n.start()
	}
	return f
}

// node is the node of roles, made if it is new.
func (f *fleet) node(of string) *node {
	f.t.Helper()
	if n := f.nodes[of]; n != nil {
		return n
	}
	ports := freePorts(f.t, 2)
	n := newNode(f.t, "--config", f.config, "--role", of, "--set", "deployment.mode=cluster",
		"--set", "cluster.listen=127.0.0.1:"+ports[0], "--set", "cluster.events=127.0.0.1:"+ports[1], "--set", "access.ticket_ttl=2m")
	n.env = []string{
		"STREAMGATE_RECORDS_URL_FILE=" + writeFile(f.t, "records", f.on.pg.Address("postgres")+"\n"),
		"STREAMGATE_CACHE_URL_FILE=" + writeFile(f.t, "cache", f.on.redis.URL()+"\n"),
		"STREAMGATE_MEDIA_URL_FILE=" + writeFile(f.t, "media", f.on.media+"\n"),
		"STREAMGATE_CLUSTER_REGISTRY_FILE=" + writeFile(f.t, "registry", "consul://"+f.consul.Address()+"\n"),
	}
	n.made = f.on.made
	f.nodes[of] = n
	return n
}

// listens is what a node is told by --set KEY=VALUE.
func (n *node) listens(key string) string {
	i := slices.IndexFunc(n.args, func(a string) bool { return strings.HasPrefix(a, key+"=") })
	return strings.TrimPrefix(n.args[i], key+"=")
}

// TestCluster tells the story of TestBackends on a node of each role.
func TestCluster(t *testing.T) {
	chain := startChain(t)
	f := startFleet(t, gatedConfig(t, chain))
	tellStory(t, chain, f.node("api-gateway"))
}

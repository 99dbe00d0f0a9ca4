package e2e

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"streamgate/store/servertest"
)

// fleet is a cluster of processes on the servers that it shares.
type fleet struct {
	t       *testing.T
	on      *servers
	consul  *servertest.Consul
	config  string
	nodes   map[string]*node // by their names
	front   *node            // the gateway
	proxied bool             // before the gateways is a proxy, which says 502 where one dies
	token   string
	links   *links // between the nodes, or nil
}

// startFleet runs nodes of these roles, the first of which has the CA; one named
// "streaming 2" is another streaming node. It skips the test where a server is
// missing.
func startFleet(t *testing.T, config string, names ...string) *fleet {
	t.Helper()
	f := newFleet(t, config)
	f.run(names...)
	return f
}

// newFleet is startFleet before any node.
func newFleet(t *testing.T, config string) *fleet {
	t.Helper()
	f := &fleet{t: t, on: startAllServers(t), config: config, nodes: map[string]*node{}}
	f.consul = servertest.NeedConsul(t, "../../../bin/consul")
	return f
}

func (f *fleet) run(names ...string) {
	f.t.Helper()
	f.front = f.node("api-gateway") // whose address is everyone's public URL
	first := f.node(names[0])
	first.ctl("ca", "init")
	f.token = strings.TrimSpace(first.ctl("ca", "token", "--address", first.told("cluster.listen")))
	for _, name := range names {
		f.start(name)
	}
}

// node is the node of that name, made if it is new.
func (f *fleet) node(name string) *node {
	f.t.Helper()
	if f.nodes[name] == nil {
		f.nodes[name] = f.newNode(name)
	}
	return f.nodes[name]
}

// newNode makes a node that is not among those of the fleet yet.
func (f *fleet) newNode(name string) *node {
	f.t.Helper()
	ports := freePorts(f.t, 2)
	n := newNode(f.t, "--config", f.config, "--role", role(name), "--set", "deployment.mode=cluster",
		"--set", "cluster.listen=127.0.0.1:"+ports[0], "--set", "cluster.events=127.0.0.1:"+ports[1], "--set", "access.ticket_ttl=2m")
	if f.links != nil {
		n.args = append(n.args, "--set", "cluster.advertise_host="+between)
		f.links.listen(name, n.told("cluster.listen"), n.told("cluster.events"))
	}
	front := f.front
	if front == nil {
		front = n
	}
	n.env = []string{
		"STREAMGATE_RECORDS_URL_FILE=" + writeFile(f.t, "records", cmp.Or(f.on.records, f.on.pg.Address("postgres"))+"\n"),
		"STREAMGATE_CACHE_URL_FILE=" + writeFile(f.t, "cache", f.on.redis.URL()+"\n"),
		"STREAMGATE_MEDIA_URL_FILE=" + writeFile(f.t, "media", f.on.media+"\n"),
		"STREAMGATE_CLUSTER_REGISTRY_FILE=" + writeFile(f.t, "registry", "consul://"+f.consul.Address()+"\n"),
		"STREAMGATE_API_GATEWAY_PUBLIC_URL=" + front.url,
	}
	n.made = f.on.made
	return n
}

// start starts a node that joins.
func (f *fleet) start(name string) *node {
	n := f.node(name)
	f.invite(n)
	n.start()
	return n
}

// invite tells a node how it may join.
func (f *fleet) invite(n *node) { n.env = append(n.env, "STREAMGATE_CLUSTER_JOIN_TOKEN="+f.token) }

// told is what a node is told by --set KEY=VALUE.
func (n *node) told(key string) string {
	i := slices.IndexFunc(n.args, func(a string) bool { return strings.HasPrefix(a, key+"=") })
	return strings.TrimPrefix(n.args[i], key+"=")
}

// TestCluster tells the story of TestBackends on a node of each role, and a second
// transcoder; then looks at the nodes and at who gets in.
func TestCluster(t *testing.T) {
	chain := startChain(t)
	f := startFleet(t, gatedConfig(t, chain), "metadata", "monitor", "transcoder", "transcoder 2", "upload", "streaming", "api-gateway")
	tellStory(t, chain, f.front)
	f.wantNodes()
	f.wantClosed()
}

// TestClusterDrain: a node is drained from another one's socket and resumed on its
// own; one that was killed is removed at once, and its identity is free for the next
// start.
func TestClusterDrain(t *testing.T) {
	f := startFleet(t, writeFile(t, "streamgate.yaml", "transcoder: {worker_pool_size: 2}\n"), "metadata", "transcoder", "transcoder 2", "api-gateway")
	line := func(id string) string {
		for l := range strings.Lines(f.front.ctl("nodes", "list")) {
			if strings.HasPrefix(l, id) {
				return l
			}
		}
		return ""
	}
	var shown struct{ ID string }
	second := f.nodes["transcoder 2"]
	if err := json.Unmarshal([]byte(second.ctl("nodes", "show", "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	f.front.ctl("nodes", "drain", shown.ID, "--wait")
	if got := line(shown.ID); !strings.Contains(got, "drained") {
		t.Errorf("it is listed as %s", got)
	}
	if got := f.front.ctl("workers", "list"); !strings.Contains(got, shown.ID+"-worker-1") || !strings.Contains(got, "drained") {
		t.Errorf("workers of a drained node:\n%s", got)
	}
	second.ctl("nodes", "resume", shown.ID) // its own socket does as well
	f.front.poll("it to be ready", func() bool { return strings.Contains(line(shown.ID), "ready") })
	f.front.call("DELETE", "/api/v1/nodes/"+shown.ID, "", nil).want(t, "a removal by nobody", http.StatusUnauthorized)
	second.kill()
	f.front.ctl("nodes", "remove", shown.ID)
	if got := line(shown.ID); got != "" {
		t.Errorf("it is removed, and listed as %s", got)
	}
	second.start()
	f.front.poll("it to be back", func() bool { return strings.Contains(line(shown.ID), "ready") })
}

// gatewaysConf is a proxy before several gateways, as operators have it: a request
// that one cannot take, or which can be asked again, goes to the next.
const gatewaysConf = nginxHTTP + `
	upstream gateways { server NODE max_fails=0; }
	server {
		listen LISTEN;
		location / {
			proxy_pass http://gateways;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_request_buffering off;
			client_max_body_size 0;
		}
	}
}`

// behindProxy has everybody use a proxy before two gateways.
func (f *fleet) behindProxy() {
	f.t.Helper()
	f.proxied = true
	listen := "127.0.0.1:" + freePorts(f.t, 1)[0]
	var gateways []string
	for _, name := range []string{"api-gateway", "api-gateway 2"} {
		n := f.node(name)
		gateways = append(gateways, strings.TrimPrefix(n.url, "http://"))
		n.url = "http://" + listen
		n.env = append(n.env, "STREAMGATE_API_GATEWAY_PUBLIC_URL="+n.url)
	}
	startProxy(f.t, gatewaysConf, listen, strings.Join(gateways, " max_fails=0; server "), nginx)
}

// TestClusterKills kills the nodes of each role with -9, one after the other, while
// clients play, write, upload and have a video encoded: see TestClusterFaults. Each
// node that is started again is taken back. Of what a gateway is at when it dies, the
// player may have to ask for one thing again.
func TestClusterKills(t *testing.T) {
	chain := startChain(t)
	f := newFleet(t, gatedConfig(t, chain))
	f.behindProxy()
	f.run("metadata", "metadata 2", "monitor", "transcoder", "transcoder 2", "upload", "streaming", "streaming 2", "api-gateway", "api-gateway 2")
	c := f.clients(chain)
	c.viewer.may = 2 // one for each gateway
	for _, name := range []string{"streaming", "streaming 2", "metadata 2", "metadata", "transcoder", "transcoder 2", "upload", "monitor", "api-gateway", "api-gateway 2"} {
		c.now(name + " is killed")
		f.node(name).kill()
		f.front.poll("writes without "+name, c.served)
		f.node(name).start()
		f.front.poll(name+" to be back", func() bool { return f.ready() == len(f.nodes) })
	}
	c.ended()
}

// ready is how many nodes say that they are.
func (f *fleet) ready() int {
	var list struct{ Nodes []struct{ State string } }
	f.front.api(&list, "nodes")
	n := 0
	for _, node := range list.Nodes {
		if node.State == "ready" {
			n++
		}
	}
	return n
}

// wantNodes: every node is known and ready, and the workers of both transcoders.
func (f *fleet) wantNodes() {
	f.t.Helper()
	var list struct {
		Nodes []struct {
			ID, State string
			Roles     []string
		}
	}
	f.front.api(&list, "nodes")
	if len(list.Nodes) != len(f.nodes) {
		f.t.Errorf("%d nodes are known, want %d: %+v", len(list.Nodes), len(f.nodes), list.Nodes)
	}
	workers := f.front.ctl("workers", "list")
	for _, n := range list.Nodes {
		if n.State != "ready" {
			f.t.Errorf("node %+v", n)
		}
		if slices.Contains(n.Roles, "transcoder") && !strings.Contains(workers, n.ID+"-worker-1") {
			f.t.Errorf("no worker of %s is listed:\n%s", n.ID, workers)
		}
	}
	worker := strings.Fields(strings.Split(workers, "\n")[1])[0]
	f.front.ctl("workers", "drain", worker)
	f.front.poll("a drained worker", func() bool { return strings.Contains(f.front.ctl("workers", "list"), "drained") })
	f.front.ctl("workers", "resume", worker)
}

// wantClosed: who is no node of the deployment gets in by no port, whatever it says
// that it is; and none listens where others could reach it.
func (f *fleet) wantClosed() {
	f.t.Helper()
	const forged = "eyJTY29wZSI6NCwiVG8iOiJtZXRhZGF0YSJ9." // {"Scope":4,"To":"metadata"}
	anyone := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for name, n := range f.nodes {
		var listens []string
		for _, l := range n.listeners() {
			listens = append(listens, l)
			if !strings.HasPrefix(l, "127.0.0.1:") {
				f.t.Errorf("%s listens on %s", name, l)
			}
		}
		for _, at := range listening(f.t, n.cmd.Process.Pid) {
			if !slices.Contains(listens, at) {
				f.t.Errorf("%s listens on %s, which it does not tell: %v", name, at, listens)
			}
		}
		for _, base := range []string{"https://" + n.told("cluster.listen"), f.front.url} {
			req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, base+"/streamgate.Access/CreateKey", strings.NewReader(`{"scope":"admin"}`))
			if err != nil {
				f.t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Streamgate-Caller", forged)
			resp, err := anyone.Do(req)
			if err != nil {
				f.t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized || strings.Contains(string(body), "secret") {
				f.t.Errorf("%s: with a forged header %s says %s\n%s", name, base, resp.Status, body)
			}
		}
	}
}

// listeners are the addresses that a node tells of on its admin socket.
func (n *node) listeners() map[string]string {
	n.t.Helper()
	socket := filepath.Join(n.data, "run", "admin.sock")
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	resp, err := client.Get("http://node/readyz")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct{ Listeners map[string]string }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		n.t.Fatal(err)
	}
	delete(said.Listeners, "admin") // a socket in the data directory
	return said.Listeners
}

// listening are the TCP addresses that a process listens on.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	var out []string
	for _, s := range sockets(t, pid) {
		if s.listening {
			out = append(out, s.local)
		}
	}
	return out
}

// kernelAddress reads an IPv4 address as /proc/net/tcp writes it; of another it
// keeps the text.
func kernelAddress(t *testing.T, text string) string {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	ip, err := hex.DecodeString(host)
	n, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(ip) != net.IPv4len {
		return text
	}
	slices.Reverse(ip)
	return net.JoinHostPort(net.IP(ip).String(), strconv.FormatUint(n, 10))
}

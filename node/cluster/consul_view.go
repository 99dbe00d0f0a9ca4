package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// maxClaim bounds what is read of another node's key, bytes.
const maxClaim = 4 << 10

// view is the other nodes as Consul has them.
type view struct {
	grace time.Duration

	mu     sync.Mutex
	nodes  map[string]seen  // by ID
	claims map[string]claim // by ID
	lost   bool             // Consul has not answered since
	self   string           // that Consul has named and should go on naming; "" for none yet
	until  time.Time        // nodes that Consul does not name count until then
}

// seen is a node and how new its registration is.
type seen struct {
	Instance
	index uint64
	named bool // by Consul's last answer
}

// claim is the value of a node's key.
type claim struct {
	Boot  string  `json:"boot"`
	Place string  `json:"place,omitempty"`
	Load  float64 `json:"load"`
}

// watchNodes reads the nodes whenever there is a change of them.
func (c *Consul) watchNodes(ctx context.Context) error {
	failed := backoff{most: mostRetry}
	var index uint64
	for ctx.Err() == nil {
		next, err := c.readNodes(ctx, index, c.view.patience())
		if err != nil {
			index = 0 // whatever comes next is news
			sleep(ctx, failed.next())
			continue
		}
		failed.reset()
		if next < index { // Consul began anew
			next = 0
		}
		index = next
		sleep(ctx, jittered(firstRetry/4)) // many changes at once are read as one
	}
	return nil
}

// readNodes reads the healthy nodes, once there is something newer than index.
func (c *Consul) readNodes(ctx context.Context, index uint64, wait time.Duration) (next uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+wait/8+callLimit) // Consul waits up to a sixteenth longer
	defer cancel()
	entries, meta, err := c.client.Health().Service(c.prefix, "", true, waiting(ctx, index, wait))
	if err != nil {
		c.view.miss()
		return 0, failure("read the nodes from Consul", err)
	}
	c.set(c.view.take(entries, c.announced(), time.Now()))
	return max(1, meta.LastIndex), nil
}

// readLoads reads the load of every node.
func (c *Consul) readLoads(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	pairs, _, err := c.client.KV().List(c.prefix+"/nodes/", waiting(ctx, 0, 0))
	if err != nil {
		return failure("read the load of the nodes from Consul", err)
	}
	claims := map[string]claim{}
	for _, p := range pairs {
		claims[strings.TrimPrefix(p.Key, c.prefix+"/nodes/")] = readClaim(p)
	}
	c.set(c.view.weigh(claims))
	return nil
}

func readClaim(p *api.KVPair) (read claim) {
	if len(p.Value) <= maxClaim && json.Unmarshal(p.Value, &read) != nil {
		return claim{}
	}
	return read
}

// patience is how long to wait for a change: less if something will be forgotten.
func (v *view) patience() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if left := time.Until(v.until); left > 0 {
		return min(waitLimit, left+time.Millisecond)
	}
	return waitLimit
}

// miss notes that Consul does not answer.
func (v *view) miss() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lost = true
}

// current tells whether the nodes are those that Consul names.
func (v *view) current(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.lost && now.After(v.until)
}

// Current implements Registry.
func (c *Consul) Current() bool { return c.view.current(time.Now()) }

// take notes Consul's answer, of the node self among others, and returns the nodes
// that count. When Consul was away, or leaves out this very node, it may have
// forgotten nodes that live and that have had no time to register again: those it
// does not name count for a TTL more.
func (v *view) take(entries []*api.ServiceEntry, self string, now time.Time) []Instance {
	v.mu.Lock()
	defer v.mu.Unlock()
	named := slices.ContainsFunc(entries, func(e *api.ServiceEntry) bool { return self != "" && e.Service.Meta[metaID] == self })
	if v.lost || !named && self != "" && v.self == self {
		v.lost, v.until = false, now.Add(v.grace)
	}
	if v.self = ""; named {
		v.self = self
	}
	nodes := map[string]seen{}
	if now.Before(v.until) {
		for id, old := range v.nodes {
			old.named = false
			nodes[id] = old
		}
	}
	for _, e := range entries {
		fresh := seen{readInstance(e.Service), e.Service.ModifyIndex, true}
		// A node that moved to another agent is at both for a while.
		if old := nodes[fresh.ID]; fresh.ID != "" && (!old.named || old.index < fresh.index) {
			nodes[fresh.ID] = fresh
		}
	}
	v.nodes = nodes
	return v.instances()
}

// weigh notes the loads and returns the nodes that count.
func (v *view) weigh(claims map[string]claim) []Instance {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.claims = claims
	return v.instances()
}

func (v *view) instances() []Instance {
	all := make([]Instance, 0, len(v.nodes))
	for id, n := range v.nodes {
		if read := v.claims[id]; read.Boot == n.Boot {
			n.Load = read.Load
		}
		all = append(all, n.Instance)
	}
	slices.SortFunc(all, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// The keys of a service's meta.
const (
	metaID, metaBoot, metaRoles       = "id", "boot", "roles"
	metaVersion, metaEvents           = "version", "events"
	metaMetrics, metaEncoder, metaOut = "metrics", "encoder", "draining"
	metaSchema                        = "schema"
	// maxMeta is what Consul takes of a value, bytes.
	maxMeta = 512
)

// writeMeta is all that is known of a node but its address and its load.
func writeMeta(i *Instance) map[string]string {
	meta := map[string]string{
		metaID: i.ID, metaBoot: i.Boot, metaRoles: strings.Join(i.Roles, ","), metaVersion: i.Version,
		metaEvents: i.Events, metaMetrics: i.Metrics, metaEncoder: i.Encoder, metaOut: strconv.FormatBool(i.Draining),
		metaSchema: strconv.Itoa(i.Schema),
	}
	for key, value := range meta {
		meta[key] = value[:min(len(value), maxMeta)]
	}
	maps.DeleteFunc(meta, func(_, value string) bool { return value == "" || value == "false" || value == "0" })
	return meta
}

func readInstance(s *api.AgentService) Instance {
	i := Instance{
		ID: s.Meta[metaID], Boot: s.Meta[metaBoot], Version: s.Meta[metaVersion], Events: s.Meta[metaEvents],
		Metrics: s.Meta[metaMetrics], Encoder: s.Meta[metaEncoder], Draining: s.Meta[metaOut] == "true",
	}
	i.Schema, _ = strconv.Atoi(s.Meta[metaSchema]) // 0 of a node that tells none
	if roles := s.Meta[metaRoles]; roles != "" {
		i.Roles = strings.Split(roles, ",")
	}
	if s.Address != "" {
		i.Addr = net.JoinHostPort(s.Address, strconv.Itoa(s.Port))
	}
	return i
}

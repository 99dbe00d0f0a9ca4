package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"streamgate/store"
	"streamgate/store/servertest"
)

const (
	consulBin = "../../bin/consul"
	// testTTL is short, and long enough for a machine that is busy.
	testTTL = 2 * time.Second
)

// member is a registry that runs.
type member struct {
	*Consul
	kill  func() error // ends it as a crash would, and returns what Run said
	ended chan error   // what Run said
}

// join opens a deployment's registry and runs it.
func join(t *testing.T, server *servertest.Consul, prefix string, opts Options) *member {
	t.Helper()
	c := open(t, server, prefix, opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	m := &member{Consul: c, ended: ended}
	m.kill = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { m.kill() })
	return m
}

func open(t *testing.T, server *servertest.Consul, prefix string, opts Options) *Consul {
	t.Helper()
	address, err := ParseAddress(server.URL(prefix))
	if err != nil {
		t.Fatal(err)
	}
	var c *Consul
	await(t, "Consul", func() bool {
		c, err = OpenConsul(t.Context(), address, opts)
		return !errors.Is(err, store.ErrUnavailable)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (m *member) announce(t *testing.T, i Instance) {
	t.Helper()
	if err := m.Announce(t.Context(), i); err != nil {
		t.Fatal(err)
	}
}

// sees waits until the registry has these nodes and no others.
func (m *member) sees(t *testing.T, ids ...string) {
	t.Helper()
	await(t, fmt.Sprint("only the nodes ", ids), func() bool { return slices.Equal(m.ids(), ids) })
}

func (m *member) ids() []string {
	var ids []string
	for _, i := range m.Instances() {
		ids = append(ids, i.ID)
	}
	return ids
}

func node(id, boot string) Instance {
	return Instance{
		ID: id, Boot: boot, Roles: []string{"transcoder"}, Version: "v1", Addr: "127.0.0.1:7071", Events: "127.0.0.1:6222",
		Metrics: "127.0.0.1:6060", Encoder: "ffmpeg 7 x264 164",
	}
}

func TestConsul(t *testing.T) {
	server := servertest.NeedConsul(t, consulBin)
	for name, test := range map[string]func(*testing.T, *servertest.Consul, string){
		"two": testTwo, "killed": testKilled, "duplicate": testDuplicate, "place": testPlace, "displaced": testDisplaced,
		"forgotten": testForgotten, "shared": testShared, "removed": testRemoved,
	} {
		t.Run(name, func(t *testing.T) { test(t, server, name) })
	}
}

// Two nodes see all of each other, and a load costs nobody a wake-up.
func testTwo(t *testing.T, server *servertest.Consul, prefix string) {
	a, b := join(t, server, prefix, Options{TTL: testTTL}), join(t, server, prefix, Options{TTL: testTTL})
	one, two := node("a", "1"), node("b", "1")
	two.Roles = []string{"upload", "streaming"}
	a.announce(t, one)
	b.announce(t, two)
	for _, m := range []*member{a, b} {
		await(t, "both nodes", func() bool { return reflect.DeepEqual(m.Instances(), []Instance{one, two}) })
	}
	services, _, err := a.client.Catalog().Services(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{prefix, prefix + "-transcoder", prefix + "-upload", prefix + "-streaming"} {
		if _, ok := services[want]; !ok {
			t.Errorf("the catalog has no %s: %v", want, slices.Sorted(maps.Keys(services)))
		}
	}
	index := func() uint64 {
		_, meta, err := a.client.Health().Service(prefix, "", true, nil)
		if err != nil {
			t.Fatal(err)
		}
		return meta.LastIndex
	}
	before := index()
	for _, load := range []float64{0.1, 0.5, 1.2} {
		two.Load = load
		b.announce(t, two)
		await(t, "the load of b", func() bool {
			i := slices.IndexFunc(a.Instances(), func(i Instance) bool { return i.ID == "b" })
			return i >= 0 && a.Instances()[i].Load > load-0.01 && a.Instances()[i].Load < load+0.01
		})
	}
	if after := index(); after != before {
		t.Errorf("the loads moved the index of the nodes from %d to %d", before, after)
	}
	changed := a.Changed()
	two.Draining = true
	b.announce(t, two)
	<-changed
	await(t, "b draining", func() bool {
		return slices.ContainsFunc(a.Instances(), func(i Instance) bool { return i.ID == "b" && i.Draining })
	})
	if err := b.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.sees(t, "a")
	pairs, _, err := a.client.KV().List(prefix+"/nodes/", nil)
	if err != nil || len(pairs) != 1 || !strings.HasSuffix(pairs[0].Key, "/a") {
		t.Errorf("the claims after b withdrew: %v, %v", pairs, err)
	}
}

// A node that is killed is gone after its TTL, its roles too, and the rest stays.
func testKilled(t *testing.T, server *servertest.Consul, prefix string) {
	a, b := join(t, server, prefix, Options{TTL: testTTL}), join(t, server, prefix, Options{TTL: testTTL})
	a.announce(t, node("a", "1"))
	b.announce(t, node("b", "1"))
	a.sees(t, "a", "b")
	if err := b.kill(); err != nil {
		t.Errorf("Run: %v", err)
	}
	a.sees(t, "a")
	await(t, "only one healthy transcoder", func() bool {
		healthy, _, err := a.client.Health().Service(prefix+"-transcoder", "", true, nil)
		return err == nil && len(healthy) == 1
	})
}

// While a boot lives, another one of the same node is refused; after it withdrew it
// is taken at once, after it was killed when its session ends.
func testDuplicate(t *testing.T, server *servertest.Consul, prefix string) {
	var held string
	first := join(t, server, prefix, Options{TTL: testTTL})
	second := join(t, server, prefix, Options{TTL: testTTL, Held: func(boot string) { held = boot }})
	first.announce(t, node("a", "1"))
	err := second.Claim(t.Context(), "a", "2")
	if held != "1" {
		t.Errorf("held by %q", held)
	}
	if !errors.Is(err, ErrDuplicate) || !strings.Contains(err.Error(), "boot 1") || !strings.Contains(err.Error(), "node-id") {
		t.Fatalf("a second boot beside the first: %v", err)
	}
	if boot := first.Instances()[0].Boot; boot != "1" {
		t.Errorf("the refused one left boot %s", boot)
	}
	if err := first.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.announce(t, node("a", "2"))
	second.kill()
	third := join(t, server, prefix, Options{TTL: testTTL})
	third.announce(t, node("a", "3"))
	await(t, "the third boot", func() bool {
		all := third.Instances()
		return len(all) == 1 && all[0].Boot == "3"
	})
}

// A boot that was killed where the next one starts does not hold it up, however
// long its session still lasts; one from elsewhere does.
func testPlace(t *testing.T, server *servertest.Consul, prefix string) {
	const long = time.Hour
	first := join(t, server, prefix, Options{TTL: long, Place: "here"})
	first.announce(t, node("a", "1"))
	first.kill()
	second := join(t, server, prefix, Options{TTL: long, Place: "here"})
	second.announce(t, node("a", "2"))
	elsewhere := join(t, server, prefix, Options{TTL: 100 * time.Millisecond, Place: "there"})
	if err := elsewhere.Claim(t.Context(), "a", "3"); !errors.Is(err, ErrDuplicate) {
		t.Errorf("from another place: %v", err)
	}
}

// A node whose identity was taken while Consul did not hear of it ends.
func testDisplaced(t *testing.T, server *servertest.Consul, prefix string) {
	first, second := join(t, server, prefix, Options{TTL: testTTL}), join(t, server, prefix, Options{TTL: testTTL})
	first.announce(t, node("a", "1"))
	first.mu.Lock() // it is cut off
	if _, err := first.client.Session().Destroy(first.self.session, nil); err != nil {
		t.Fatal(err)
	}
	second.announce(t, node("a", "2"))
	first.mu.Unlock()
	select {
	case err := <-first.ended:
		if first.ended <- err; !errors.Is(err, ErrDuplicate) {
			t.Errorf("the displaced one ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the displaced one goes on")
	}
}

// What Consul has forgotten, it is told again.
func testForgotten(t *testing.T, server *servertest.Consul, prefix string) {
	a := join(t, server, prefix, Options{TTL: testTTL})
	a.announce(t, node("a", "1"))
	a.sees(t, "a")
	created := func() uint64 {
		healthy, _, err := a.client.Health().Service(prefix, "", true, nil)
		if err != nil || len(healthy) != 1 {
			return 0
		}
		return healthy[0].Service.CreateIndex
	}
	before := created()
	if err := a.client.Agent().ServiceDeregister(a.service("a", "")); err != nil {
		t.Fatal(err)
	}
	await(t, "the node registered again", func() bool { return created() > before })
	a.sees(t, "a")
}

// A node that is dead is removed at once, however long it would still be believed to
// live, and its identity is free; one that lives comes back.
func testRemoved(t *testing.T, server *servertest.Consul, prefix string) {
	a, dead := join(t, server, prefix, Options{TTL: testTTL}), join(t, server, prefix, Options{TTL: time.Hour})
	late, lives := join(t, server, prefix, Options{TTL: testTTL}), join(t, server, prefix, Options{TTL: testTTL})
	a.announce(t, node("a", "1"))
	dead.announce(t, node("b", "1"))
	lives.announce(t, node("c", "1"))
	late.announce(t, node("d", "1"))
	a.sees(t, "a", "b", "c", "d")
	dead.kill()
	late.kill()
	a.sees(t, "a", "b", "c") // Consul has found out about d
	for boot, id := range map[string]string{"2": "b", "1": "nobody", "": "c"} {
		if err := a.Remove(t.Context(), id, boot); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("boot %q of %s: %v", boot, id, err)
		}
	}
	elsewhere := api.CatalogRegistration{Node: "another", Address: "10.0.0.1", Service: &api.AgentService{
		ID: a.service("b", ""), Service: prefix, Meta: map[string]string{metaID: "b", metaBoot: "1", metaRoles: "upload"},
	}}
	if _, err := a.client.Catalog().Register(&elsewhere, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Remove(t.Context(), "b", "1"), a.Remove(t.Context(), "d", "")); err != nil {
		t.Fatal(err)
	}
	if got := a.ids(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("after b was removed: %v", got)
	}
	for _, name := range []string{prefix, prefix + "-transcoder"} {
		left, _, err := a.client.Catalog().Service(name, "", nil)
		if err != nil || len(left) != 2 {
			t.Errorf("the catalog's %s: %v, %v", name, left, err)
		}
	}
	next := join(t, server, prefix, Options{TTL: 100 * time.Millisecond}) // who would wait for a quarter of a second
	for _, id := range []string{"b", "d"} {
		if err := next.Claim(t.Context(), id, "2"); err != nil {
			t.Error(err)
		}
	}
	gone := watchFor(t, a, func(i []Instance) bool { return len(i) == 1 })
	if err := a.Remove(t.Context(), "c", "1"); err != nil {
		t.Fatal(err)
	}
	<-gone
	a.sees(t, "a", "c")
}

// The shared configuration is read and followed.
func testShared(t *testing.T, server *servertest.Consul, prefix string) {
	a := join(t, server, prefix, Options{TTL: testTTL})
	put := func(key, value string) {
		t.Helper()
		if _, err := a.client.KV().Put(&api.KVPair{Key: prefix + "/config/" + key, Value: []byte(value)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("log.level", "debug")
	put("folder/", "")
	put("", "")
	put("large", strings.Repeat("x", maxSharedValue+1))
	known, err := a.Shared(t.Context())
	if want := map[string]string{"log.level": "debug"}; err != nil || !maps.Equal(known, want) {
		t.Fatalf("%v, %v", known, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	news := make(chan map[string]string)
	go a.WatchShared(ctx, known, func(values map[string]string) { news <- values })
	put("log.level", "info")
	if got, want := <-news, (map[string]string{"log.level": "info"}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := a.client.KV().DeleteTree(prefix+"/config", nil); err != nil {
		t.Fatal(err)
	}
	if got := <-news; len(got) != 0 {
		t.Errorf("after all was deleted: %v", got)
	}
}

// policy is what the token of a node needs, and no more.
const policy = `
service_prefix "films" { policy = "write" }
key_prefix "films/" { policy = "write" }
session_prefix "" { policy = "write" }
node_prefix "" { policy = "read" }`

// TestConsulToken: the token that errors and documents ask for is enough; without
// it the error says so, and is none to wait for.
func TestConsulToken(t *testing.T) {
	const management = "11111111-2222-3333-4444-555555555555"
	server := servertest.Need(t, func() (*servertest.Consul, error) { return servertest.StartConsulWith(consulBin, management) })
	admin, err := api.NewClient(&api.Config{Address: server.Address(), Token: management})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.ACL().PolicyCreate(&api.ACLPolicy{Name: "films", Rules: policy}, nil); err != nil {
		t.Fatal(err)
	}
	token, _, err := admin.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: "films"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	address, err := ParseAddress(server.URL("films"))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := OpenConsul(t.Context(), address, Options{TTL: testTTL}) // who is shown nothing
	if err != nil {
		t.Fatal(err)
	}
	err = stranger.Claim(t.Context(), "a", "1")
	if err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "service_prefix") {
		t.Errorf("without a token: %v", err)
	}
	address.Token = token.SecretID
	c, err := OpenConsul(t.Context(), address, Options{TTL: testTTL})
	if err != nil {
		t.Fatal(err)
	}
	go c.Run(t.Context())
	m := &member{Consul: c}
	m.announce(t, node("a", "1"))
	m.sees(t, "a")
	other, err := OpenConsul(t.Context(), address, Options{TTL: testTTL})
	if err != nil {
		t.Fatal(err)
	}
	(&member{Consul: other}).announce(t, node("b", "1"))
	if err := errors.Join(c.Remove(t.Context(), "b", "1"), c.renew(t.Context()), c.Withdraw(t.Context())); err != nil {
		t.Error(err)
	}
	m.sees(t)
	if _, err := c.Shared(t.Context()); err != nil {
		t.Error(err)
	}
}

// While Consul is away the nodes are those that were there; when it is back, even
// with nothing in its memory, none of them is lost for a moment, all register again
// without being started again, and one that died meanwhile is forgotten.
func TestConsulAway(t *testing.T) {
	for name, forget := range map[string]bool{"killed": false, "emptied": true} {
		t.Run(name, func(t *testing.T) { testAway(t, servertest.NeedConsul(t, consulBin), forget) })
	}
}

func testAway(t *testing.T, server *servertest.Consul, forget bool) {
	a, b, dies := join(t, server, "films", Options{TTL: testTTL}), join(t, server, "films", Options{TTL: testTTL}), join(t, server, "films", Options{TTL: testTTL})
	a.announce(t, node("a", "1"))
	b.announce(t, node("b", "1"))
	dies.announce(t, node("c", "1"))
	a.sees(t, "a", "b", "c")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := a.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Ping: %v", err)
	}
	loaded := node("a", "1")
	loaded.Load = 0.5
	if err := a.Announce(t.Context(), loaded); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Announce: %v", err)
	}
	address, _ := ParseAddress(server.URL("films"))
	if _, err := OpenConsul(t.Context(), address, Options{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("OpenConsul: %v", err)
	}
	dies.kill()
	lost := watchFor(t, a, func(i []Instance) bool {
		return !slices.ContainsFunc(i, func(i Instance) bool { return i.ID == "b" })
	})
	select { // longer than a TTL
	case <-time.After(testTTL * 3 / 2):
	case <-lost:
	}
	if got := a.ids(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("while Consul is away there are %v", got)
	}
	if forget {
		if err := server.Forget(); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	a.sees(t, "a", "b")
	late := join(t, server, "films", Options{TTL: testTTL}) // who sees what Consul has
	late.sees(t, "a", "b")
	select {
	case <-lost:
		t.Error("b was lost for a while")
	default:
	}
	if err := late.Claim(t.Context(), "b", "2"); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a second b afterwards: %v", err)
	}
}

// watchFor tells when a registry has had what it should not have.
func watchFor(t *testing.T, m *member, bad func([]Instance) bool) <-chan struct{} {
	found := make(chan struct{})
	go func() {
		for t.Context().Err() == nil {
			changed := m.Changed()
			if bad(m.Instances()) {
				close(found)
				return
			}
			select {
			case <-changed:
			case <-t.Context().Done():
			}
		}
	}()
	return found
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"streamgate/app/rpc"
)

// nodes is a registry that tests write.
type nodes struct {
	Static
	list []Instance
}

func (n *nodes) Instances() []Instance { return n.list }

// ask sends a request through a transport and returns what the node says.
func ask(ctx context.Context, through http.RoundTripper, method, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://role/", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := through.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	return string(said), err
}

// newPool is a pool of n nodes that say their ids.
func newPool(t *testing.T, n int) (*Pool, *nodes) {
	t.Helper()
	ca := newCA(t)
	registry := &nodes{}
	for i := range n {
		id := fmt.Sprintf("node-%d", i)
		addr := serve(t, certified(t, ca, id, "streaming"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, id) }))
		registry.list = append(registry.list, Instance{ID: id, Roles: []string{"streaming"}, Addr: addr})
	}
	pool := NewPool(registry, certified(t, ca, "caller", "api-gateway"))
	t.Cleanup(pool.Close)
	return pool, registry
}

// Requests with one key go to one node, and to another only while it is not there.
func TestKeys(t *testing.T) {
	pool, registry := newPool(t, 4)
	through := pool.Streaming("streaming")
	home, held := map[string]string{}, map[string]int{}
	for i := range 200 {
		key := fmt.Sprintf("video-%d", i)
		for range 2 {
			got, err := ask(WithKey(t.Context(), key), through, http.MethodGet, "")
			if err != nil {
				t.Fatal(err)
			}
			if home[key] == "" {
				home[key] = got
				held[got]++
			}
			if got != home[key] {
				t.Fatalf("%s is at %s and at %s", key, home[key], got)
			}
		}
	}
	for id, n := range held {
		if n < 25 || n > 80 {
			t.Errorf("%s holds %d of 200: %v", id, n, held)
		}
	}
	gone := registry.list[0].ID
	registry.list = registry.list[1:]
	for key, id := range home {
		got, err := ask(WithKey(t.Context(), key), through, http.MethodGet, "")
		if err != nil || got == gone || id != gone && got != id {
			t.Errorf("%s was at %s, without %s it is at %s, %v", key, id, gone, got, err)
		}
	}
}

// A node that does not answer is left out; what it did not take goes to another one,
// whatever the method, as long as the body can be sent again.
func TestEjection(t *testing.T) {
	pool, registry := newPool(t, 1)
	registry.list = append(registry.list, Instance{ID: "dead", Roles: []string{"streaming"}, Addr: "127.0.0.1:1"})
	begun := time.Now()
	for range 20 {
		if got, err := ask(t.Context(), pool.Transport("streaming"), http.MethodPost, "once"); err != nil || got != "node-0" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	dead := pool.of("127.0.0.1:1")
	if time.Since(begun) < firstEjection && (dead.failures != 1 || time.Until(dead.until) > firstEjection) {
		t.Errorf("the dead node was tried %d times, and is left out for %v", dead.failures, time.Until(dead.until))
	}
	dead.until = time.Time{} // its second is over
	for before := dead.failures; dead.failures == before; {
		if _, err := ask(t.Context(), pool.Transport("streaming"), http.MethodGet, ""); err != nil {
			t.Fatal(err)
		}
	}
	if left := time.Until(dead.until); left < firstEjection {
		t.Errorf("left out for %v after the second failure", left)
	}
	if busy := pool.of(registry.list[0].Addr).busy; busy != 0 {
		t.Errorf("%d requests are still counted", busy)
	}
	if _, err := ask(t.Context(), pool.Transport("upload"), http.MethodGet, ""); !errors.Is(err, ErrNoNode) {
		t.Errorf("a role that no node has: %v", err)
	}
}

// What a node refuses whatever it is goes to another one, and nothing more to it.
func TestRefusal(t *testing.T) {
	ca := newCA(t)
	pool, registry := newPool(t, 1)
	pool.identity = certified(t, ca, "caller", "api-gateway")
	for i, h := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(RefusedHeader, "the clocks differ")
			w.WriteHeader(http.StatusConflict)
		},
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") },
	} {
		addr := serve(t, certified(t, ca, fmt.Sprint(i), "streaming"), h)
		registry.list = append(registry.list[:i], Instance{ID: fmt.Sprint(i), Roles: []string{"streaming"}, Addr: addr})
	}
	early, begun := registry.list[0], time.Now()
	for range 20 {
		if got, err := ask(t.Context(), pool.Transport("streaming"), http.MethodPost, "once"); err != nil || got != "served" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if h := pool.of(early.Addr); h.failures == 0 || h.failures > 1 && time.Since(begun) < firstEjection || h.busy != 0 {
		t.Errorf("it was asked %d times, and %d requests are still counted", h.failures, h.busy)
	}
	registry.list = registry.list[:1]
	_, err := ask(t.Context(), pool.Transport("streaming"), http.MethodPost, "once")
	if reason, _ := rpc.Reason(plain(t.Context(), "streaming", false, err)); reason != "role_unavailable" || !strings.Contains(err.Error(), "the clocks differ") {
		t.Errorf("where there is no other: %s, %v", reason, err)
	}
}

// A node that drains is asked only if there is no other; the less busy of two is.
func TestChoice(t *testing.T) {
	pool, registry := newPool(t, 2)
	count := func() map[string]int {
		n := map[string]int{}
		for range 60 {
			got, err := ask(t.Context(), pool.Transport("streaming"), http.MethodGet, "")
			if err != nil {
				t.Fatal(err)
			}
			n[got]++
		}
		return n
	}
	if n := count(); n["node-0"] < 10 || n["node-1"] < 10 {
		t.Errorf("equal ones: %v", n)
	}
	registry.list[0].Load = 0.9
	if n := count(); n["node-0"] > 30 {
		t.Errorf("the busier one: %v", n)
	}
	registry.list[0].Load, registry.list[1].Draining = 0, true
	if n := count(); n["node-1"] != 0 {
		t.Errorf("one that drains: %v", n)
	}
	registry.list[0].Draining = true
	if n := count(); n["node-0"]+n["node-1"] != 60 {
		t.Errorf("all that drain: %v", n)
	}
	if got, err := ask(WithNode(t.Context(), "node-1"), pool.Transport("streaming"), http.MethodGet, ""); err != nil || got != "node-1" {
		t.Errorf("one by name: %s, %v", got, err)
	}
}

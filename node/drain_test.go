package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"streamgate/app/rpc"
	"streamgate/node/cluster"
	"streamgate/store"
	"streamgate/store/servertest"
)

// TestDrainMonolith: it starts no more jobs and says so, and serves on; it is not
// removed.
func TestDrainMonolith(t *testing.T) {
	n := startNode(t, testConfig(t, t.TempDir()))
	ctx := rpc.System(t.Context())
	monitors := n.kernel.recorded().Monitor
	got, err := monitors.DrainNode(ctx, &rpc.DrainNodeRequest{Id: n.kernel.NodeID})
	if err != nil || got.State != stateDrained || got.Jobs != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	workers, err := n.kernel.Peers.Transcoder.ListWorkers(ctx, &rpc.ListWorkersRequest{})
	if err != nil || slices.ContainsFunc(workers.Workers, func(w *rpc.Worker) bool { return w.State != stateDrained }) {
		t.Errorf("workers %v, %v", workers, err)
	}
	if status, ready := readyz(t, n.Addr("operator")); status != http.StatusOK || ready.Status != phaseReady {
		t.Errorf("/readyz: %d %+v", status, ready)
	}
	_, err = monitors.RemoveNode(ctx, &rpc.RemoveNodeRequest{Id: n.kernel.NodeID})
	if reason, _ := rpc.Reason(err); reason != "node_alive" {
		t.Errorf("RemoveNode: %v", err)
	}
	if got, err = monitors.ResumeNode(ctx, &rpc.ResumeNodeRequest{Id: n.kernel.NodeID}); err != nil || got.State != phaseReady {
		t.Errorf("%v, %v", got, err)
	}
	log, _, err := n.kernel.audit.List(ctx, store.Query{})
	if err != nil || len(log) < 2 || log[0].Action != "node.resume" || log[1].Action != "node.drain" {
		t.Errorf("the audit log has %+v, %v", log, err)
	}
}

// TestDrainRegistered: the others see that a node is drained, for as long as it is,
// and /readyz turns balancers away; a request that carries work keeps it from being
// empty. A dead node is removed at once, one that answers is not.
func TestDrainRegistered(t *testing.T) {
	server := servertest.NeedConsul(t, consulBin)
	n := registered(t, server, t.TempDir(), Options{})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	others := observe(t, server)
	seen := func() (all []cluster.Instance) { return others.Instances() }
	within(t, "the node in the registry", func() bool { return len(seen()) == 1 })
	ctx, id, monitors := rpc.System(t.Context()), n.kernel.NodeID, n.kernel.recorded().Monitor

	begun, end := make(chan struct{}), make(chan struct{})
	held := n.kernel.counted(publicServer, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(begun); <-end }))
	go held.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPatch, "/api/v1/uploads/u", nil))
	<-begun
	got, err := monitors.DrainNode(ctx, &rpc.DrainNodeRequest{Id: id})
	if err != nil || got.State != stateDraining || got.Requests != 1 || got.Address == "" {
		t.Errorf("with a request that runs: %v, %v", got, err)
	}
	close(end)
	within(t, "drained", func() bool {
		status, ready := readyz(t, n.Addr("operator"))
		return status == http.StatusServiceUnavailable && ready.Status == stateDrained
	})
	if err := n.kernel.announce(ctx); err != nil { // as it does every few seconds
		t.Fatal(err)
	}
	within(t, "the others to see it", func() bool { return len(seen()) == 1 && seen()[0].Draining })
	if _, err := monitors.ResumeNode(ctx, &rpc.ResumeNodeRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	within(t, "the others to see it back", func() bool { return len(seen()) == 1 && !seen()[0].Draining })
	if status, ready := readyz(t, n.Addr("operator")); status != http.StatusOK {
		t.Errorf("/readyz: %d %+v", status, ready)
	}

	address, err := cluster.ParseAddress(server.URL("films"))
	if err != nil {
		t.Fatal(err)
	}
	dead, err := cluster.OpenConsul(ctx, address, cluster.Options{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Announce(ctx, cluster.Instance{ID: "dead", Boot: "1", Roles: []string{"transcoder"}, Addr: "127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	within(t, "the dead node to be listed", func() bool {
		list, err := monitors.ListNodes(ctx, &rpc.ListNodesRequest{})
		return err == nil && slices.ContainsFunc(list.Nodes, func(n *rpc.Node) bool { return n.Id == "dead" && n.State == stateUnreachable })
	})
	for _, c := range []struct {
		call   func(context.Context, string) error
		id     string
		reason string
	}{
		{drainCall(monitors), "dead", "node_unreachable"},
		{drainCall(monitors), "nobody", "node_not_found"},
		{removeCall(monitors), id, "node_alive"},
		{removeCall(monitors), "nobody", "node_not_found"},
		{removeCall(monitors), "dead", ""},
		{removeCall(monitors), "dead", "node_not_found"},
	} {
		err := c.call(ctx, c.id)
		if reason, _ := rpc.Reason(err); reason != c.reason || c.reason == "" && err != nil {
			t.Errorf("%s: %v, want %q", c.id, err, c.reason)
		}
	}
	if list, err := monitors.ListNodes(ctx, &rpc.ListNodesRequest{}); err != nil || len(list.Nodes) != 1 {
		t.Errorf("after the removal: %v, %v", list, err)
	}
}

func drainCall(m rpc.MonitorClient) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		_, err := m.DrainNode(ctx, &rpc.DrainNodeRequest{Id: id})
		return err
	}
}

func removeCall(m rpc.MonitorClient) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		_, err := m.RemoveNode(ctx, &rpc.RemoveNodeRequest{Id: id})
		return err
	}
}

// TestCarriesWork: which requests a drain waits for.
func TestCarriesWork(t *testing.T) {
	for _, c := range []struct {
		server, method, path string
		want                 bool
	}{
		{publicServer, "GET", "/s/ticket/720p/1.m4s", true},
		{publicServer, "GET", "/v/film/master.m3u8", true},
		{publicServer, "PATCH", "/api/v1/uploads/u", true},
		{publicServer, "PUT", "/api/v1/videos/v/source", true},
		{consoleServer, "PATCH", "/console/api/v1/uploads/u", true},
		{publicServer, "GET", "/api/v1/events", false},
		{publicServer, "GET", "/console/events", false},
		{publicServer, "POST", "/api/v1/nodes/n:drain", false},
		{publicServer, "POST", "/streamgate.Monitor/ListNodes", false},
		{clusterServer, "POST", "/streamgate.Monitor/GetNode", false},
		{clusterServer, "POST", "/streamgate.Library/GetVideo", true},
		{clusterServer, "GET", "/s/ticket/720p/1.m4s", true},
	} {
		req, err := http.NewRequest(c.method, "http://host"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := carriesWork(c.server, req); got != c.want {
			t.Errorf("%s %s on %s: %v", c.method, c.path, c.server, got)
		}
	}
}

package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"streamgate/node/cluster"
	"streamgate/store/servertest"
)

const (
	consulBin   = "../bin/consul"
	registryTTL = 2 * time.Second
)

// registered makes a node of all roles that is in the registry of a deployment, on
// backends of its own.
func registered(t *testing.T, server *servertest.Consul, dir string, opt Options) *Node {
	t.Helper()
	cfg := testConfig(t, dir)
	cfg.Deployment.Mode, cfg.Cluster.Registry = ModeCluster, server.URL("films")
	cfg.Cluster.Listen, cfg.Cluster.Events = "127.0.0.1:0", "127.0.0.1:0"
	if _, err := cluster.LoadCA(CADir(dir)); err != nil {
		if _, err := cluster.InitCA(CADir(dir)); err != nil {
			t.Fatal(err)
		}
	}
	parts := table()
	for i := range parts {
		if _, ok := parts[i].plugin.(*registration); ok {
			parts[i].plugin = &registration{ttl: registryTTL}
		}
	}
	opt.Version = "test"
	n, err := assemble(cfg, opt, partsOf(opt.withDefaults().Roles, parts))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// observe is another member of the deployment, which is not a node.
func observe(t *testing.T, server *servertest.Consul) *cluster.Consul {
	t.Helper()
	address, err := cluster.ParseAddress(server.URL("films"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.OpenConsul(t.Context(), address, cluster.Options{TTL: registryTTL})
	if err != nil {
		t.Fatal(err)
	}
	go c.Run(t.Context())
	return c
}

// TestRegistered: a node is known when it is ready and not before, is draining when
// it begins to stop, and gone after that.
func TestRegistered(t *testing.T) {
	server := servertest.NeedConsul(t, consulBin)
	others := observe(t, server)
	n := registered(t, server, t.TempDir(), Options{})
	n.kernel.load = func() float64 { return 0.5 }
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, "in the registry", func() bool {
		there := others.Instances()
		return len(there) == 1 && there[0].Load > 0 && there[0].Encoder != ""
	})
	want := n.kernel.instance()
	if got := others.Instances()[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("the others see %+v, want %+v", got, want)
	}
	if want.ID != n.kernel.NodeID || want.Boot != n.kernel.BootID || len(want.Roles) != len(every()) || want.Metrics != n.Addr("operator") {
		t.Errorf("the node tells of itself %+v", want)
	}
	if status, ready := readyz(t, n.Addr("operator")); status != http.StatusOK || ready.Checks["registry"] != "ok" {
		t.Errorf("/readyz: %d %v", status, ready.Checks)
	}
	drained := make(chan struct{})
	go func() {
		for {
			changed := others.Changed()
			if slices.ContainsFunc(others.Instances(), func(i cluster.Instance) bool { return i.Draining }) {
				close(drained)
				return
			}
			select {
			case <-changed:
			case <-t.Context().Done():
				return
			}
		}
	}()
	n.drain() // as Stop does; the jobs of this node end too soon to see it
	if err := (&announcing{n.kernel}).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-drained
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	within(t, "gone from the registry", func() bool { return len(others.Instances()) == 0 })
}

// TestRegistryAwayAtStart: a node whose registry is away waits for it, and says so.
// Without it the node goes on, and is back in it without being started again.
func TestRegistryAwayAtStart(t *testing.T) {
	server := servertest.NeedConsul(t, consulBin)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	n := registered(t, server, t.TempDir(), Options{})
	started := make(chan error, 1)
	go func() { started <- n.Start(t.Context()) }()
	within(t, "listening", func() bool { return n.Addr("operator") != "" })
	within(t, "waiting for the registry", func() bool {
		status, ready := readyz(t, n.Addr("operator"))
		return status == http.StatusServiceUnavailable && strings.Contains(ready.Checks["registry"], "cluster.registry")
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.Kill(), server.Forget()); err != nil {
		t.Fatal(err)
	}
	within(t, "degraded", func() bool {
		status, ready := readyz(t, n.Addr("operator"))
		return status == http.StatusOK && ready.Status == phaseDegraded && strings.Contains(ready.Checks["registry"], "Consul")
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	others := observe(t, server)
	within(t, "registered again", func() bool { return len(others.Instances()) == 1 })
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
}

// TestTwoOfOneNode: a copy of a data directory makes no second node, and does
// nothing before that is known; a boot that died where the next one starts holds
// nobody up.
func TestTwoOfOneNode(t *testing.T) {
	server := servertest.NeedConsul(t, consulBin)
	dir, elsewhere := t.TempDir(), t.TempDir()
	dead := registered(t, server, dir, Options{})
	if err := dead.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, err := os.ReadFile(filepath.Join(dir, "node-id"))
	if err := errors.Join(err, os.WriteFile(filepath.Join(elsewhere, "node-id"), id, 0o600)); err != nil {
		t.Fatal(err)
	}
	second := registered(t, server, elsewhere, Options{})
	err = second.Start(t.Context())
	if !errors.Is(err, cluster.ErrDuplicate) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "node-id") {
		t.Errorf("the copy: %v", err)
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "streamgate.db")); err == nil {
		t.Error("the copy made records")
	}
	if err := dead.Stop(); err != nil {
		t.Error(err)
	}
	if a, b := place(dir), place(elsewhere); a == "" || a == b || a != place(dir) {
		t.Errorf("places %q and %q", a, b)
	}
	// What a boot leaves that was killed: its claim, with nobody to renew it.
	address, _ := cluster.ParseAddress(server.URL("films"))
	left, err := cluster.OpenConsul(t.Context(), address, cluster.Options{TTL: time.Hour, Place: place(dir)})
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Claim(t.Context(), strings.TrimSpace(string(id)), "killed"); err != nil {
		t.Fatal(err)
	}
	next := registered(t, server, dir, Options{})
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := next.Stop(); err != nil {
		t.Error(err)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(strings.Split(l.buf.String(), "\n"), func(line string) bool { return containsAll(line, words) })
}

// sharedPart follows the shared configuration for a node that is alone.
type sharedPart struct {
	registration
	server *servertest.Consul
}

func (s *sharedPart) Start(ctx context.Context, k *Kernel) error {
	address, err := cluster.ParseAddress(s.server.URL("films"))
	if err != nil {
		return err
	}
	consul, err := cluster.OpenConsul(ctx, address, cluster.Options{})
	if err != nil {
		return err
	}
	return errors.Join(k.followShared(ctx, consul), s.registration.Start(ctx, k))
}

// TestSharedConfiguration: a running node takes in what it can, says what it cannot
// and what waits for its next start, and refuses what is wrong.
func TestSharedConfiguration(t *testing.T) {
	server := servertest.NeedConsul(t, consulBin)
	client, err := api.NewClient(&api.Config{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, value string) {
		t.Helper()
		if _, err := client.KV().Put(&api.KVPair{Key: "films/config/" + key, Value: []byte(value)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("api_gateway.rate_limit.burst", "40")
	put("upload.max_size", "7GiB")
	layers, err := LoadLayers(Sources{
		File: write(t, "api_gateway: {port: 0, grpc_port: 0}\ntranscoder: {grpc_port: 0}\nmonitor: {listen: '127.0.0.1:0'}\n"),
		Env:  []string{"HOME=/", "STREAMGATE_API_GATEWAY_RATE_LIMIT_REQUESTS_PER_SECOND=1"},
		Set:  []Setting{{"data_dir", t.TempDir()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := layers.Config()
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	parts := table()
	for i := range parts {
		if _, ok := parts[i].plugin.(*registration); ok {
			parts[i].plugin = &sharedPart{server: server}
		}
	}
	n, err := assemble(cfg, Options{Layers: layers, Log: NewLog(cfg.Log, &log, false)}, parts)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	if got := n.kernel.Config.Upload.MaxSize; got != 7<<30 {
		t.Errorf("at the start, upload.max_size is %s", got)
	}
	burst := func(want string) {
		t.Helper()
		within(t, "a burst of "+want, func() bool {
			resp, err := http.DefaultClient.Do(mustRequest(t, n.URL()+"/api/v1/videos"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			return strings.Contains(resp.Header.Get("RateLimit-Policy"), "q="+want+";")
		})
	}
	burst("40")
	put("api_gateway.rate_limit.burst", "3")
	burst("3")
	limited := false
	for range 10 { // 3 at once, then one a second
		status, _ := get(t, http.DefaultClient, n.URL()+"/api/v1/videos")
		limited = limited || status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("ten requests at once pass a burst of 3")
	}
	within(t, "told", func() bool { return log.has(`"level":"INFO"`, "api_gateway.rate_limit.burst", `"value":"3"`) })

	put("api_gateway.rate_limit.burst", "none")
	within(t, "refused", func() bool {
		return log.has(`"level":"ERROR"`, "is refused; the one before it stays", "api_gateway.rate_limit.burst", "whole number")
	})
	burst("3")
	put("upload.max_size", "9GiB")
	within(t, "waiting", func() bool {
		return log.has(`"level":"WARN"`, "when it is started again", "upload.max_size", "9GiB")
	})
	if got := n.kernel.InForce().Upload.MaxSize; got != 7<<30 {
		t.Errorf("in force is %s", got)
	}
	put("log.level", "debug")
	within(t, "debugging", func() bool { return n.kernel.Log.Enabled(t.Context(), slog.LevelDebug) })
	put("alerts.queue_warning", "7")
	within(t, "the alerts' limits", func() bool { return log.has(`"level":"INFO"`, "alerts.queue_warning") })
	put("api_gateway.rate_limit.requests_per_second", "5") // which the environment says for this node
	if _, err := client.KV().DeleteTree("films/config", nil); err != nil {
		t.Fatal(err)
	}
	burst("100")
	if got := n.kernel.InForce().APIGateway.RateLimit.RequestsPerSecond; got != 1 {
		t.Errorf("the environment's rate became %v", got)
	}
	within(t, "at the usual level", func() bool { return !n.kernel.Log.Enabled(t.Context(), slog.LevelDebug) })
}

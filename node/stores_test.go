package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/node/cluster"
	"streamgate/store"
	"streamgate/store/postgres"
	"streamgate/store/servertest"
)

// startServers starts PostgreSQL and Redis, or skips the test where they are not
// installed.
func startServers(t *testing.T) (*servertest.Postgres, *servertest.Redis) {
	t.Helper()
	return servertest.NeedPostgres(t, servertest.PostgresOptions{Durable: true}), servertest.Need(t, servertest.StartRedis)
}

// refuses has a node not start, and say why in one line with these words.
func refuses(t *testing.T, cfg *Config, words ...string) {
	t.Helper()
	n, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err = n.Start(t.Context()); err == nil || !containsAll(err.Error(), words) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want %q", err, words)
	}
}

// within waits until ok, for half a minute.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 30 s: not %s", what)
		}
	}
}

// readyz asks a node whether it is ready.
func readyz(t *testing.T, operator string) (status int, ready Readiness) {
	t.Helper()
	status, body := get(t, http.DefaultClient, "http://"+operator+ReadyPath)
	if err := json.Unmarshal([]byte(body), &ready); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return status, ready
}

// TestServersAwayAtStart: a node whose database is away starts, says so, and is
// ready when it comes; away later it counts as ready for a while.
func TestServersAwayAtStart(t *testing.T) {
	pg, redis := startServers(t)
	cfg := testConfig(t, t.TempDir())
	cfg.Records.URL, cfg.Cache.URL = pg.Address("postgres"), redis.URL()
	if err := errors.Join(pg.Stop(), redis.Kill()); err != nil {
		t.Fatal(err)
	}
	n, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { started <- n.Start(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() { n.Stop() })
	within(t, "waiting", func() bool {
		if n.Addr("operator") == "" {
			return false
		}
		status, ready := readyz(t, n.Addr("operator"))
		return status == http.StatusServiceUnavailable && ready.Status == phaseStarting &&
			strings.Contains(ready.Checks["stores"], "records.url") && strings.Contains(ready.Checks["stores"], "trying again")
	})
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	within(t, "degraded without Redis", func() bool {
		status, ready := readyz(t, n.Addr("operator"))
		return status == http.StatusOK && ready.Status == phaseDegraded && strings.Contains(ready.Checks["cache"], "Redis has not been reached") &&
			ready.Checks["records"] == "ok" && ready.Checks["stores"] == ""
	})
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "ready", func() bool { _, ready := readyz(t, n.Addr("operator")); return ready.Status == phaseReady })
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	within(t, "degraded without PostgreSQL", func() bool {
		status, ready := readyz(t, n.Addr("operator"))
		return status == http.StatusOK && ready.Status == phaseDegraded && strings.Contains(ready.Checks["records"], "PostgreSQL has not been reached")
	})
	resp, err := socketClient(cfg.DataDir).Do(mustRequest(t, "http://socket/api/v1/videos"))
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "store_unavailable") {
		t.Errorf("the list of videos without PostgreSQL: %s, %v\n%s", resp.Status, resp.Header, body)
	}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "ready again", func() bool { _, ready := readyz(t, n.Addr("operator")); return ready.Status == phaseReady })
	if status, body := get(t, socketClient(cfg.DataDir), "http://socket/api/v1/videos"); status != http.StatusOK {
		t.Errorf("the list of videos: %d %s", status, body)
	}
}

// TestWaitingStartEnds: whoever stops a node that waits need not wait.
func TestWaitingStartEnds(t *testing.T) {
	cfg := testConfig(t, t.TempDir())
	cfg.Records.URL = "host=" + t.TempDir() + " user=x dbname=x"
	n, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan error, 1)
	go func() { started <- n.Start(ctx) }()
	within(t, "waiting", func() bool { return len(n.kernel.state.readiness(ctx).Checks["stores"]) > 0 })
	cancel()
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestOneNodeOfADatabase: who else comes is refused, with a word, and so is an
// older program.
func TestOneNodeOfADatabase(t *testing.T) {
	pg, redis := startServers(t)
	dir := t.TempDir()
	on := func(dir string) *Config {
		cfg := testConfig(t, dir)
		cfg.Records.URL, cfg.Cache.URL = pg.Address("postgres"), redis.URL()
		return cfg
	}
	first := startNode(t, on(dir))
	refuses(t, on(dir), "data_dir "+dir, "in use by another node")
	refuses(t, on(t.TempDir()), "records.url", "node "+first.kernel.NodeID, "a database serves one node")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	again := startNode(t, on(dir)) // its own
	if err := again.Stop(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), pg.Address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `INSERT INTO schema_versions (version) VALUES (99)`); err != nil {
		t.Fatal(err)
	}
	refuses(t, on(dir), "records.url", postgres.ErrSchema.Error(), "version 99", "run the newer program")
}

// TestBackendState: how /readyz takes the answers of a server.
func TestBackendState(t *testing.T) {
	begun := time.Now()
	b := &backend{name: "It", without: "nothing works", ready: time.Minute}
	for _, c := range []struct {
		name  string
		err   error
		after time.Duration // asked then, and /readyz as well
		want  string
		fine  bool // still counts as ready
	}{
		{"well", nil, 0, "", true},
		{"gone", store.ErrUnavailable, time.Second, "It has not been reached for 1s: nothing works", true},
		{"for a minute", store.ErrUnavailable, 62 * time.Second, "for 1m1s", false},
		{"back", nil, 63 * time.Second, "", true},
		{"its clock is wrong", errors.New("off"), 64 * time.Second, "off", false},
	} {
		b.note(c.err, begun.Add(c.after))
		err := b.state(begun.Add(c.after))
		var tolerable degraded
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || err != nil && errors.As(err, &tolerable) != c.fine {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSkewed(t *testing.T) {
	for by, want := range map[time.Duration]string{0: "", 29 * time.Second: "", -30 * time.Second: "", 5 * time.Minute: "5m0s off", -31 * time.Second: "31s off"} {
		if err := skewed(by); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", by, err)
		}
	}
}

// TestBucket: media in S3. A bucket serves one node, and none that has media on
// its disk; away, the node is degraded.
func TestBucket(t *testing.T) {
	minio := servertest.NeedMinIO(t, "../bin/minio")
	name, err := minio.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	on := func(dir string) *Config {
		cfg := testConfig(t, dir)
		cfg.Media.URL = minio.URL(name)
		return cfg
	}
	found := CheckServers(t.Context(), on(t.TempDir()))
	if len(found) != 1 || found[0].Mend != "" || !strings.Contains(found[0].State, name) {
		t.Errorf("doctor says %+v", found)
	}
	n := startNode(t, on(t.TempDir()))
	refuses(t, on(t.TempDir()), "media.url", "node "+n.kernel.NodeID, "a bucket serves one node")
	used := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(used, "media", "videos", "v1"), 0o700),
		os.WriteFile(filepath.Join(used, "media", "videos", "v1", "source"), []byte("film"), 0o600)); err != nil {
		t.Fatal(err)
	}
	refuses(t, on(used), "media.url", "already holds media (videos/v1/source", "leave media.url empty")

	if free, _, err := n.kernel.Stores.Objects.Space(t.Context()); err != nil || free == store.Unlimited {
		t.Errorf("the space is %d, %v; want that of the disk", free, err)
	}
	if err := minio.Kill(); err != nil {
		t.Fatal(err)
	}
	within(t, "degraded", func() bool {
		status, ready := readyz(t, n.Addr("operator"))
		return status == http.StatusOK && ready.Status == "degraded"
	})
	if found := CheckServers(t.Context(), on(t.TempDir())); len(found) != 1 || found[0].Mend == "" {
		t.Errorf("doctor says %+v", found)
	}
	if err := minio.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "ready", func() bool {
		_, ready := readyz(t, n.Addr("operator"))
		return ready.Status == "ready"
	})
}

// away is a registry that does not answer.
type away struct{ cluster.Static }

func (*away) Current() bool { return false }

// TestOthersCanUse: tables are not changed under a node that could not use them
// then, nor where it is not known who runs.
func TestOthersCanUse(t *testing.T) {
	for _, tt := range []struct {
		name       string
		other      cluster.Instance
		compatible int
		away       bool
		want       string // "" if they may be changed
	}{
		{"it knows them", cluster.Instance{ID: "b", Schema: 5}, 5, false, ""},
		{"it does not", cluster.Instance{ID: "b", Version: "v1.2.3", Schema: 4}, 5, false, "node b runs version v1.2.3"},
		{"the node itself, before", cluster.Instance{ID: "a", Schema: 4}, 5, false, ""},
		{"it tells of none", cluster.Instance{ID: "b"}, 4, false, "up to version 3"},
		{"it tells of none, which does not matter", cluster.Instance{ID: "b"}, 3, false, ""},
		{"nobody is known", cluster.Instance{ID: "a"}, 5, true, "registry"},
		{"nobody is known, which does not matter", cluster.Instance{ID: "a"}, 1, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			registry := &away{}
			k := &Kernel{NodeID: "a", Registry: registry}
			if !tt.away {
				k.Registry = &registry.Static
			}
			if err := registry.Announce(t.Context(), tt.other); err != nil {
				t.Fatal(err)
			}
			err := k.othersCanUse(tt.compatible)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

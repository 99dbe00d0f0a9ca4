package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const (
	// pauseSeconds is the longest that writes may be refused in a migration.
	pauseSeconds = 10
	// stallSeconds is the longest that a player may wait for an answer meanwhile: no
	// more than what it has in store.
	stallSeconds = 6
)

// benchMigration moves a monolith with 100 videos to the stores of a cluster and back,
// while somebody writes and somebody plays: the longest time between two writes that
// were acknowledged, and the longest that an answer to the player took.
func benchMigration(ctx context.Context, b *bench) ([]result, error) {
	file, err := b.sources.file(ctx, megabytes28s)
	if err != nil {
		return nil, err
	}
	stores, err := startStores(ctx)
	if err != nil {
		return nil, err
	}
	defer stores.close()
	n, err := b.startNode(ctx)
	if err != nil {
		return nil, err
	}
	defer n.kill()
	results, err := b.migrations(ctx, n, file, stores)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, n.said())
	}
	return results, nil
}

// configs are the files of the node as it is and as one of a cluster.
func (s *stores) configs(n *node) (single, cluster string, err error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return "", "", err
	}
	common := configYAML + fmt.Sprintf("  grpc_port: %s\napi_gateway: {port: %s, grpc_port: %s, public_url: %q}\nmonitor: {listen: %q}\n",
		port(n.addrs[3]), port(n.addrs[0]), port(n.addrs[2]), n.url, n.operator)
	shared := fmt.Sprintf("deployment: {mode: cluster}\nrecords: {url: %q}\nmedia: {url: %q}\ncache: {url: %q}\ncluster: {registry: %q, listen: %q, events: %q}\n",
		s.pg.Address("postgres"), s.minio.URL(s.bucket), s.redis.URL(), s.consul.URL("bench"), addrs[0], addrs[1])
	single, cluster = filepath.Join(n.dir, "single.yaml"), filepath.Join(n.dir, "cluster.yaml")
	return single, cluster, errors.Join(os.WriteFile(single, []byte(common), 0o600), os.WriteFile(cluster, []byte(common+shared), 0o600))
}

func (b *bench) migrations(ctx context.Context, n *node, file string, s *stores) ([]result, error) {
	single, cluster, err := s.configs(n)
	if err != nil {
		return nil, err
	}
	videos := b.runs(100, 10)
	played, err := b.fill(ctx, n, file, videos)
	if err != nil {
		return nil, err
	}
	if out, err := command(ctx, n.binary, "ca", "init", "--data", n.data()).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ca init: %w: %s", err, out)
	}
	var writes, held, plays, took series
	for _, to := range []string{cluster, single} {
		m, err := n.migrate(ctx, to, played)
		if err != nil {
			return nil, err
		}
		writes, held, plays, took = append(writes, m.write.Seconds()), append(held, m.held), append(plays, m.play.Seconds()), append(took, m.all.Seconds())
		b.logf("   moved in %.1f s; writes refused for %.2f s, %.2f s without one; the player waited %.2f s", last(took), last(held), last(writes), last(plays))
	}
	what := fmt.Sprintf("a deployment of %d videos moved to PostgreSQL, S3, Redis and Consul, and back", videos)
	return []result{
		atMost(what+": between two writes", pauseSeconds, "s", writes),
		atMost(what+": the longest answer to a player, all of them 200", stallSeconds, "s", plays),
		{what: what + ": in all", measured: took.String() + " s, of which writes were refused for " + held.String() + " s"},
	}, nil
}

// fill makes videos of the beginning of a file, and returns one of them.
func (b *bench) fill(ctx context.Context, n *node, file string, videos int) (v video, err error) {
	short := filepath.Join(n.dir, "short.mp4")
	if out, err := command(ctx, "ffmpeg", "-v", "error", "-i", file, "-t", "4", "-c", "copy", short).CombinedOutput(); err != nil {
		return v, fmt.Errorf("cut a source: %w: %s", err, out)
	}
	ids := make([]string, videos)
	for i := range ids {
		if v, _, err = n.upload(ctx, short, "copy-only", true); err != nil {
			return v, err
		}
		ids[i] = v.ID
	}
	for i, id := range ids {
		if err := n.awaitTask(ctx, id); err != nil {
			return v, err
		}
		if (i+1)%10 == 0 {
			b.logf("   %d of %d videos", i+1, videos)
		}
	}
	return n.video(ctx, ids[0])
}

// migration is what was seen of one.
type migration struct {
	write, play, all time.Duration
	held             float64
}

// migrate moves the node while it is written to and played from.
func (n *node) migrate(ctx context.Context, to string, played video) (m migration, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	writes, plays := make(chan watchedGap, 1), make(chan watchedGap, 1)
	go func() {
		writes <- longestGap(ctx, func() (bool, error) {
			var v video
			return n.call(ctx, http.MethodPost, "/api/v1/videos", map[string]any{"title": "Written"}, &v) == nil, nil
		})
	}()
	cell := n.url + "/v/" + played.ID + "/" + played.Renditions[0].Name + "/0.m4s"
	go func() {
		plays <- longestGap(ctx, func() (bool, error) {
			status, _, err := get(ctx, cell)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("GET %s: %d", cell, status)
			}
			return true, err
		})
	}()
	began := time.Now()
	out, err := command(ctx, n.binary, "migrate", "--to", to, "--json", "--data", n.data()).Output()
	m.all = time.Since(began)
	if err != nil {
		return m, fmt.Errorf("migrate: %w: %s", err, out)
	}
	var told struct {
		Pause float64 `json:"pause_seconds"`
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return m, err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return m, err
	}
	stop()
	w, p := <-writes, <-plays
	m.held, m.write, m.play = told.Pause, w.longest, p.longest
	return m, errors.Join(w.err, p.err)
}

// watchedGap is the longest time between two calls that went well.
type watchedGap struct {
	longest time.Duration
	err     error
}

// longestGap calls until ctx ends.
func longestGap(ctx context.Context, call func() (bool, error)) (g watchedGap) {
	for well := time.Now(); ; {
		ok, err := call()
		if ctx.Err() != nil {
			return g
		}
		if g.err = errors.Join(g.err, err); g.err != nil {
			return g
		}
		if ok {
			g.longest = max(g.longest, time.Since(well))
			well = time.Now()
		}
		if sleep(ctx, 10*time.Millisecond) != nil {
			return g
		}
	}
}

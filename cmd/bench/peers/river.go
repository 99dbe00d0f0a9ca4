package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverPeer is River with its PostgreSQL.
type riverPeer struct {
	server *program
	at     string // the server's address
	pool   *pgxpool.Pool
	text   string
}

// riverConns is the most connections: with more of them 256 producers were
// slower on two cores, with 64 by three quarters.
const riverConns = 8

func startRiver(ctx context.Context, parent string) (_ peer, err error) {
	dir, err := scratch(parent, "postgres")
	if err != nil {
		return nil, err
	}
	initdb, err := postgresTool("initdb")
	if err != nil {
		return nil, err
	}
	cmd, err := command(ctx, dir, initdb, "--pgdata", "data", "--username", "bench", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
	if err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	postgres, err := postgresTool("postgres")
	if err != nil {
		return nil, err
	}
	p := &riverPeer{at: "host=" + dir + " user=bench dbname=postgres"}
	answers := func(ctx context.Context) error {
		c, err := pgx.Connect(ctx, p.at)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
	// SIGINT is a fast shutdown: clients are sent away.
	p.server, err = startServer(ctx, dir, syscall.SIGINT, answers, postgres, "-D", filepath.Join(dir, "data"), "-k", dir,
		"-c", "listen_addresses=", "-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB", "-c", "checkpoint_timeout=30min")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.pool, err = p.connect(ctx); err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(p.pool), &rivermigrate.Config{Logger: quiet()})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("make River's tables: %w", err)
	}
	v, err := version(ctx, postgres)
	p.text = fmt.Sprintf("River %s on PostgreSQL %s: fsync and synchronous_commit on, shared_buffers 512 MB, max_wal_size 8 GB, "+
		"Unix socket, at most %d connections; Insert; no-op workers with MaxWorkers n and FetchCooldown 1 ms, a job counts when its completion is committed (River commits many at once, after the worker has gone on)",
		moduleVersion("github.com/riverqueue/river"), v, riverConns)
	return p, err
}

// connect is the connections of a node.
func (p *riverPeer) connect(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(p.at)
	if err != nil {
		return nil, err
	}
	config.MaxConns = riverConns
	return pgxpool.NewWithConfig(ctx, config)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (p *riverPeer) about() string { return p.text }

func (p *riverPeer) address() string { return p.at }

func (p *riverPeer) close() error {
	if p.pool != nil {
		p.pool.Close()
	}
	return p.server.close()
}

// riverJob is a job whose arguments are the payload.
type riverJob struct{ json.RawMessage }

func (riverJob) Kind() string { return "bench" }

func (p *riverPeer) push(ctx context.Context, l load) (float64, error) {
	client, err := river.NewClient(riverpgxv5.New(p.pool), &river.Config{Logger: quiet()})
	if err != nil {
		return 0, err
	}
	if err := p.fill(ctx, client, l); err != nil {
		return 0, err
	}
	return perSecond(ctx, l.Parallel, l.duration(), func(ctx context.Context) error {
		_, err := client.Insert(ctx, riverJob{l.Payload}, nil)
		return err
	})
}

func (p *riverPeer) work(ctx context.Context, l load) (rate float64, err error) {
	m := newMeter(l.Waiting)
	var clients []*river.Client[pgx.Tx]
	for i := range max(1, l.Nodes) {
		pool, err := p.connect(ctx)
		if err != nil {
			return 0, err
		}
		defer pool.Close()
		client, err := workers(pool, i, l.Parallel)
		if err != nil {
			return 0, err
		}
		defer countDone(client, m, l)()
		clients = append(clients, client)
	}
	if err := p.fill(ctx, clients[0], l); err != nil {
		return 0, err
	}
	for _, client := range clients {
		if err := client.Start(ctx); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, client.Stop(ctx)) }()
	}
	return m.rate(ctx, l.duration())
}

// workers are those of a node.
func workers(pool *pgxpool.Pool, node, parallel int) (*river.Client[pgx.Tx], error) {
	does := river.NewWorkers()
	river.AddWorker(does, river.WorkFunc(func(context.Context, *river.Job[riverJob]) error { return nil }))
	return river.NewClient(riverpgxv5.New(pool), &river.Config{
		ID: fmt.Sprintf("node-%d", node), Logger: quiet(), Workers: does,
		FetchCooldown: time.Millisecond, FetchPollInterval: 10 * time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: parallel}},
		// The leader's upkeep (schedules, cleaning) is not what is measured.
		LeaderElectionDisabled: true,
	})
}

// countDone counts what a node has completed until it is told to stop.
func countDone(client *river.Client[pgx.Tx], m *meter, l load) (stop func()) {
	done, stop := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: 2 * l.Waiting, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	go func() {
		for range done {
			m.event()
		}
	}()
	return stop
}

// fill makes sure that jobs are waiting.
func (p *riverPeer) fill(ctx context.Context, client *river.Client[pgx.Tx], l load) error {
	var waiting int
	if err := p.pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state = 'available'").Scan(&waiting); err != nil {
		return err
	}
	const most = 5000 // in one statement
	for ; waiting < l.Waiting; waiting += most {
		jobs := make([]river.InsertManyParams, most)
		for i := range jobs {
			jobs[i].Args = riverJob{l.Payload}
		}
		if _, err := client.InsertManyFast(ctx, jobs); err != nil {
			return err
		}
	}
	return nil
}

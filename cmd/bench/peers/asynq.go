package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// asynqPeer is asynq with its Redis.
type asynqPeer struct {
	server *program
	redis  *redis.Client
	text   string
}

// asynqConns is the most connections: one for each producer or worker.
const asynqConns = 300

func startAsynq(ctx context.Context, parent string) (_ peer, err error) {
	dir, err := scratch(parent, "redis")
	if err != nil {
		return nil, err
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "socket")
	p := &asynqPeer{redis: redis.NewClient(&redis.Options{Network: "unix", Addr: socket, PoolSize: asynqConns, ReadTimeout: startLimit})}
	answers := func(ctx context.Context) error { return p.redis.Ping(ctx).Err() }
	p.server, err = startServer(ctx, dir, syscall.SIGTERM, answers, path, "--port", "0", "--unixsocket", socket, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no")
	if err != nil {
		return nil, errors.Join(err, p.redis.Close())
	}
	v, err := version(ctx, path)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.text = fmt.Sprintf("asynq %s on Redis %s: appendonly yes, appendfsync always, save \"\", Unix socket, a connection for each producer or worker; Enqueue; a no-op handler with Concurrency n",
		moduleVersion("github.com/hibiken/asynq"), v)
	return p, nil
}

func (p *asynqPeer) about() string { return p.text }

func (p *asynqPeer) close() error { return errors.Join(p.redis.Close(), p.server.close()) }

func (p *asynqPeer) push(ctx context.Context, l load) (float64, error) {
	client := asynq.NewClientFromRedisClient(p.redis)
	return perSecond(ctx, l.Parallel, l.duration(), func(ctx context.Context) error {
		_, err := client.EnqueueContext(ctx, asynq.NewTask("bench", l.Payload))
		return err
	})
}

func (p *asynqPeer) work(ctx context.Context, l load) (float64, error) {
	if err := p.fill(ctx, l); err != nil {
		return 0, err
	}
	m := newMeter(l.Waiting)
	srv := asynq.NewServerFromRedisClient(p.redis, asynq.Config{
		Concurrency: l.Parallel, LogLevel: asynq.FatalLevel, TaskCheckInterval: 10 * time.Millisecond,
	})
	// A task counts when its handler runs; in the long run as many are done as
	// are begun.
	err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		m.event()
		return nil
	}))
	if err != nil {
		return 0, err
	}
	defer srv.Shutdown()
	return m.rate(ctx, l.duration())
}

// fill makes sure that tasks are waiting. Redis does not sync meanwhile, which
// is quicker and not what is measured.
func (p *asynqPeer) fill(ctx context.Context, l load) error {
	waiting, err := p.redis.LLen(ctx, "asynq:{default}:pending").Result()
	if err != nil || int(waiting) >= l.Waiting {
		return err
	}
	if err := p.redis.ConfigSet(ctx, "appendfsync", "no").Err(); err != nil {
		return err
	}
	var left atomic.Int64
	left.Store(int64(l.Waiting) - waiting)
	client := asynq.NewClientFromRedisClient(p.redis)
	_, err = perSecond(ctx, 64, time.Minute, func(ctx context.Context) error {
		if left.Add(-1) < 0 {
			return errFull
		}
		_, err := client.EnqueueContext(ctx, asynq.NewTask("bench", l.Payload))
		return err
	})
	if !errors.Is(err, errFull) {
		return err
	}
	return p.redis.ConfigSet(ctx, "appendfsync", "always").Err()
}

// errFull ends a filling.
var errFull = errors.New("enough jobs are waiting")

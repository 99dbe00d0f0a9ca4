package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// bus is the embedded NATS server: one connection in process, and in a cluster
// routes to the other nodes' servers, else no port. Events are hints, so nothing of
// it is on disk.
type bus struct {
	server *server.Server
	conn   *nats.Conn
	closed chan struct{}
}

func (b *bus) Name() string { return "bus" }

func (b *bus) Start(_ context.Context, k *Kernel) error {
	options, err := k.busOptions()
	if err != nil {
		return err
	}
	srv, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("make the event bus: %w", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(5 * time.Second) {
		srv.Shutdown()
		return errors.New("the event bus did not start within 5 s")
	}
	if addr := srv.ClusterAddr(); addr != nil {
		k.eventsAddr = addr.String()
		k.state.setAddr("events", k.eventsAddr)
		k.state.setAddr("events of this machine", srv.Addr().String())
		k.Go("routes", func(ctx context.Context) error { return k.followRoutes(ctx, srv, options) })
	}
	b.closed = make(chan struct{})
	b.conn, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("streamgate"),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			k.Log.Debug("events were lost", "subject", subject(sub), "err", err)
		}))
	if err != nil {
		srv.Shutdown()
		return fmt.Errorf("connect to the event bus: %w", err)
	}
	b.server, k.Bus = srv, b.conn
	k.Check("bus", func(context.Context) error {
		if !b.conn.IsConnected() {
			return errors.New("the event bus is not connected")
		}
		return nil
	})
	return nil
}

// Stop lets listeners handle what has arrived before the server goes.
func (b *bus) Stop(ctx context.Context) error {
	err := b.conn.Drain()
	if err == nil {
		select {
		case <-b.closed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	b.server.Shutdown()
	b.server.WaitForShutdown()
	return err
}

func subject(sub *nats.Subscription) string {
	if sub == nil {
		return ""
	}
	return sub.Subject
}

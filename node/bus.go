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
// it is on disk. With bus.url it is the connection to a server elsewhere: see
// bus_shared.go.
type bus struct {
	server *server.Server // nil if it is elsewhere
	conn   *nats.Conn
	closed chan struct{}
}

func (b *bus) Name() string { return "bus" }

func (b *bus) Start(_ context.Context, k *Kernel) error {
	b.closed = make(chan struct{})
	if k.Config.Bus.URL != "" {
		return b.join(k)
	}
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
	b.conn, err = nats.Connect("", append(b.options(k), nats.InProcessServer(srv))...)
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

// options are those of every connection.
func (b *bus) options(k *Kernel) []nats.Option {
	return []nats.Option{
		nats.Name("streamgate"), nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			k.Log.Debug("events were lost", "subject", subject(sub), "err", err)
		}),
	}
}

// Stop lets listeners handle what has arrived before the server goes.
func (b *bus) Stop(ctx context.Context) error {
	if b.server == nil && !b.conn.IsConnected() { // nothing arrives any more
		b.conn.Close()
		return nil
	}
	err := b.conn.Drain()
	if err == nil {
		select {
		case <-b.closed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
	return err
}

func subject(sub *nats.Subscription) string {
	if sub == nil {
		return ""
	}
	return sub.Subject
}

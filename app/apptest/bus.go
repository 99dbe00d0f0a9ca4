// Package apptest is what the tests of services and of the node share.
//
// # Usage
//
//	bus := apptest.NewBus(t)
//	log := &apptest.Log{}
//	svc := New(Config{Bus: bus, Log: slog.New(slog.NewTextHandler(log, nil))})
//
// # Guarantees
//
// What a test is given here ends with it.
package apptest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// NewBus returns a connection to an event bus of the test's own, which has no
// port.
func NewBus(t testing.TB) *nats.Conn {
	t.Helper()
	return NewBuses(t, 1)[0]
}

// NewBuses returns several connections to one such bus, as several nodes have
// them.
func NewBuses(t testing.TB, n int) []*nats.Conn {
	t.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(30 * time.Second) {
		t.Fatal("the event bus does not start")
	}
	conns := make([]*nats.Conn, n)
	for i := range conns {
		conn, err := nats.Connect("", nats.InProcessServer(srv))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		conns[i] = conn
	}
	return conns
}

package node

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"streamgate/app/events"
)

// natsServer runs a NATS that wants a password, on this port or a free one.
func natsServer(t *testing.T, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, Username: "films", Password: "secret", NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	t.Cleanup(srv.Shutdown)
	return srv
}

// TestSharedBus: two nodes on one NATS hear each other; while it is away they serve,
// degraded, and when it is back they hear each other again.
func TestSharedBus(t *testing.T) {
	srv := natsServer(t, server.RANDOM_PORT)
	port := srv.Addr().String()[strings.LastIndex(srv.Addr().String(), ":")+1:]
	start := func() *Node {
		cfg := testConfig(t, t.TempDir())
		cfg.Bus.URL = "nats://films:secret@127.0.0.1:" + port
		return startNode(t, cfg)
	}
	one, two := start(), start()
	heard := make(chan events.Jobs, 100)
	if _, err := events.JobsReady.Listen(two.kernel.Bus, func(j events.Jobs) { heard <- j }); err != nil {
		t.Fatal(err)
	}
	hears := func() bool {
		events.JobsReady.Announce(one.kernel.Bus, one.kernel.Log, events.Jobs{Rank: 2})
		select {
		case <-heard:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}
	within(t, "heard", hears)
	at := srv.Addr().String()
	srv.Shutdown()
	srv.WaitForShutdown()
	within(t, "degraded", func() bool {
		status, ready := readyz(t, one.Addr("operator"))
		return status == http.StatusOK && ready.Status == phaseDegraded && strings.Contains(ready.Checks["bus"], "NATS")
	})
	_, number, err := splitPort(at)
	if err != nil {
		t.Fatal(err)
	}
	natsServer(t, number)
	within(t, "heard again", hears)
	within(t, "ready", func() bool {
		_, ready := readyz(t, one.Addr("operator"))
		return ready.Status == phaseReady
	})
}

// TestSharedBusRefused: who is not let in, and who finds nobody, does not start, and
// says so in a line without the secret.
func TestSharedBusRefused(t *testing.T) {
	srv := natsServer(t, server.RANDOM_PORT)
	at := srv.Addr().String()
	for address, says := range map[string]string{
		"nats://films:wrong-secret@" + at:       "does not let the node in",
		"nats://" + at:                          "bus.credentials_file",
		"nats://films:wrong-secret@127.0.0.1:1": "no NATS server answers at 127.0.0.1:1",
		"tls://films:wrong-secret@" + at:        "bus.url",
	} {
		cfg := testConfig(t, t.TempDir())
		cfg.Bus.URL = address
		n, err := New(cfg, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = n.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "wrong-secret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for text, want := range map[string]bool{
		"nats://a:4222": true, "tls://u:p@a": true, "nats://a,nats://b:4222": true,
		"http://a": false, "a:4222": false, "nats://": false, "nats://a/b": false, "nats://a,": false,
	} {
		if got := validBus(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

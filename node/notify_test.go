package node

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cfg := Default()
	cfg.DataDir = t.TempDir()
	n, err := assemble(cfg, Options{Env: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=2000"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := receive(t, conn); !strings.HasPrefix(got, want) {
			t.Fatalf("got %q, want %s", got, want)
		}
	}
	cancel()
	for !strings.HasPrefix(receive(t, conn), "STOPPING=1") { // signs of life may come between
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 1024)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotifyNobody(t *testing.T) {
	if n := newNotifier([]string{"WATCHDOG_USEC=2000"}); n.watchdog != 0 {
		t.Error("signs of life without a socket")
	}
	newNotifier([]string{"NOTIFY_SOCKET=/no/such"}).stopping() // must not matter
}

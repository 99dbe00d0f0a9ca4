package redis_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/memory"
	"streamgate/store/redis"
	"streamgate/store/storetest"
)

// socket is where the server of all tests listens.
var socket string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "streamgate-redis-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		socket = filepath.Join(dir, "socket")
		if _, err := exec.LookPath("redis-server"); err != nil {
			fmt.Fprintln(os.Stderr, "redis-server is not installed: apt-get install redis-server; these tests are skipped")
			return 0
		}
		stop, err := serve(socket)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer stop()
		return m.Run()
	}())
}

// serve starts a server at a socket, with nothing in it.
func serve(socket string) (stop func(), err error) {
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no",
		"--dir", filepath.Dir(socket), "--maxmemory-policy", "noeviction")
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	stop = func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.Remove(socket)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return stop, conn.Close()
		}
		if time.Now().After(deadline) {
			stop()
			return nil, fmt.Errorf("redis-server does not listen: %w", err)
		}
	}
}

func open(t *testing.T, socket string, opts redis.Options) *redis.Cache {
	t.Helper()
	opts.URL = "unix://" + socket
	c, err := redis.NewCache(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCache(t *testing.T) {
	n := 0
	storetest.TestCache(t, func(t *testing.T, clock *storetest.Clock) store.Cache {
		n++
		return open(t, fmt.Sprintf("%s?db=%d", socket, n), redis.Options{Now: clock.Now})
	})
}

// TestServersClock: without a clock of its own the cache goes by the server's.
func TestServersClock(t *testing.T) {
	c := open(t, socket, redis.Options{})
	if err := c.Set(t.Context(), "short", []byte("x"), time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, err := c.Get(t.Context(), "short")
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("a value of a nanosecond is still there: %v", err)
		}
	}
	for i := range 3 {
		if got, err := c.Allow(t.Context(), "slow", 1e-9, 2); err != nil || got.OK != (i < 2) {
			t.Errorf("call %d: %+v, %v", i, got, err)
		}
	}
}

// TestAway: without the server limits are the node's own, values are refused,
// and nobody waits long; once it is back it counts again.
func TestAway(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	stop, err := serve(at)
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, at, redis.Options{Local: memory.NewCache(memory.Options{})})
	if err := c.Set(t.Context(), "nonce", []byte("1"), time.Hour); err != nil {
		t.Fatal(err)
	}
	stop()
	for name, call := range map[string]func() error{
		"get":  func() error { _, err := c.Get(t.Context(), "nonce"); return err },
		"take": func() error { _, err := c.Take(t.Context(), "nonce"); return err },
		"set":  func() error { return c.Set(t.Context(), "nonce", nil, time.Hour) },
	} {
		if err := call(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s without a server: %v", name, err)
		}
	}
	for i := range 3 {
		if got, err := c.Allow(t.Context(), "k", 1e-9, 2); err != nil || got.OK != (i < 2) {
			t.Errorf("call %d without a server: %+v, %v", i, got, err)
		}
	}
	if stop, err = serve(at); err != nil {
		t.Fatal(err)
	}
	defer stop()
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := c.Set(t.Context(), "nonce", []byte("2"), time.Hour)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatalf("after the server is back: %v", err)
		}
	}
	if got, err := c.Take(t.Context(), "nonce"); err != nil || string(got) != "2" {
		t.Errorf("took %q, %v", got, err)
	}
}

func TestAddressThatIsNone(t *testing.T) {
	for _, url := range []string{"", "localhost:6379", "http://localhost", "redis://localhost:6379/x"} {
		if _, err := redis.NewCache(redis.Options{URL: url}); err == nil {
			t.Errorf("%q: no error", url)
		}
	}
}

func TestAllowRefusesLimitsThatLetNothingPass(t *testing.T) {
	c := open(t, socket, redis.Options{})
	if _, err := c.Allow(t.Context(), "a", 0, 1); err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a rate of 0: %v", err)
	}
}

package redis_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"streamgate/store"
	"streamgate/store/memory"
	"streamgate/store/redis"
	"streamgate/store/servertest"
	"streamgate/store/storetest"
)

// server is the Redis of all tests.
var server *servertest.Redis

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if server, err = servertest.StartRedis(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if errors.Is(err, servertest.ErrMissing) {
				return 0 // these tests are skipped
			}
			return 1
		}
		defer server.Close()
		return m.Run()
	}())
}

func open(t *testing.T, url string, opts redis.Options) *redis.Cache {
	t.Helper()
	opts.URL = url
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
		return open(t, fmt.Sprintf("%s?db=%d", server.URL(), n), redis.Options{Now: clock.Now})
	})
}

// TestServersClock: without a clock of its own the cache goes by the server's.
func TestServersClock(t *testing.T) {
	c := open(t, server.URL(), redis.Options{})
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
	own, err := servertest.StartRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	c := open(t, own.URL(), redis.Options{Local: memory.NewCache(memory.Options{})})
	if err := c.Set(t.Context(), "nonce", []byte("1"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := own.Kill(); err != nil {
		t.Fatal(err)
	}
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
	if err := c.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ping without a server: %v", err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
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
	c := open(t, server.URL(), redis.Options{})
	if _, err := c.Allow(t.Context(), "a", 0, 1); err == nil || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a rate of 0: %v", err)
	}
}

// TestLook: what streamgate doctor tells of a server.
func TestLook(t *testing.T) {
	evicts, err := servertest.StartRedisWith("allkeys-lru")
	if err != nil {
		t.Fatal(err)
	}
	defer evicts.Close()
	for url, policy := range map[string]string{server.URL(): "noeviction", evicts.URL(): "allkeys-lru"} {
		if got, err := redis.Look(t.Context(), url); err != nil || got.Policy != policy || got.Server == "" {
			t.Errorf("%+v, %v; want %s", got, err, policy)
		}
	}
	if _, err := redis.Look(t.Context(), "unix:///none"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("where no server is: %v", err)
	}
	if !redis.ValidURL("rediss://u:p@h:1/2") || redis.ValidURL("http://h") || redis.ValidURL("h:6379") {
		t.Error("ValidURL is wrong")
	}
}

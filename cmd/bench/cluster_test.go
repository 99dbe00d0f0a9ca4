package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"streamgate/store"
	"streamgate/store/servertest"
)

// TestCounter: what the server sends is whole and counted, what it is sent is not.
func TestCounter(t *testing.T) {
	down, up := strings.Repeat("d", 100_000), strings.Repeat("u", 1_000_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != up {
			t.Errorf("the server was sent %d bytes, %v", len(got), err)
		}
		_, _ = io.WriteString(w, down)
	}))
	defer server.Close()
	c, err := startCounter(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	client := newClient()
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://"+c.address()+"/", "text/plain", strings.NewReader(up))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != down {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if sent := c.sent.Load(); sent < int64(len(down)) || sent > int64(len(down))+1000 {
		t.Errorf("%d bytes were counted, want %d and a head", sent, len(down))
	}
}

// TestQueueNode: a node of the queue does what it is asked for, and says when it
// cannot go on.
func TestQueueNode(t *testing.T) {
	address := servertest.NeedPostgres(t, servertest.PostgresOptions{}).Address("postgres")
	var asked, told bytes.Buffer
	asks := json.NewEncoder(&asked)
	for _, what := range []string{"push", "work", "work"} {
		seconds := 0.05
		if what == "work" {
			seconds = 60 // until no job is left
		}
		if err := asks.Encode(queueAsk{address, 1, what, 2, seconds}); err != nil {
			t.Fatal(err)
		}
	}
	if err := serveQueue(&asked, &told); err != nil {
		t.Fatal(err)
	}
	hello, answers, _ := strings.Cut(told.String(), "\n")
	if hello != "ready" {
		t.Errorf("it began with %q", hello)
	}
	decoder := json.NewDecoder(strings.NewReader(answers))
	for i, want := range []struct {
		rate, leases bool
		err          string
	}{{rate: true}, {rate: true, leases: true, err: store.ErrEmpty.Error()}, {err: store.ErrEmpty.Error()}} {
		var got queueTold
		if err := decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.PerSecond > 0 != want.rate || len(got.Leases) > 0 != want.leases || got.Error != want.err {
			t.Errorf("answer %d: %.1f/s, %d leases, %q", i, got.PerSecond, len(got.Leases), got.Error)
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// serveChain runs "devchain serve" and returns what it printed.
func serveChain(t *testing.T, flags ...string) summary {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--json"}, flags...)
	go func() { ended <- run(ctx, in, t.Output(), args) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d", code)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(line, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommands(t *testing.T) {
	s := serveChain(t)
	if len(s.Accounts) != 6 || len(s.Contracts) != len(contractNames()) || s.ChainID != 1337 {
		t.Fatalf("serve printed %+v", s)
	}
	to := s.Accounts[2].Address.Hex()
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"mint holder", 0, "token 1 belongs to " + s.Accounts[1].Address.Hex()},
		{"mint holder --id 77", 0, "token 77 belongs"},
		{"transfer holder buyer 77", 0, "token 77 belongs to " + s.Accounts[3].Address.Hex()},
		{"transfer holder buyer 77", 1, ""},
		{"burn 77", 0, "burned"},
		{"mint1155 holder 5 10", 0, "10 of token 5"},
		{"transfer1155 holder " + to + " 5 4", 0, "4 of token 5 to " + to},
		{"mint20 holder 10", 0, "10 units"},
		{"transfer20 holder buyer 10", 0, "10 units"},
		{"pay holder buyer 10", 0, "10 wei"},
		{"delegate vault hot", 0, "true"},
		{"delegate vault hot --off", 0, "false"},
		{"wallet holder", 0, "wallet 0x"},
		{"mine 3", 0, "the head is block"},
		{"reorg 2", 0, "the head is block"},
		{"reorg 20000", 1, ""},
		{"accounts", 0, "everybody knows"},
		{"mint nobody", 2, ""},
		{"mint", 2, ""},
		{"mine -1", 2, ""},
		{"mine x", 2, ""},
		{"fly", 2, ""},
		{"mint20 holder -5", 2, ""},
	} {
		out := new(bytes.Buffer)
		words := strings.Fields(c.line)
		args := append([]string{words[0], "--rpc", s.URL}, words[1:]...)
		code := run(t.Context(), out, t.Output(), args)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit code %d (want %d), said %q", c.line, code, c.code, out)
		}
	}
	if code := run(t.Context(), io.Discard, t.Output(), nil); code != 2 {
		t.Errorf("no command: exit code %d", code)
	}
}

// TestServeDemo: by the time the chain says that it is there, the holder has
// the demo token.
func TestServeDemo(t *testing.T) {
	s := serveChain(t, "--demo", "--block-time", "50ms")
	out := new(bytes.Buffer)
	if code := run(t.Context(), out, t.Output(), []string{"transfer", "holder", "stranger", "1", "--rpc", s.URL}); code != 0 {
		t.Errorf("the holder cannot hand the demo token over: exit code %d, %s", code, out)
	}
}

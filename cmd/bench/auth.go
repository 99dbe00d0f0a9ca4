package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"streamgate/app/access/sessions"
)

// authCommand makes the bench be the upstream that nginx asks.
const authCommand = "auth-upstream"

// serveAuth answers nginx's auth_request until stdin ends. It checks the very
// tickets that the node checks, with the node's own code, and does nothing
// else. It first prints its address and a ticket.
func serveAuth(stdin io.Reader, stdout io.Writer) error {
	tickets, err := sessions.NewTickets(context.Background(), secrets{})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri, _ := strings.CutPrefix(r.Header.Get("X-Original-Uri"), "/s/")
		token, _, _ := strings.Cut(uri, "/")
		if _, err := tickets.Verify(token, time.Now()); err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // ends with the bench
		_ = srv.Close()                   // the process ends
	}()
	token := tickets.Sign(sessions.Ticket{
		SessionID: "01994f6c2e5a7c3b8d1f", VideoID: "01994f6c2e5a7c3b8d20", Expires: time.Now().Add(4 * time.Hour),
	})
	fmt.Fprintln(stdout, ln.Addr(), token)
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// secrets makes keys that live as long as the process.
type secrets struct{}

func (secrets) Secret(_ context.Context, _ string, _ func() []byte) ([]byte, error) {
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	return key, nil
}

// authUpstream is that process, seen from the bench.
type authUpstream struct {
	*helper
	addr  string
	token string
}

func startAuth(ctx context.Context) (*authUpstream, error) {
	h, line, err := startHelper(ctx, authCommand)
	if err != nil {
		return nil, err
	}
	a := &authUpstream{helper: h}
	if _, err := fmt.Sscan(line, &a.addr, &a.token); err != nil {
		a.stop()
		return nil, fmt.Errorf("the auth upstream said %q", line)
	}
	return a, nil
}

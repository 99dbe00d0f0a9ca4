package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"streamgate/app/access"
)

// authCommand makes the bench be the upstream that nginx asks: a process of
// its own, so that its CPU time can be told apart.
const authCommand = "auth-upstream"

// serveAuth answers nginx's auth_request until stdin ends. It checks the very
// tickets that the node checks, with the node's own code, and does nothing
// else. It first prints its address and a ticket.
func serveAuth(stdin io.Reader, stdout io.Writer) error {
	tickets, err := access.NewTickets(context.Background(), secrets{})
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
	token := tickets.Sign(access.Ticket{
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
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
	token string
}

func startAuth(ctx context.Context) (*authUpstream, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &authUpstream{cmd: command(ctx, self, authCommand)}
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the auth upstream: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scanned := fmt.Sscan(line, &a.addr, &a.token); err != nil || scanned != nil {
		a.stop()
		return nil, fmt.Errorf("the auth upstream said %q", line)
	}
	return a, nil
}

func (a *authUpstream) stop() {
	a.stdin.Close()
	_ = a.cmd.Wait() // also if it was killed
}

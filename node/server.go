package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"streamgate/node/cluster"
)

// Server is one HTTP server of the node: HTTP/1.1 and HTTP/2 without TLS
// (h2c), so that gRPC works on every port.
type Server struct {
	Name    string // in logs and for Node.Addr
	Key     string // the configuration key of Addr, for the message when it is taken
	Addr    string // host:port; port 0 picks a free one
	Handler http.Handler
	// Listener replaces Addr if set.
	Listener net.Listener
	// TLS makes it HTTPS; HTTP/1.1 and HTTP/2 then.
	TLS *tls.Config
}

const (
	// readHeaderTimeout ends connections that send their headers too slowly.
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	// serverGrace is how long requests may take to end when the node stops.
	// Uploads cut off then resume; players ask again.
	serverGrace = 5 * time.Second
	// notSentLowat bounds what the kernel holds unsent of each connection,
	// bytes: less memory and fewer wake-ups when sending files.
	notSentLowat = 32 << 10
)

// Serve listens before it returns, and serves until the part that is being
// started stops; requests may then take a few seconds to end. There is no
// time-out on bodies: uploads and media take as long as they take.
func (k *Kernel) Serve(ctx context.Context, s Server) error {
	ln := s.Listener
	if ln == nil {
		var err error
		if ln = k.sockets.pick(s.Name, s.Addr); ln == nil {
			ln, err = listen(ctx, s.Key, s.Addr)
		}
		if err != nil {
			return err
		}
		k.state.setListener(s.Name, ln)
	}
	k.state.setAddr(s.Name, ln.Addr().String())
	srv := k.httpServer(s)
	if s.TLS != nil {
		ln = tls.NewListener(cluster.Bulk(ln), s.TLS)
	}
	k.Go("server "+s.Name, func(ctx context.Context) error {
		return serve(ctx, srv, ln)
	})
	return nil
}

func serve(ctx context.Context, srv *http.Server, ln net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), serverGrace)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		return srv.Close()
	}
	return nil
}

func (k *Kernel) httpServer(s Server) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(s.TLS == nil)
	protocols.SetHTTP2(s.TLS != nil)
	return &http.Server{
		Handler:           under(k.Config.APIGateway.root(), k.counted(s.Name, k.observe(s.Name, k.readOnly.guard(s.Handler)))),
		Protocols:         protocols,
		TLSConfig:         s.TLS,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       k.connContext(s),
		ErrorLog:          slog.NewLogLogger(k.Log.With("server", s.Name).Handler(), slog.LevelDebug),
	}
}

// connContext sees to how a server's connections send.
func (k *Kernel) connContext(s Server) func(context.Context, net.Conn) context.Context {
	switch {
	case s.TLS != nil:
		return cluster.BulkContext
	case k.has(RoleStreaming):
		return sendSoon
	}
	return nil // it hands on what it has in memory, which the kernel may as well have
}

// sendSoon sets TCP_NOTSENT_LOWAT; where that fails the server is only slower.
func sendSoon(ctx context.Context, c net.Conn) context.Context {
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
			})
		}
	}
	return ctx
}

// listenWait is how long an address may be in use at the start: a child that a
// killed node was just starting holds the node's listeners for a moment.
const (
	listenWait  = time.Second
	listenEvery = 20 * time.Millisecond
)

// bind binds addr, and waits for it a little.
func bind(ctx context.Context, addr string) (net.Listener, error) {
	again := time.NewTicker(listenEvery)
	defer again.Stop()
	for until := time.Now().Add(listenWait); ; {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(until) {
			return ln, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-again.C:
		}
	}
}

// listen binds addr; its error names the key and the mend.
func listen(ctx context.Context, key, addr string) (net.Listener, error) {
	ln, err := bind(ctx, addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another program (or another node); stop that one, or set %s to a free port",
			key, addr, key)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: %s may not be opened by this user; choose a port above 1023, or grant CAP_NET_BIND_SERVICE",
			key, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is no address of this machine; use 127.0.0.1, or 0.0.0.0 for all of them", key, addr)
	default:
		return nil, fmt.Errorf("%s: listen on %s: %w", key, addr, err)
	}
}

// PublicURL is the base URL under which clients reach the node, without a
// trailing slash: the configured one, else that of the public server.
func (k *Kernel) PublicURL() string {
	if base := k.Config.APIGateway.PublicURL; base != "" {
		return strings.TrimRight(base, "/")
	}
	addr := k.state.addr(publicServer)
	if addr == "" {
		addr = k.Config.APIGateway.addr(k.Config.APIGateway.Port)
	}
	return plainURL(addr)
}

// plainURL is the base URL of a server on this machine.
func plainURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}).String()
}

// root is the path of the public URL without a trailing slash: "/videos", or ""
// if the node has its host to itself.
func (g *APIGateway) root() string {
	u, err := url.Parse(g.PublicURL)
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.Path, "/")
}

// addr is a port of the gateway's host.
func (g *APIGateway) addr(port int) string { return net.JoinHostPort(g.Host, strconv.Itoa(port)) }

package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/store"
)

const (
	// busDialLimit bounds connecting to one server.
	busDialLimit = 3 * time.Second
	// busRetry is the pause between two tries to reach the servers again.
	busRetry = 2 * time.Second
)

// validBus tells whether a text is what bus.url takes.
func validBus(text string) bool {
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return false
		}
	}
	return true
}

// join connects to the NATS that the nodes share. At the start it must be there and
// let the node in: a slip in the address would else only show as slowness. Later it
// may go and come back.
func (b *bus) join(k *Kernel) error {
	cfg := &k.Config.Bus
	for key, file := range map[string]string{"bus.credentials_file": cfg.CredentialsFile, "bus.ca_file": cfg.CAFile} {
		if _, err := os.ReadFile(file); file != "" && err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	options := append(b.options(k), nats.Timeout(busDialLimit), nats.MaxReconnects(-1), nats.ReconnectWait(busRetry), nats.IgnoreAuthErrorAbort())
	if cfg.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.CAFile != "" {
		options = append(options, nats.RootCAs(cfg.CAFile))
	}
	var err error
	if b.conn, err = nats.Connect(cfg.URL, options...); err != nil {
		return busFault(cfg, err)
	}
	k.Bus = b.conn
	k.watch(&backend{
		check: "bus", name: "NATS", key: "bus.url", ready: always,
		without: "events are lost: nodes find work, and pages change, some seconds later",
		ask: func(ctx context.Context) error {
			if err := b.conn.FlushWithContext(ctx); err != nil {
				return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
			}
			return nil
		},
	})
	return nil
}

// busFault says why a server does not let the node in, without what is secret of its
// address.
func busFault(cfg *Bus, err error) error {
	var hosts []string
	for one := range strings.SplitSeq(cfg.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	at := strings.Join(hosts, " or ")
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("bus.url: the certificate of the NATS server at %s is not trusted (%w): name its CA in bus.ca_file", at, err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Errorf("bus.url: the NATS server at %s does not let the node in (%w): name its credentials in bus.credentials_file, or write nats://USER:PASSWORD@HOST", at, err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("bus.url: no NATS server answers at %s (%w): start it, or leave bus.url empty on every node", at, err)
	default:
		return fmt.Errorf("bus.url: connect to NATS at %s: %w", at, err)
	}
}

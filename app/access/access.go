// Package access decides who may call and who may watch.
//
// # What
//
// Service implements rpc.AccessHandler: API keys (keys.go) and playback
// sessions (sessions.go). Tickets (tickets.go) are the sessions' signed
// tokens: whoever has the signing key checks one without any I/O.
//
// Beside it stand the parts of the wallet gate, which nothing uses yet: rules
// (rule.go and what begins with its name, schema.go, password.go), decisions
// (decide.go, question.go, reason.go, sentence.go), what chains say (chain.go,
// facts.go, deny.go; package evm asks real ones), and sign-in with Ethereum
// (signin.go, siwe.go, logins.go).
//
// # Usage
//
//	svc := access.New(access.Config{Catalog: …, Tickets: tickets, Log: log})
//	id, err := svc.Authenticate(ctx, "sg_…")   // the gateway does
//	t, err := tickets.Verify(token, time.Now()) // app/stream does
//
// # Guarantees
//
// A key's secret is shown once and kept only as a SHA-256 hash, compared in
// constant time; it carries 130 random bits, so that a slow hash would add
// nothing. A key revoked on this node is refused at once, on another node
// within KeyTTL. No secret and no token is ever logged.
//
// # Testing
//
// Against the embedded backend; Verify is fuzzed and benchmarked.
package access

import (
	"cmp"
	"log/slog"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// KeyTTL is how long an accepted key is remembered without asking the store.
const KeyTTL = 5 * time.Second

// DefaultSessionTTL is how long a session lets its viewer watch.
const DefaultSessionTTL = 4 * time.Hour

// Config is what access needs.
type Config struct {
	Catalog store.Catalog
	Tickets *Tickets
	// SessionTTL is how long a session lasts; 0 means DefaultSessionTTL.
	SessionTTL time.Duration
	Log        *slog.Logger
}

// Service is access.
type Service struct {
	Config
	known *keyCache
}

var (
	_ rpc.AccessHandler = (*Service)(nil)
	_ rpc.AccessClient  = (*Service)(nil)
)

// New returns access over its stores.
func New(cfg Config) *Service {
	cfg.SessionTTL = cmp.Or(cfg.SessionTTL, DefaultSessionTTL)
	return &Service{Config: cfg, known: newKeyCache()}
}

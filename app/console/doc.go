// Package console keeps who may use the console, and what anybody changed.
//
// # What
//
// People sign in with a name and a password, a passkey or a wallet, and have a
// role. The first admin is
// made through a one-time set-up link. Whoever has signed in is a session, which
// is a record: any node may serve it, and it can be ended. Log is the audit log.
//
// # Usage
//
//	audit := console.NewLog(catalog)
//	people := console.New(console.Config{Catalog: catalog, Cache: cache, Audit: audit, Log: log})
//	token, err := people.SetupToken(ctx, false)           // for /console/setup?token=…
//	library := audit.Library(library)                    // its changes are recorded
//	session, token, err := people.SignIn(ctx, name, password, from)
//	who, err := people.Visit(ctx, token)                 // with each request
//
// # Guarantees
//
// Tokens and passwords are kept as hashes only (passwords: argon2id). Attempts
// to sign in are limited by client and by name. A wallet is one person's; who
// adds their own has signed with it. There is always an admin. An
// entry of the audit log is never changed; each covers the one before it by
// its hash, and Verify finds one that was changed, taken out or cut off. It
// cannot find a log that somebody with the whole database wrote anew.
//
// # Testing
//
// On a real store; the chain is damaged in every way that Verify must find.
package console

import (
	"log/slog"
	"time"

	"streamgate/app/rpc"
	"streamgate/store"
)

// Role is what a person may do in the console.
type Role string

// The roles, the strongest first.
const (
	Admin    Role = "admin"     // everything
	Operator Role = "operator"  // all but keys, people and settings
	ReadOnly Role = "read-only" // look
)

// Roles lists the roles, the strongest first.
func Roles() []Role { return []Role{Admin, Operator, ReadOnly} }

// Scope is what the role may do with the services; ScopeNone if there is no
// such role.
func (r Role) Scope() rpc.Scope {
	switch r {
	case Admin:
		return rpc.ScopeAdmin
	case Operator:
		return rpc.ScopeOperator
	case ReadOnly:
		return rpc.ScopeRead
	}
	return rpc.ScopeNone
}

// Includes tells whether who has the role may do what needs the other.
func (r Role) Includes(need Role) bool { return r.Scope() >= need.Scope() }

// Config is what the service needs.
type Config struct {
	Catalog store.Catalog
	Cache   store.Cache
	Audit   *Log
	Log     *slog.Logger
	// SessionTTL is how long a session lasts without being used; 0 means 12 h.
	SessionTTL time.Duration
	// Site is the console's base URL, for which passkeys are made and wallets sign.
	Site func() string
	// Wallets checks what wallets sign; nil: none signs in.
	Wallets Wallets
}

// Service is the people of the console and their sessions.
type Service struct {
	Config
	hashing chan struct{} // bounds the memory that passwords take
}

const (
	defaultSessionTTL = 12 * time.Hour
	hashesAtOnce      = 2
)

// New returns the service.
func New(cfg Config) *Service {
	if cfg.SessionTTL == 0 {
		cfg.SessionTTL = defaultSessionTTL
	}
	return &Service{Config: cfg, hashing: make(chan struct{}, hashesAtOnce)}
}

package rpc

import (
	"context"

	"connectrpc.com/connect"
)

// Scope is what a caller may do. Each scope includes those below it.
type Scope int

// The scopes of API keys, weakest first.
const (
	ScopeNone Scope = iota
	ScopeRead
	ScopeUploader
	ScopeOperator
	ScopeAdmin
)

var scopeNames = [...]string{"", "read", "uploader", "operator", "admin"}

// String returns the scope's name in the API.
func (s Scope) String() string { return scopeNames[s] }

// ParseScope returns the scope of that name.
func ParseScope(name string) (Scope, bool) {
	for i, n := range scopeNames {
		if n == name && i > 0 {
			return Scope(i), true
		}
	}
	return ScopeNone, false
}

// Identity is who calls.
type Identity struct {
	KeyID string // "" for the admin socket and for the node itself
	Scope Scope

	// Wallet has signed in (EIP-55), by the login of this token, which is a
	// secret; both "" for callers without one.
	Wallet, Login string
	// Person has signed in to the console; "" for other callers.
	Person string
	// Client is from where the caller comes, as far as limits tell callers
	// apart: an IPv4 address, an IPv6 /64, or "".
	Client string
}

type identityKey struct{}
type baseURLKey struct{}

// WithIdentity returns a context in which id is the caller. Only the edge
// (HTTP authentication, admin socket, a node's own workers) calls it.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// Caller returns who calls; the zero Identity when nobody signed in.
func Caller(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// System returns a context for work the node does on its own account.
func System(ctx context.Context) context.Context {
	return WithIdentity(ctx, Identity{Scope: ScopeAdmin})
}

// Require returns nil if the caller has at least the scope, else the coded
// error unauthenticated or permission_denied.
func Require(ctx context.Context, need Scope) error {
	switch id := Caller(ctx); {
	case id.Scope >= need:
		return nil
	case id.Scope == ScopeNone:
		return Errorf(connect.CodeUnauthenticated, "unauthenticated",
			"This needs an API key: send it as \"Authorization: Bearer <key>\".")
	default:
		return Errorf(connect.CodePermissionDenied, "permission_denied",
			"This needs a key with scope %s; yours has %s.", need, id.Scope)
	}
}

// WithBaseURL returns a context that remembers the public base URL (no
// trailing slash) under which the caller reached the node.
func WithBaseURL(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseURLKey{}, base)
}

// BaseURL returns the public base URL for links in answers; "" makes them
// paths.
func BaseURL(ctx context.Context) string {
	base, _ := ctx.Value(baseURLKey{}).(string)
	return base
}

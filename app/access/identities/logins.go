package identities

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"streamgate/app/access/eth"
	"streamgate/store"
)

// The outcomes of Logins.Verify other than success.
var (
	// ErrInvalid: the token was not signed by this deployment.
	ErrInvalid = errors.New("invalid login")
	// ErrExpired: the login was good until its time.
	ErrExpired = errors.New("login expired")
	// ErrSignedOut: the login was good, and has been ended.
	ErrSignedOut = errors.New("signed out")
)

// Login is a wallet that has signed in.
type Login struct {
	ID      string // 32 hex digits, random
	Wallet  eth.Address
	Chain   uint64    // on which it signed
	Expires time.Time // whole seconds
}

// A login's token is loginPrefix and the base64url of
//
//	version (1 byte) · expiry (8, Unix seconds, big endian) · chain (8) ·
//	wallet (20) · id (16) · HMAC-SHA256/128 (16)
//
// The HMAC covers all that stands before it. Its key and its version are not
// those of tickets, so that neither can be taken for the other.
const (
	loginPrefix  = "sw_" // lets secret scanners recognise a leaked login
	loginVersion = 0x57
	loginID      = 16
	loginBody    = 1 + 8 + 8 + 20 + loginID
	loginMAC     = 16
	loginKeyName = "login-key"
)

// Logins signs and verifies the tokens of those who signed in. Its methods are
// safe for concurrent use.
type Logins struct {
	key      []byte
	outs     store.Table[store.SignOut]
	encoding *base64.Encoding
}

// NewLogins returns the deployment's logins. The catalog has their signing key
// and remembers who has signed out.
func NewLogins(ctx context.Context, catalog store.Catalog) (*Logins, error) {
	key, err := catalog.Secrets.Secret(ctx, loginKeyName, func() []byte {
		key := make([]byte, sha256.Size)
		rand.Read(key) // never fails (crypto/rand)
		return key
	})
	if err != nil {
		return nil, fmt.Errorf("read the login key: %w", err)
	}
	return loginsWith(key, catalog.SignOuts), nil
}

func loginsWith(key []byte, outs store.Table[store.SignOut]) *Logins {
	return &Logins{key: key, outs: outs, encoding: base64.RawURLEncoding.Strict()}
}

// Issue returns a new login and its token.
func (l *Logins) Issue(wallet eth.Address, chain uint64, expires time.Time) (Login, string) {
	var id [loginID]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	login := Login{ID: hex.EncodeToString(id[:]), Wallet: wallet, Chain: chain, Expires: expires.UTC().Truncate(time.Second)}
	return login, l.sign(login, id)
}

func (l *Logins) sign(login Login, id [loginID]byte) string {
	b := make([]byte, 0, loginBody+loginMAC)
	b = append(b, loginVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(login.Expires.Unix()))
	b = binary.BigEndian.AppendUint64(b, login.Chain)
	b = append(b, login.Wallet[:]...)
	b = append(b, id[:]...)
	b = append(b, l.mac(b)...)
	return loginPrefix + l.encoding.EncodeToString(b)
}

func (l *Logins) mac(body []byte) []byte {
	h := hmac.New(sha256.New, l.key)
	h.Write(body)
	return h.Sum(nil)[:loginMAC]
}

// Verify returns the login of a token that this deployment has issued, unless
// it has expired or was signed out: ErrInvalid, ErrExpired, ErrSignedOut. If
// the store cannot be asked, its error is returned: in doubt nobody is in.
func (l *Logins) Verify(ctx context.Context, token string, now time.Time) (Login, error) {
	login, err := l.parse(token)
	if err != nil {
		return Login{}, err
	}
	if !now.Before(login.Expires) {
		return Login{}, ErrExpired
	}
	_, err = l.outs.Get(ctx, login.ID)
	switch {
	case err == nil:
		return Login{}, ErrSignedOut
	case !errors.Is(err, store.ErrNotFound):
		return Login{}, fmt.Errorf("look for a sign-out: %w", err)
	}
	return login, nil
}

func (l *Logins) parse(token string) (Login, error) {
	text, ok := strings.CutPrefix(token, loginPrefix)
	if !ok || len(text) != l.encoding.EncodedLen(loginBody+loginMAC) {
		return Login{}, ErrInvalid
	}
	b, err := l.encoding.DecodeString(text)
	// The decoder passes over line ends: the length tells.
	if err != nil || len(b) != loginBody+loginMAC || b[0] != loginVersion ||
		!hmac.Equal(l.mac(b[:loginBody]), b[loginBody:]) {
		return Login{}, ErrInvalid
	}
	return Login{
		ID:      hex.EncodeToString(b[loginBody-loginID : loginBody]),
		Wallet:  eth.Address(b[17:37]),
		Chain:   binary.BigEndian.Uint64(b[9:17]),
		Expires: time.Unix(int64(binary.BigEndian.Uint64(b[1:9])), 0).UTC(),
	}, nil
}

// SignOut ends a login before its time. A token that is no longer good, or
// never was, is nothing to end.
func (l *Logins) SignOut(ctx context.Context, token string, now time.Time) error {
	login, err := l.parse(token)
	if err != nil || !now.Before(login.Expires) {
		return nil
	}
	err = l.outs.Create(ctx, store.SignOut{ID: login.ID, Expires: login.Expires})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("remember a sign-out: %w", err)
	}
	return nil
}

// removeExpired forgets the sign-outs of logins that have expired.
func (l *Logins) removeExpired(ctx context.Context, now time.Time) error {
	for out, err := range store.All(ctx, l.outs, store.Query{}) {
		if err == nil && !now.Before(out.Expires) {
			err = l.outs.Delete(ctx, out.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("forget a sign-out: %w", err)
		}
	}
	return nil
}

package identities

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/access/eth"
	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	// NonceTTL is how long a nonce may be used, once.
	NonceTTL = 5 * time.Minute
	// DefaultLoginTTL is how long a login lasts if the message does not say
	// less.
	DefaultLoginTTL = 24 * time.Hour

	maxClockSkew = time.Minute      // of the viewer's clock ahead of ours
	maxIssuedAge = 10 * time.Minute // of a message when it is sent
	maxSignature = 16 << 10         // bytes; a wallet not deployed yet brings its deployment (ERC-6492)

	nonceLen = 26 // what rand.Text gives
)

// SignInConfig is what SignIn needs.
type SignInConfig struct {
	Cache  store.Cache
	Chains eth.Chains
	Logins *Logins
	// LoginTTL is how long a login lasts; 0 means DefaultLoginTTL.
	LoginTTL time.Duration
	// Use tells whose nonces count: what is signed for one use is worth nothing
	// to another. "" is watching.
	Use string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// SignIn is sign-in with Ethereum (EIP-4361).
type SignIn struct{ cfg SignInConfig }

// NewSignIn returns it.
func NewSignIn(cfg SignInConfig) *SignIn {
	if cfg.LoginTTL <= 0 {
		cfg.LoginTTL = DefaultLoginTTL
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &SignIn{cfg: cfg}
}

// Nonce issues a nonce, good for one sign-in within NonceTTL.
func (s *SignIn) Nonce(ctx context.Context) (string, error) {
	nonce := rand.Text()
	if err := s.cfg.Cache.Set(ctx, s.nonceKey(nonce), []byte{1}, NonceTTL); err != nil {
		return "", fmt.Errorf("remember a nonce: %w", err)
	}
	return nonce, nil
}

func (s *SignIn) nonceKey(nonce string) string { return s.cfg.Use + "sign-in-nonce:" + nonce }

// isNonce tells whether a nonce looks like one of ours, so that nothing else
// is ever looked up.
func isNonce(nonce string) bool {
	return len(nonce) == nonceLen && strings.Trim(nonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// Verify checks a message and its signature (0x and hex digits), and returns
// the login and its token. base is the deployment's public base URL as the
// operator has configured it: taken from a Host header it would be worth
// nothing, since then another site could pass on messages signed for it.
//
// Each refusal is a coded error of its own. A nonce is spent by the first
// message that is right but for its signature.
func (s *SignIn) Verify(ctx context.Context, base, message, signature string) (Login, string, error) {
	m, err := parseSIWE(message)
	if err != nil {
		return Login{}, "", err
	}
	now := s.cfg.Now()
	if err := s.prove(ctx, m, base, message, signature, now); err != nil {
		return Login{}, "", err
	}
	expires := now.Add(s.cfg.LoginTTL)
	if !m.Expires.IsZero() && m.Expires.Before(expires) {
		expires = m.Expires
	}
	login, token := s.cfg.Logins.Issue(m.Address, m.Chain, expires)
	return login, token, nil
}

// Prove is Verify for who wants no login, but to know whose wallet (EIP-55) has
// signed a statement: that one, word for word.
func (s *SignIn) Prove(ctx context.Context, base, statement, message, signature string) (wallet string, err error) {
	m, err := parseSIWE(message)
	if err != nil {
		return "", err
	}
	if m.Statement != statement {
		return "", refuse("statement_mismatch", "The message is for something else than this: sign the one that the page asks for.")
	}
	if err := s.prove(ctx, m, base, message, signature, s.cfg.Now()); err != nil {
		return "", err
	}
	return m.Address.String(), nil
}

// Chains are the ids of the chains on which wallets may sign in.
func (s *SignIn) Chains() []uint64 { return s.cfg.Chains.IDs() }

// Wallet is an address that somebody typed, as EIP-55 has it: invalid_wallet.
func (s *SignIn) Wallet(text string) (string, error) {
	a, err := eth.ParseAddress(strings.TrimSpace(text))
	if err == nil && a.IsZero() {
		err = errors.New("the zero address belongs to nobody")
	}
	if err != nil {
		return "", rpc.Invalid("invalid_wallet", "The wallet: %s.", err)
	}
	return a.String(), nil
}

// prove checks that the wallet of a message has signed it for base.
func (s *SignIn) prove(ctx context.Context, m *siweMessage, base, message, signature string, now time.Time) error {
	if err := checkSite(m, base); err != nil {
		return err
	}
	if !slices.Contains(s.cfg.Chains.IDs(), m.Chain) {
		return refuse("chain_not_configured", "Wallets cannot sign in on this chain here: switch to one of %v.", s.cfg.Chains.IDs())
	}
	if err := checkTimes(m, now); err != nil {
		return err
	}
	sig, err := decodeSignature(signature)
	if err != nil {
		return err
	}
	if err := s.spend(ctx, m.Nonce); err != nil {
		return err
	}
	return s.checkSignature(ctx, m, message, sig)
}

// checkSite compares the message with where we are.
func checkSite(m *siweMessage, base string) error {
	ours, err := url.Parse(base)
	if err != nil || ours.Host == "" || ours.Scheme != "http" && ours.Scheme != "https" {
		return fmt.Errorf("the base URL %q has no scheme or host", base)
	}
	switch {
	case m.Domain != ours.Host:
		return refuse("domain_mismatch", "The message is for another site than %s, which is the one that api_gateway.public_url names or the node's own.", ours.Host)
	case m.Scheme != "" && m.Scheme != ours.Scheme:
		return refuse("scheme_mismatch", "The message is for %s, not for %s.", m.Scheme, ours.Scheme)
	case m.URI.Scheme != ours.Scheme || m.URI.Host != ours.Host || m.URI.User != nil || m.URI.Opaque != "":
		return refuse("uri_mismatch", "The message's URI is not of %s://%s.", ours.Scheme, ours.Host)
	}
	return nil
}

func checkTimes(m *siweMessage, now time.Time) error {
	switch {
	case m.IssuedAt.After(now.Add(maxClockSkew)):
		return refuse("issued_in_future", "The message was issued in the future: check the clock of your device.")
	case now.Sub(m.IssuedAt) > maxIssuedAge:
		return refuse("issued_too_long_ago", "The message was issued more than %v ago: sign a new one.", maxIssuedAge)
	case !m.Expires.IsZero() && !m.Expires.After(m.IssuedAt):
		return refuse("expires_before_issue", "The message expires before it was issued: sign a new one.")
	// A token's time is whole seconds: what is left must not round to nothing.
	case !m.Expires.IsZero() && !now.Before(m.Expires.Truncate(time.Second)):
		return refuse("message_expired", "The message has expired: sign a new one.")
	case !m.NotBefore.IsZero() && now.Before(m.NotBefore):
		return refuse("message_not_yet_valid", "The message is not valid yet: sign a new one.")
	}
	return nil
}

func decodeSignature(text string) ([]byte, error) {
	if len(text) > 2+2*maxSignature {
		return nil, refuse("signature_too_long", "The signature is longer than %d bytes: sign again.", maxSignature)
	}
	digits, ok := strings.CutPrefix(text, "0x")
	sig, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, refuse("signature_malformed", "The signature must be 0x and hex digits.")
	}
	return sig, nil
}

// spend takes the nonce, so that nobody else can.
func (s *SignIn) spend(ctx context.Context, nonce string) error {
	if !isNonce(nonce) {
		return refuse("nonce_malformed", "The nonce was not given out here: ask for a new one.")
	}
	_, err := s.cfg.Cache.Take(ctx, s.nonceKey(nonce))
	if errors.Is(err, store.ErrNotFound) {
		return refuse("nonce_unknown", "The nonce has been used or is too old: sign a new message.")
	}
	if err != nil {
		return fmt.Errorf("take a nonce: %w", err)
	}
	return nil
}

func (s *SignIn) checkSignature(ctx context.Context, m *siweMessage, message string, sig []byte) error {
	err := s.cfg.Chains.VerifySignature(ctx, m.Chain, m.Address, eth.PersonalHash(message), sig)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eth.ErrSignature):
		return refuse("signature_wrong", "The signature is not that of %s: sign with that wallet.", m.Address)
	case errors.Is(err, eth.ErrChainUnknown):
		return refuse("chain_not_configured", "Wallets cannot sign in on this chain here: switch to one of %v.", s.cfg.Chains.IDs())
	case errors.Is(err, eth.ErrChainUnreachable):
		return rpc.Errorf(connect.CodeUnavailable, "chain_unreachable",
			"The signature cannot be checked now, because its chain cannot be reached: try again soon.")
	}
	return fmt.Errorf("verify a signature: %w", err)
}

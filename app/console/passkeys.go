package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	challengeTTL   = 5 * time.Minute // from asking for a passkey to its answer
	maxPasskeys    = 20              // of a person
	maxPasskeyName = 60              // characters
	maxAnswer      = 64 << 10        // bytes of what a browser answers
)

// Challenge is what a browser is asked: Options for navigator.credentials, and
// the Ticket to bring back with its answer, once.
type Challenge struct {
	Ticket  string `json:"ticket"`
	Options any    `json:"options"`
}

// PasskeyOrigin is the origin for which passkeys are made; passkeys_unavailable
// says why there can be none.
func (s *Service) PasskeyOrigin() (string, error) {
	u, err := url.Parse(s.Site())
	if err != nil {
		return "", fmt.Errorf("the console's base URL: %w", err)
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if ip != nil && ip.IsLoopback() { // browsers take no address, but this name for it
		host, ip = "localhost", nil
	}
	if ip != nil || u.Scheme != "https" && host != "localhost" {
		return "", rpc.Errorf(connect.CodeFailedPrecondition, "passkeys_unavailable",
			"Browsers make passkeys for a host name with TLS, or for localhost; the console is at %s. Set its public_url to an https address with a name.", u.Scheme+"://"+u.Host)
	}
	if port := u.Port(); port != "" {
		host = net.JoinHostPort(host, port)
	}
	return u.Scheme + "://" + host, nil
}

func (s *Service) relyingParty() (*webauthn.WebAuthn, error) {
	origin, err := s.PasskeyOrigin()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "StreamGate", RPOrigins: []string{origin},
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
	})
}

// holder is a person as go-webauthn wants them.
type holder struct {
	name string
	keys []webauthn.Credential
}

// WebAuthnID tells nothing of the person to who holds the device.
func (h *holder) WebAuthnID() []byte {
	sum := sha256.Sum256([]byte("streamgate console person " + h.name))
	return sum[:]
}
func (h *holder) WebAuthnName() string                       { return h.name }
func (h *holder) WebAuthnDisplayName() string                { return h.name }
func (h *holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

// Passkeys lists a person's passkeys. Scope: admin, or the person's own.
func (s *Service) Passkeys(ctx context.Context, name string) ([]store.Passkey, error) {
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil && rpc.Caller(ctx).Person != name {
		return nil, err
	}
	return s.passkeys(ctx, name)
}

func (s *Service) passkeys(ctx context.Context, name string) ([]store.Passkey, error) {
	var out []store.Passkey
	for p, err := range store.All(ctx, s.Catalog.Passkeys, store.Query{Parent: name}) {
		if err != nil {
			return nil, fmt.Errorf("list passkeys: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *Service) holder(ctx context.Context, name string) (*holder, error) {
	list, err := s.passkeys(ctx, name)
	if err != nil {
		return nil, err
	}
	h := &holder{name: name}
	for _, p := range list {
		var key webauthn.Credential
		if err := json.Unmarshal(p.Credential, &key); err != nil {
			return nil, fmt.Errorf("read a passkey of %s: %w", name, err)
		}
		h.keys = append(h.keys, key)
	}
	return h, nil
}

// AskPasskey begins to make a passkey for the caller: passkeys_unavailable,
// too_many_passkeys.
func (s *Service) AskPasskey(ctx context.Context) (Challenge, error) {
	party, err := s.relyingParty()
	if err != nil {
		return Challenge{}, err
	}
	h, err := s.holder(ctx, rpc.Caller(ctx).Person)
	if err != nil {
		return Challenge{}, err
	}
	if len(h.keys) >= maxPasskeys {
		return Challenge{}, rpc.Errorf(connect.CodeFailedPrecondition, "too_many_passkeys", "You have %d passkeys; remove one first.", len(h.keys))
	}
	options, session, err := party.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
	if err != nil {
		return Challenge{}, fmt.Errorf("begin to make a passkey: %w", err)
	}
	ticket, err := s.remember(ctx, session)
	return Challenge{ticket, options.Response}, err
}

// AddPasskey keeps the passkey that the caller's browser has made:
// challenge_over, invalid_passkey, invalid_passkey_name.
func (s *Service) AddPasskey(ctx context.Context, name, ticket, answer string) error {
	name = strings.TrimSpace(name)
	if name == "" || len([]rune(name)) > maxPasskeyName {
		return rpc.Invalid("invalid_passkey_name", "A passkey's name has 1 to %d characters.", maxPasskeyName)
	}
	party, session, err := s.answered(ctx, ticket)
	if err != nil {
		return err
	}
	person := rpc.Caller(ctx).Person
	h, err := s.holder(ctx, person)
	if err != nil {
		return err
	}
	var key *webauthn.Credential
	parsed, err := protocol.ParseCredentialCreationResponseBytes(bounded(answer))
	if err == nil {
		key, err = party.CreateCredential(h, session, parsed)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "a passkey was not taken", "person", person, "err", detail(err))
		return rpc.Invalid("invalid_passkey", "The browser's answer is no passkey for this console; try again.")
	}
	data, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("keep a passkey: %w", err)
	}
	rec := store.Passkey{ID: passkeyID(key.ID), Person: person, Name: name, Credential: data, Created: time.Now().UTC()}
	if err := s.Catalog.Passkeys.Create(ctx, rec); err != nil {
		return fmt.Errorf("keep a passkey: %w", err)
	}
	return s.Audit.Append(ctx, Change{Action: "passkey.create", Object: person, After: map[string]any{"name": name, "id": rec.ID}})
}

// RemovePasskey removes a passkey: passkey_not_found. Scope: admin, or the
// passkey's own person.
func (s *Service) RemovePasskey(ctx context.Context, id string) error {
	p, err := s.Catalog.Passkeys.Get(ctx, id)
	if err != nil {
		return rpc.NotFound(err, "passkey", clip(id, 12))
	}
	if err := rpc.Require(ctx, rpc.ScopeAdmin); err != nil && rpc.Caller(ctx).Person != p.Person {
		return err
	}
	if err := s.Catalog.Passkeys.Delete(ctx, id); err != nil {
		return rpc.NotFound(err, "passkey", clip(id, 12))
	}
	return s.Audit.Append(ctx, Change{Action: "passkey.delete", Object: p.Person, Before: map[string]any{"name": p.Name, "id": p.ID}})
}

func (s *Service) dropPasskeys(ctx context.Context, name string) error {
	list, err := s.passkeys(ctx, name)
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := s.Catalog.Passkeys.Delete(ctx, p.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("remove the passkeys of %s: %w", name, err)
		}
	}
	return nil
}

// AskSignIn begins a sign-in with whichever passkey the browser has.
func (s *Service) AskSignIn(ctx context.Context, from From) (Challenge, error) {
	if err := s.attemptBy(ctx, from.Client); err != nil {
		return Challenge{}, err
	}
	party, err := s.relyingParty()
	if err != nil {
		return Challenge{}, err
	}
	options, session, err := party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Challenge{}, fmt.Errorf("begin to sign in with a passkey: %w", err)
	}
	ticket, err := s.remember(ctx, session)
	return Challenge{ticket, options.Response}, err
}

// SignInWithPasskey begins a session: challenge_over, wrong_passkey.
func (s *Service) SignInWithPasskey(ctx context.Context, ticket, answer string, from From) (string, store.ConsoleSession, error) {
	var none store.ConsoleSession
	party, session, err := s.answered(ctx, ticket)
	if err != nil {
		return "", none, err
	}
	var person store.Person
	find := func(id, handle []byte) (webauthn.User, error) {
		p, err := s.Catalog.Passkeys.Get(ctx, passkeyID(id))
		if err != nil {
			return nil, err
		}
		if person, err = s.Catalog.People.Get(ctx, p.Person); err != nil {
			return nil, err
		}
		return s.holder(ctx, p.Person)
	}
	var key *webauthn.Credential
	parsed, err := protocol.ParseCredentialRequestResponseBytes(bounded(answer))
	if err == nil {
		_, key, err = party.ValidatePasskeyLogin(find, session, parsed)
	}
	if err == nil && key.Authenticator.CloneWarning {
		err = errors.New("its counter went back: there may be a copy of it")
	}
	if err != nil {
		s.Log.WarnContext(ctx, "sign-in to the console with a passkey refused", "client", from.Client, "err", detail(err))
		return "", none, rpc.Errorf(connect.CodeUnauthenticated, "wrong_passkey", "That passkey is not one of this console's, or no longer.")
	}
	if err := s.used(ctx, key); err != nil {
		return "", none, err
	}
	return s.begin(ctx, person, from)
}

// used remembers the passkey's counter.
func (s *Service) used(ctx context.Context, key *webauthn.Credential) error {
	data, err := json.Marshal(key)
	if err == nil {
		_, err = s.Catalog.Passkeys.Update(ctx, passkeyID(key.ID), func(p *store.Passkey) error {
			p.Credential, p.Used = data, time.Now().UTC()
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("keep a passkey's counter: %w", err)
	}
	return nil
}

// remember keeps what a challenge was, for one answer.
func (s *Service) remember(ctx context.Context, session *webauthn.SessionData) (string, error) {
	data, err := json.Marshal(session)
	if err != nil {
		return "", fmt.Errorf("remember a challenge: %w", err)
	}
	ticket, id := newToken()
	if err := s.Cache.Set(ctx, "console/passkey/"+id, data, challengeTTL); err != nil {
		return "", fmt.Errorf("remember a challenge: %w", err)
	}
	return ticket, nil
}

// answered takes what was remembered: challenge_over.
func (s *Service) answered(ctx context.Context, ticket string) (*webauthn.WebAuthn, webauthn.SessionData, error) {
	var session webauthn.SessionData
	party, err := s.relyingParty()
	if err != nil {
		return nil, session, err
	}
	data, err := s.Cache.Take(ctx, "console/passkey/"+idOf(ticket))
	if errors.Is(err, store.ErrNotFound) {
		return nil, session, rpc.Errorf(connect.CodeFailedPrecondition, "challenge_over", "That took too long, or was answered already; try again.")
	}
	if err == nil {
		err = json.Unmarshal(data, &session)
	}
	if err != nil {
		return nil, session, fmt.Errorf("recall a challenge: %w", err)
	}
	return party, session, nil
}

func passkeyID(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// bounded is an answer, or nothing if it is longer than any.
func bounded(answer string) []byte {
	if len(answer) > maxAnswer {
		return nil
	}
	return []byte(answer)
}

// detail is what the library knows of an error, for the log.
func detail(err error) string {
	var known *protocol.Error
	if errors.As(err, &known) {
		return known.Details + " " + known.DevInfo
	}
	return err.Error()
}

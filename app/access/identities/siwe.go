package identities

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spruceid/siwe-go"

	"streamgate/app/access/eth"
	"streamgate/app/rpc"
)

// The limits of a sign-in message, bytes unless said otherwise.
const (
	maxMessage   = 4096
	maxStatement = 1024
	maxRequestID = 128
	maxResources = 10 // links
)

// siweMessage is a message of EIP-4361, read and found to be canonical.
type siweMessage struct {
	Scheme    string // before the domain; usually ""
	Domain    string
	Address   eth.Address
	Statement string // "" if there is none
	URI       *url.URL
	Chain     uint64
	Nonce     string
	IssuedAt  time.Time
	Expires   time.Time // zero: not said
	NotBefore time.Time // zero: not said
}

// refuse is a sign-in's error: a stable code and a sentence without anything
// of what was sent.
func refuse(code, format string, args ...any) error {
	return rpc.Errorf(connect.CodeUnauthenticated, code, format, args...)
}

// parseSIWE reads a message. siwe-go parses; what it is lax about is refused
// here:
//
//   - its patterns let line ends, control characters and any script into domain
//     and links: only printable ASCII is taken, as the grammar has it;
//   - empty optional fields, leading zeros, links that are written anew: the
//     message must be exactly what the parsed fields are written as, for it is
//     the text that was signed;
//   - times are kept as text, some of them impossible: they are parsed as of
//     RFC 3339.
func parseSIWE(text string) (*siweMessage, error) {
	if err := plausible(text); err != nil {
		return nil, err
	}
	scheme, text := cutScheme(text)
	parsed, err := siwe.ParseMessage(text)
	if err != nil {
		return nil, explain(text)
	}
	if parsed.String() != text {
		return nil, refuse("message_not_canonical", "The message has something that EIP-4361 does not: write it exactly as that has it.")
	}
	return read(parsed, scheme)
}

// plausible refuses what need not be parsed.
func plausible(text string) error {
	if len(text) > maxMessage {
		return refuse("message_too_long", "The message is longer than %d bytes: shorten it.", maxMessage)
	}
	strange := strings.ContainsFunc(text, func(c rune) bool { return c != '\n' && (c < ' ' || c > '~') })
	if strange {
		return refuse("message_encoding", "The message must be printable ASCII text.")
	}
	return nil
}

// cutScheme takes off the scheme that may stand before the domain, which
// siwe-go does not know.
func cutScheme(text string) (scheme, rest string) {
	line, _, _ := strings.Cut(text, "\n")
	scheme, _, found := strings.Cut(line, "://")
	if !found || scheme != "http" && scheme != "https" {
		return "", text
	}
	return scheme, text[len(scheme)+len("://"):]
}

// explain says more of why a message could not be parsed, where that is plain.
func explain(text string) error {
	lines := strings.Split(text, "\n")
	if len(lines) > 1 && len(lines[1]) == eth.AddressLen {
		if a, err := eth.ParseAddress(lines[1]); err != nil || a.String() != lines[1] {
			return refuse("address_checksum", "The address must be written with its checksum (EIP-55).")
		}
	}
	for _, line := range lines {
		if version, ok := strings.CutPrefix(line, "Version: "); ok && version != "1" {
			return refuse("version_unsupported", "The version is another than 1, the only one of EIP-4361: write 1.")
		}
		if chain, ok := strings.CutPrefix(line, "Chain ID: "); ok {
			if _, err := strconv.ParseUint(chain, 10, 63); err != nil {
				return refuse("chain_malformed", "The chain id must be a decimal number.")
			}
		}
		if nonce, ok := strings.CutPrefix(line, "Nonce: "); ok && !isNonce(nonce) {
			return refuse("nonce_malformed", "The nonce was not given out here: ask for a new one.")
		}
		for _, field := range []string{"Issued At: ", "Expiration Time: ", "Not Before: "} {
			if text, ok := strings.CutPrefix(line, field); ok && !isTime(text) {
				return refuse("time_malformed", "The times must be written as of RFC 3339.")
			}
		}
	}
	return refuse("message_malformed", "The message cannot be read: write it as EIP-4361 has it.")
}

func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

// read takes over the fields, and refuses what is out of bounds.
func read(parsed *siwe.Message, scheme string) (*siweMessage, error) {
	link := parsed.GetURI()
	m := &siweMessage{
		Scheme: scheme, Domain: parsed.GetDomain(), Address: eth.Address(parsed.GetAddress()), URI: &link,
		Chain: uint64(max(0, parsed.GetChainID())), Nonce: parsed.GetNonce(),
	}
	if s := parsed.GetStatement(); s != nil {
		m.Statement = *s
	}
	if len(m.Statement) > maxStatement {
		return nil, refuse("statement_too_long", "The statement is longer than %d bytes: shorten it.", maxStatement)
	}
	if id := parsed.GetRequestID(); id != nil && len(*id) > maxRequestID {
		return nil, refuse("request_id_too_long", "The request id is longer than %d bytes: shorten it.", maxRequestID)
	}
	if len(parsed.GetResources()) > maxResources {
		return nil, refuse("too_many_resources", "The message names more than %d resources: name fewer.", maxResources)
	}
	if m.Address.IsZero() {
		return nil, refuse("address_zero", "The zero address belongs to nobody: sign in with a wallet of yours.")
	}
	issued := parsed.GetIssuedAt()
	for _, field := range []struct {
		text *string
		into *time.Time
	}{{&issued, &m.IssuedAt}, {parsed.GetExpirationTime(), &m.Expires}, {parsed.GetNotBefore(), &m.NotBefore}} {
		if field.text == nil {
			continue
		}
		t, err := time.Parse(time.RFC3339, *field.text)
		if err != nil {
			return nil, refuse("time_malformed", "The times must be written as of RFC 3339.")
		}
		*field.into = t
	}
	return m, nil
}

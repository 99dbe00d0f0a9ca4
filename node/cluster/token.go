package cluster

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Token lets nodes without a certificate ask the CA for one, as often as they
// like until it expires. Who has it can be such a node.
type Token struct {
	// CA is the fingerprint of the CA's certificate: the node trusts no other.
	CA string `json:"ca"`
	// Addrs are where the CA's node is asked, host:port.
	Addrs []string `json:"addrs"`
	// Roles are those that the node may have.
	Roles []string `json:"roles"`
	// Expires is a Unix time.
	Expires int64 `json:"expires"`
}

// tokenPrefix tells a token from other secrets.
const tokenPrefix = "sgjoin_"

// ErrToken means that a join token is not one, is another CA's, or is too old.
var ErrToken = errors.New("the join token does not count")

// Token makes a token that the CA will take.
func (ca *CA) Token(addrs, roles []string, life time.Duration) (string, error) {
	payload, err := json.Marshal(Token{CA: ca.Fingerprint(), Addrs: addrs, Roles: roles, Expires: ca.now().Add(life).Unix()})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, ca.key, sum[:])
	if err != nil {
		return "", err
	}
	return tokenPrefix + encode(payload) + "." + encode(signature), nil
}

// ParseToken reads a token without knowing whether the CA made it.
func ParseToken(text string) (Token, error) {
	token, _, _, err := readToken(text)
	return token, err
}

func readToken(text string) (token Token, payload, signature []byte, err error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	first, second, both := strings.Cut(body, ".")
	if payload, err = decode(first); err == nil {
		signature, err = decode(second)
	}
	if !ok || !both || err != nil || json.Unmarshal(payload, &token) != nil || len(token.Addrs) == 0 || len(token.CA) != 2*sha256.Size {
		return Token{}, nil, nil, fmt.Errorf("%w: it is not what streamgate ca token printed", ErrToken)
	}
	return token, payload, signature, nil
}

// check tells whether this CA made a token that still counts, and for which roles.
func (ca *CA) check(text string) (roles []string, err error) {
	token, payload, signature, err := readToken(text)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(payload)
	if key, ok := ca.cert.PublicKey.(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(key, sum[:], signature) {
		return nil, fmt.Errorf("%w: another CA made it", ErrToken)
	}
	if at := time.Unix(token.Expires, 0); !ca.now().Before(at) {
		return nil, fmt.Errorf("%w: it expired at %s; make another with streamgate ca token", ErrToken, at.UTC().Format(time.RFC3339))
	}
	return token.Roles, nil
}

// pinned tells whether a server's chain ends in the token's CA and begins with a
// certificate of it for a node with the CA's role.
func (t *Token) pinned(chain []*x509.Certificate, now time.Time) error {
	if len(chain) < 2 || fingerprint(chain[len(chain)-1]) != t.CA {
		return fmt.Errorf("%w: the server is not of the CA that it names", ErrToken)
	}
	roots := x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: RoleCA + domain, CurrentTime: now})
	return err
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

package identities

import (
	"context"
	"crypto/ecdsa"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/rpc"
	"streamgate/store"
	"streamgate/store/memory"
)

const base = "https://video.example:8443"

// signInTime is a fixed now.
func signInTime() time.Time { return time.Date(2030, 1, 31, 20, 0, 0, 0, time.UTC) }

// signInTest is a deployment and a wallet.
type signInTest struct {
	*SignIn
	chains *ethtest.Chains
	cache  store.Cache
	logins *Logins
	key    *ecdsa.PrivateKey
	wallet eth.Address
	now    time.Time
}

func newSignInTest(t testing.TB) *signInTest {
	t.Helper()
	key, err := crypto.ToECDSA(sumOf("a test's wallet"))
	if err != nil {
		t.Fatal(err)
	}
	s := &signInTest{chains: ethtest.NewChains(), key: key, wallet: eth.Address(crypto.PubkeyToAddress(key.PublicKey)), now: signInTime()}
	clock := func() time.Time { return s.now }
	s.cache = memory.NewCache(memory.Options{Now: clock})
	s.logins = loginsWith(sumOf("a test's key"), signOuts(t))
	s.SignIn = NewSignIn(SignInConfig{Cache: s.cache, Chains: s.chains, Logins: s.logins, Now: clock})
	return s
}

func sumOf(text string) []byte {
	sum := eth.Keccak256([]byte(text))
	return sum[:]
}

func (s *signInTest) nonce(t testing.TB) string {
	t.Helper()
	nonce, err := s.Nonce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}

// message is a good one.
func (s *signInTest) message(t testing.TB) string {
	return "video.example:8443 wants you to sign in with your Ethereum account:\n" + s.wallet.String() + `

Watch with this wallet.

URI: https://video.example:8443/watch/abc
Version: 1
Chain ID: 1
Nonce: ` + s.nonce(t) + `
Issued At: 2030-01-31T19:59:30.123Z
Expiration Time: 2030-01-31T21:00:00Z
Not Before: 2030-01-31T19:00:00+01:00
Request ID: a-1
Resources:
- https://video.example:8443/terms
- ipfs://bafy`
}

func (s *signInTest) sign(t testing.TB, message string) string {
	t.Helper()
	hash := eth.PersonalHash(message)
	sig, err := crypto.Sign(hash[:], s.key)
	if err != nil {
		t.Fatal(err)
	}
	sig[64] += 27
	return "0x" + hex.EncodeToString(sig)
}

func TestSignIn(t *testing.T) {
	s := newSignInTest(t)
	message := s.message(t)
	login, token, err := s.Verify(t.Context(), base, message, s.sign(t, message))
	if err != nil {
		t.Fatal(err)
	}
	want := Login{ID: login.ID, Wallet: s.wallet, Chain: 1, Expires: time.Date(2030, 1, 31, 21, 0, 0, 0, time.UTC)}
	if login != want || len(login.ID) != 32 {
		t.Errorf("login %+v", login)
	}
	if got, err := s.logins.Verify(t.Context(), token, s.now); err != nil || got != login {
		t.Errorf("the token says %+v, %v", got, err)
	}
	_, _, err = s.Verify(t.Context(), base, message, s.sign(t, message))
	wantReason(t, err, "nonce_unknown")

	for name, change := range map[string]func(string) string{
		"as short as can be": func(m string) string {
			m, _, _ = strings.Cut(m, "\nExpiration Time:")
			return strings.Replace(m, "\nWatch with this wallet.\n", "\n", 1)
		},
		"with a scheme":   func(m string) string { return "https://" + m },
		"another chain":   func(m string) string { return strings.Replace(m, "Chain ID: 1\n", "Chain ID: 10\n", 1) },
		"the origin":      func(m string) string { return strings.Replace(m, "8443/watch/abc", "8443", 1) },
		"a clock ahead":   func(m string) string { return strings.Replace(m, "19:59:30.123Z", "20:01:00Z", 1) },
		"ten minutes old": func(m string) string { return strings.Replace(m, "19:59:30.123Z", "19:50:00Z", 1) },
	} {
		message := change(s.message(t))
		login, _, err := s.Verify(t.Context(), base, message, s.sign(t, message))
		if err != nil || login.Wallet != s.wallet {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(message, "Expiration") && !login.Expires.Equal(s.now.Add(DefaultLoginTTL)) {
			t.Errorf("%s: until %v", name, login.Expires)
		}
	}
}

// badSignIns are right but for one thing: the message is changed and then
// signed, so that only what is named stands in the way.
var badSignIns = []struct{ name, old, new, code string }{
	{"too long", "Watch with", strings.Repeat("Watch ", 1000), "message_too_long"},
	{"a letter that only looks right", "video.example:8443 wants", "vide\u043e.example:8443 wants", "message_encoding"},
	{"a control character", "Watch with", "Watch\x1b[2Kwith", "message_encoding"},
	{"a carriage return", "Version: 1\n", "Version: 1\r\n", "message_encoding"},
	{"not UTF-8", "Watch", "\xff\xfe", "message_encoding"},
	{"another greeting", "wants you to sign in", "asks you to sign in", "message_malformed"},
	{"no URI", "URI: https://video.example:8443/watch/abc\n", "", "message_malformed"},
	{"a field twice", "Version: 1\n", "Version: 1\nVersion: 1\n", "message_malformed"},
	{"two chains", "Chain ID: 1\n", "Chain ID: 1\nChain ID: 10\n", "message_malformed"},
	{"another order", "Version: 1\nChain ID: 1\n", "Chain ID: 1\nVersion: 1\n", "message_malformed"},
	{"trailing text", "- ipfs://bafy", "- ipfs://bafy\nand more", "message_malformed"},
	{"a trailing line end", "- ipfs://bafy", "- ipfs://bafy\n", "message_malformed"},
	{"a statement of two lines", "Watch with this", "Watch with\nthis", "message_malformed"},
	{"a statement of spaces", "Watch with this wallet.", "   ", "message_not_canonical"},
	{"an empty request id", "Request ID: a-1", "Request ID: ", "message_not_canonical"},
	{"a chain id with a zero before it", "Chain ID: 1\n", "Chain ID: 01\n", "message_not_canonical"},
	{"an address in lower case", "ADDRESS", "address", "address_checksum"},
	{"the zero address", "ADDRESS", zero, "address_zero"},
	{"another domain", "video.example:8443 wants", "evil.example wants", "domain_mismatch"},
	{"a domain without the port", "video.example:8443 wants", "video.example wants", "domain_mismatch"},
	{"a domain with a user", "video.example:8443 wants", "video.example:8443@evil.example wants", "domain_mismatch"},
	{"our user at our domain", "video.example:8443 wants", "me@video.example:8443 wants", "domain_mismatch"},
	{"a domain in another case", "video.example:8443 wants", "Video.example:8443 wants", "domain_mismatch"},
	{"a domain of two lines", "video.example:8443 wants", "evil.example\nvideo.example:8443 wants", "message_malformed"},
	{"another scheme", "video.example:8443 wants", "http://video.example:8443 wants", "scheme_mismatch"},
	{"a URI of another site", "URI: https://video.example:8443/", "URI: https://evil.example/", "uri_mismatch"},
	{"a URI of another scheme", "URI: https:", "URI: http:", "uri_mismatch"},
	{"a URI with a user", "URI: https://", "URI: https://me@", "uri_mismatch"},
	{"a URI without a host", "URI: https://video.example:8443/watch/abc", "URI: https:video.example:8443", "uri_mismatch"},
	{"version 2", "Version: 1", "Version: 2", "version_unsupported"},
	{"a chain in hex", "Chain ID: 1\n", "Chain ID: 0x1\n", "chain_malformed"},
	{"a chain over all bounds", "Chain ID: 1\n", "Chain ID: 99999999999999999999\n", "chain_malformed"},
	{"a chain below zero", "Chain ID: 1\n", "Chain ID: -1\n", "chain_malformed"},
	{"a chain not configured", "Chain ID: 1\n", "Chain ID: 5\n", "chain_not_configured"},
	{"a short nonce", "NONCE", "abc", "nonce_malformed"},
	{"a nonce that is not ours", "NONCE", "abcdefgh12345678", "nonce_malformed"},
	{"a nonce never given out", "NONCE", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "nonce_unknown"},
	{"a time in words", "2030-01-31T19:59:30.123Z", "yesterday", "time_malformed"},
	{"a day that is not", "2030-01-31T21:00:00Z", "2030-02-30T21:00:00Z", "time_malformed"},
	{"a leap second", "2030-01-31T21:00:00Z", "2030-01-31T21:00:60Z", "time_malformed"},
	{"issued in the future", "2030-01-31T19:59:30.123Z", "2030-01-31T20:01:01Z", "issued_in_future"},
	{"issued long ago", "2030-01-31T19:59:30.123Z", "2030-01-31T19:49:59Z", "issued_too_long_ago"},
	{"expired", "2030-01-31T21:00:00Z", "2030-01-31T20:00:00Z", "message_expired"},
	{"expired within this second", "2030-01-31T21:00:00Z", "2030-01-31T20:00:00.9Z", "message_expired"},
	{"expires before it is issued", "2030-01-31T21:00:00Z", "2030-01-31T19:59:00Z", "expires_before_issue"},
	{"not valid yet", "2030-01-31T19:00:00+01:00", "2030-01-31T20:00:01Z", "message_not_yet_valid"},
	{"a long statement", "Watch with", strings.Repeat("Watch ", 200), "statement_too_long"},
	{"a long request id", "Request ID: a-1", "Request ID: " + strings.Repeat("a", 129), "request_id_too_long"},
	{"many resources", "- ipfs://bafy", strings.TrimSuffix(strings.Repeat("- ipfs://bafy\n", 10), "\n"), "too_many_resources"},
}

func TestSignInRefused(t *testing.T) {
	s := newSignInTest(t)
	for _, c := range badSignIns {
		message := s.message(t)
		old, changed := c.old, c.new
		switch {
		case old == "ADDRESS" && changed == "address":
			old, changed = s.wallet.String(), strings.ToLower(s.wallet.String())
		case old == "ADDRESS":
			old = s.wallet.String()
		case old == "NONCE":
			_, rest, _ := strings.Cut(message, "Nonce: ")
			old, _, _ = strings.Cut(rest, "\n")
		}
		bad := strings.Replace(message, old, changed, 1)
		if bad == message {
			t.Errorf("%s: nothing was changed", c.name)
		}
		_, token, err := s.Verify(t.Context(), base, bad, s.sign(t, bad))
		if reason, _ := rpc.Reason(err); reason != c.code || token != "" {
			t.Errorf("%s: %v (%s); want %s", c.name, err, reason, c.code)
		}
	}
}

func TestSignatureRefused(t *testing.T) {
	s := newSignInTest(t)
	other, err := crypto.ToECDSA(sumOf("another wallet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, code string
		signature  func(message, good string) string
	}{
		{"none", "signature_malformed", func(_, _ string) string { return "" }},
		{"no 0x", "signature_malformed", func(_, good string) string { return good[2:] }},
		{"no hex", "signature_malformed", func(_, good string) string { return good[:100] + "zz" }},
		{"half a byte", "signature_malformed", func(_, good string) string { return good[:len(good)-1] }},
		{"huge", "signature_too_long", func(_, good string) string { return "0x" + strings.Repeat("00", maxSignature+1) }},
		{"empty", "signature_wrong", func(_, _ string) string { return "0x" }},
		{"truncated", "signature_wrong", func(_, good string) string { return good[:len(good)-2] }},
		{"one byte", "signature_wrong", func(_, _ string) string { return "0x1b" }},
		{"of another message", "signature_wrong", func(m, _ string) string { return s.sign(t, m+" ") }},
		{"of another wallet", "signature_wrong", func(m, _ string) string { return (&signInTest{key: other}).sign(t, m) }},
	} {
		message := s.message(t)
		_, _, err := s.Verify(t.Context(), base, message, c.signature(message, s.sign(t, message)))
		wantReason(t, err, c.code)
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: the error repeats what was sent: %.300s", c.name, err)
		}
	}
}

// The chain and the cache may fail; nobody gets in meanwhile.
func TestSignInFaults(t *testing.T) {
	s := newSignInTest(t)
	for want, fault := range map[string]error{
		"chain_unreachable": eth.ErrChainUnreachable, "chain_not_configured": eth.ErrChainUnknown, "": errors.New("a fault"),
	} {
		s.chains.Err = fault
		message := s.message(t)
		_, token, err := s.Verify(t.Context(), base, message, s.sign(t, message))
		if reason, _ := rpc.Reason(err); err == nil || reason != want || token != "" {
			t.Errorf("%v: %v", fault, err)
		}
	}
	s.chains.Err = nil
	for _, wrong := range []string{"", "video.example", "ftp://video.example", "://"} {
		message := s.message(t)
		if _, _, err := s.Verify(t.Context(), wrong, message, s.sign(t, message)); err == nil {
			t.Errorf("signed in at %q", wrong)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	message := s.message(t)
	if _, _, err := s.Verify(ctx, base, message, s.sign(t, message)); !errors.Is(err, context.Canceled) {
		t.Errorf("without a cache: %v", err)
	}
	if _, err := s.Nonce(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a nonce without a cache: %v", err)
	}
}

func TestNonceExpires(t *testing.T) {
	s := newSignInTest(t)
	message := s.message(t)
	s.now = s.now.Add(NonceTTL)
	_, _, err := s.Verify(t.Context(), base, message, s.sign(t, message))
	wantReason(t, err, "nonce_unknown")
}

// The messages of EIP-4361 itself.
func TestSIWEExamples(t *testing.T) {
	const head = "example.com wants you to sign in with your Ethereum account:\n0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\n"
	const tail = "URI: https://example.com/login\nVersion: 1\nChain ID: 1\nNonce: 32891756\nIssued At: 2021-09-30T16:25:24Z"
	const resources = "\nResources:\n- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n- https://example.com/my-web2-claim.json"
	const statement = "I accept the ExampleOrg Terms of Service: https://example.com/tos\n\n"
	for name, c := range map[string]struct{ text, domain, scheme string }{
		"implicit scheme": {head + statement + tail + resources, "example.com", ""},
		"a port":          {strings.Replace(head+statement+tail+resources, "example.com", "example.com:3388", 1), "example.com:3388", ""},
		"explicit scheme": {"https://" + head + statement + tail + resources, "example.com", "https"},
		"no statement":    {head + "\n" + tail, "example.com", ""},
		"an IPv4 address": {strings.Replace(head+"\n"+tail, "example.com", "127.0.0.1:8080", 1), "127.0.0.1:8080", ""},
		"an IPv6 address": {strings.Replace(head+"\n"+tail, "example.com", "[::1]:8080", 1), "[::1]:8080", ""},
	} {
		m, err := parseSIWE(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Domain != c.domain || m.Scheme != c.scheme || m.Address.String() != "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2" ||
			m.Chain != 1 || m.Nonce != "32891756" || m.URI.String() != "https://example.com/login" ||
			!m.IssuedAt.Equal(time.Date(2021, 9, 30, 16, 25, 24, 0, time.UTC)) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// personal_sign's hash as every library computes it: the text's length is of
// its bytes, in decimal digits.
// Whatever is accepted says each thing once, on a line of its own.
func FuzzSIWE(f *testing.F) {
	s := newSignInTest(f)
	good := s.message(f)
	f.Add(good)
	for _, c := range badSignIns {
		f.Add(strings.Replace(good, c.old, c.new, 1))
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseSIWE(text)
		if err != nil {
			if reason, _ := rpc.Reason(err); reason == "" {
				t.Fatalf("%q: an error without a code: %v", text, err)
			}
			return
		}
		lines := strings.Split(text, "\n")
		greeting := m.Domain + " wants you to sign in with your Ethereum account:"
		if m.Scheme != "" {
			greeting = m.Scheme + "://" + greeting
		}
		if lines[0] != greeting || lines[1] != m.Address.String() {
			t.Fatalf("%q was taken for %+v", text, m)
		}
		for _, line := range []string{"URI: " + m.URI.String(), "Version: 1", "Nonce: " + m.Nonce} {
			if strings.Count(text, "\n"+line+"\n") < 1 {
				t.Fatalf("%q has no line %q", text, line)
			}
		}
	})
}

func BenchmarkSignIn(b *testing.B) {
	s := newSignInTest(b)
	for b.Loop() {
		message := s.message(b)
		if _, _, err := s.Verify(b.Context(), base, message, s.sign(b, message)); err != nil {
			b.Fatal(err)
		}
	}
}

package console

import (
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/access/identities"
	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/store"
)

// signer is a wallet.
type signer struct {
	key     *ecdsa.PrivateKey
	address string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, eth.Address(crypto.PubkeyToAddress(key.PublicKey)).String()}
}

// challenge is what a page's script is answered.
type challenge struct{ Nonce, Domain, URI, Statement string }

// form signs what was asked, as a page's script does, and writes it as a browser
// sends it.
func (w signer) form(t *testing.T, c challenge) url.Values {
	t.Helper()
	message := fmt.Sprintf("%s wants you to sign in with your Ethereum account:\n%s\n\n%s\n\nURI: %s\nVersion: 1\nChain ID: 1\nNonce: %s\nIssued At: %s",
		c.Domain, w.address, c.Statement, c.URI, c.Nonce, time.Now().UTC().Format(time.RFC3339))
	hash := eth.PersonalHash(message)
	signature, err := crypto.Sign(hash[:], w.key)
	if err != nil {
		t.Fatal(err)
	}
	signature[64] += 27
	return url.Values{"message": {strings.ReplaceAll(message, "\n", "\r\n")}, "signature": {"0x" + hex.EncodeToString(signature)}, "to": {"/console/queue"}}
}

// ask asks for a challenge.
func (s *site) ask(t *testing.T, path string, cookie *http.Cookie) (c challenge) {
	t.Helper()
	w := s.send(http.MethodPost, path, url.Values{}, cookie, nil)
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || w.Code != http.StatusOK || c.Nonce == "" {
		t.Fatalf("%s: status %d, %s", path, w.Code, w.Body)
	}
	return c
}

// askAs asks for a challenge to sign in, from a client of its own.
func (s *site) askAs(t *testing.T, client string) challenge {
	t.Helper()
	c, err := s.people.AskSignInWallet(t.Context(), "https://site.example", console.From{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return challenge{c.Nonce, c.Domain, c.URI, c.Statement}
}

// signInAs signs in with what a wallet has signed.
func (s *site) signInAs(t *testing.T, form url.Values) (cookie *http.Cookie, w *httptest.ResponseRecorder) {
	t.Helper()
	w = s.send(http.MethodPost, "/console/sign-in/wallet", form, nil, nil)
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieName && c.Value != "" {
			cookie = c
		}
	}
	return cookie, w
}

// TestWalletSignIn: a person adds a wallet by signing with it, signs in with it,
// and removes it; all of it is in the audit log.
func TestWalletSignIn(t *testing.T) {
	s := newSite(t)
	mine := newSigner(t)
	operator := s.cookies[console.Operator]
	joining := s.ask(t, "/console/you/wallets/ask", operator)
	if joining.Domain != "site.example" || joining.URI != "https://site.example/console/" || !strings.Contains(joining.Statement, "as operator to the console") {
		t.Errorf("asked to sign %+v", joining)
	}
	w := s.send(http.MethodPost, "/console/you/wallets", mine.form(t, joining), operator, nil)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	page := s.send(http.MethodGet, "/console/you", nil, operator, nil).Body.String()
	if !strings.Contains(page, mine.address) || !strings.Contains(page, "signed by the wallet") {
		t.Errorf("the wallet is not on the page: %s", page)
	}

	form := mine.form(t, s.ask(t, "/console/sign-in/wallet/ask", nil))
	cookie, w := s.signInAs(t, form)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/console/queue" || cookie == nil {
		t.Fatalf("status %d to %s: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	if page := s.send(http.MethodGet, "/console/you", nil, cookie, nil).Body.String(); !strings.Contains(page, "<h1>operator</h1>") {
		t.Errorf("signed in as somebody else: %s", page)
	}
	if _, w := s.signInAs(t, form); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "has been used") {
		t.Errorf("a message is good twice: status %d", w.Code)
	}

	w = s.send(http.MethodPost, "/console/you/wallets/"+mine.address+"/remove", url.Values{}, s.cookies[console.ReadOnly], nil)
	if w.Code != http.StatusSeeOther {
		t.Errorf("somebody else removes it: status %d", w.Code)
	}
	s.send(http.MethodPost, "/console/you/wallets/"+mine.address+"/remove", url.Values{}, operator, nil)
	if _, w := s.signInAs(t, mine.form(t, s.askAs(t, "a"))); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "signs nobody in here") {
		t.Errorf("a wallet that was removed: status %d, %s", w.Code, w.Body)
	}
	list, _, err := s.Audit.List(rpc.System(t.Context()), store.Query{Parent: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, e := range list {
		if e.Kind == "wallet" {
			did = append(did, e.Who+" "+e.Action+" "+string(e.Before)+string(e.After))
		}
	}
	want := fmt.Sprintf(`person operator wallet.delete {"address":"%s","proved":true}|person operator wallet.create {"address":"%[1]s","proved":true}`, mine.address)
	if got := strings.Join(did, "|"); got != want {
		t.Errorf("the audit log tells\n%s, want\n%s", got, want)
	}
}

// TestWalletRefused: what is signed for something else, by somebody else or
// elsewhere signs nobody in, and tries are counted.
func TestWalletRefused(t *testing.T) {
	s := newSite(t)
	mine, stranger := newSigner(t), newSigner(t)
	if _, err := s.people.AddWallet(rpc.System(t.Context()), "operator", mine.address); err != nil {
		t.Fatal(err)
	}
	watching := identities.NewSignIn(identities.SignInConfig{Cache: s.cache, Chains: ethtest.NewChains()})
	for i, c := range []struct {
		name   string
		who    signer
		change func(*challenge)
		want   string
	}{
		{"a stranger's", stranger, func(*challenge) {}, "signs nobody in here"},
		{"for another site", mine, func(c *challenge) { c.Domain = "evil.example" }, "for another site"},
		{"for another URI", mine, func(c *challenge) { c.URI = "https://evil.example/" }, "URI is not of"},
		{"to watch", mine, func(c *challenge) { c.Statement = "Sign in to watch. This costs nothing and moves nothing." }, "for something else"},
		{"with a viewer's nonce", mine, func(c *challenge) { c.Nonce, _ = watching.Nonce(t.Context()) }, "has been used or is too old"},
		{"with a nonce made up", mine, func(c *challenge) { c.Nonce = strings.Repeat("A", 26) }, "has been used or is too old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := s.askAs(t, fmt.Sprint(i))
			c.change(&asked)
			cookie, w := s.signInAs(t, c.who.form(t, asked))
			if w.Code != http.StatusUnauthorized || cookie != nil || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
	t.Run("with another's signature", func(t *testing.T) {
		asked := s.askAs(t, "b")
		form := mine.form(t, asked)
		form.Set("signature", stranger.form(t, asked).Get("signature"))
		if cookie, w := s.signInAs(t, form); w.Code != http.StatusUnauthorized || cookie != nil {
			t.Errorf("status %d", w.Code)
		}
	})
	t.Run("to watch with what was signed for the console", func(t *testing.T) {
		form := mine.form(t, s.askAs(t, "c"))
		_, _, err := watching.Verify(t.Context(), "https://site.example", strings.ReplaceAll(form.Get("message"), "\r\n", "\n"), form.Get("signature"))
		if reason, _ := rpc.Reason(err); reason != "nonce_unknown" {
			t.Errorf("%v", err)
		}
	})
	t.Run("for somebody else's account", func(t *testing.T) {
		joining := s.ask(t, "/console/you/wallets/ask", s.cookies[console.ReadOnly])
		s.send(http.MethodPost, "/console/you/wallets", stranger.form(t, joining), s.cookies[console.Admin], nil)
		if list, err := s.people.PersonWallets(rpc.System(t.Context()), "admin"); err != nil || len(list) != 0 {
			t.Errorf("the admin has %v: %v", list, err)
		}
	})
	t.Run("too often", func(t *testing.T) {
		said := ""
		for range clientTries {
			said = s.send(http.MethodPost, "/console/sign-in/wallet/ask", url.Values{}, nil, nil).Body.String()
		}
		if !strings.Contains(said, "Too many tries") {
			t.Errorf("after %d tries: %s", clientTries, said)
		}
	})
}

// TestTypedWallet: an admin types an address for somebody else; what is wrong
// with it stands beside the form, which keeps it.
func TestTypedWallet(t *testing.T) {
	s := newSite(t)
	theirs := newSigner(t)
	for _, c := range []struct{ name, person, address, want string }{
		{"no address", "read-only", "0x12", "The wallet: "},
		{"nobody's address", "read-only", ethtest.Zero, "zero address"},
		{"one's own", "admin", theirs.address, "has to sign"},
		{"nobody", "eve", theirs.address, "There is no person"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.send(http.MethodPost, "/console/wallets", url.Values{"person": {c.person}, "address": {c.address}}, s.cookies[console.Admin], nil)
			if page := w.Body.String(); w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, c.want) || !strings.Contains(page, `value="`+c.address+`"`) {
				t.Errorf("status %d: %s", w.Code, page)
			}
		})
	}
	good := url.Values{"person": {"read-only"}, "address": {strings.ToLower(theirs.address)}}
	if w := s.send(http.MethodPost, "/console/wallets", good, s.cookies[console.Admin], nil); w.Code != http.StatusSeeOther {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	cookie, w := s.signInAs(t, theirs.form(t, s.askAs(t, "a")))
	if cookie == nil {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if page := s.send(http.MethodGet, "/console/you", nil, cookie, nil).Body.String(); !strings.Contains(page, "<h1>read-only</h1>") {
		t.Errorf("signed in as somebody else: %s", page)
	}
	w = s.send(http.MethodPost, "/console/wallets", url.Values{"person": {"operator"}, "address": {theirs.address}}, s.cookies[console.Admin], nil)
	if !strings.Contains(w.Body.String(), "signs somebody in already") {
		t.Errorf("one wallet is two people's: status %d", w.Code)
	}
	if err := s.people.Remove(rpc.System(t.Context()), "read-only"); err != nil {
		t.Fatal(err)
	}
	if cookie, w := s.signInAs(t, theirs.form(t, s.askAs(t, "b"))); cookie != nil {
		t.Errorf("the wallet of a person who was removed: status %d", w.Code)
	}
}

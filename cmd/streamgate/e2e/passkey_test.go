package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// TestPasskeys: make one, sign in with it and without the password, remove it,
// and be refused. At another name of the machine the page says where they work.
func TestPasskeys(t *testing.T) {
	n := startNode(t)
	named := strings.Replace(n.url, "127.0.0.1", "localhost", 1)
	b := openTabFor(t, "about:blank", 4*time.Minute)
	device := webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, AutomaticPresenceSimulation: true, IsUserVerified: true,
	}}
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, device); err != nil {
		t.Fatal(err)
	}
	b.open(strings.Replace(n.setupLink(), "127.0.0.1", "localhost", 1))
	b.setUp()

	b.open(named + "/console/you")
	b.fill("#passkey-name", "my <phone>")
	b.follow("form[data-make] button")
	b.arrive("the passkey is kept", `document.querySelector('#passkeys td.name')?.textContent === 'my <phone>'`)
	b.look("you-passkey")
	b.fill("#passkey-name", "again")
	eval[any](b, `document.querySelector('form[data-make] button').click(); return null`)
	b.until("one device makes one passkey", `document.querySelector('form[data-make] .note').textContent.includes('has a passkey for you already')`, 30*time.Second)

	b.follow("form[action$='/sign-out'] button")
	b.open(named + "/console/sign-in?to=/console/people")
	b.look("sign-in")
	b.follow("form[data-passkey] button")
	b.arrive("signed in, at the page that was asked for", `location.pathname === '/console/people'`)

	b.open(named + "/console/you")
	b.follow("#passkeys td.acts button")
	b.arrive("it is gone", `document.querySelector('.said') && !document.querySelector('#passkeys td.name')`)
	b.follow("form[action$='/sign-out'] button")
	b.open(named + "/console/sign-in")
	b.follow("form[data-passkey] button")
	b.arrive("a passkey that was removed is refused", `document.querySelector('.said.bad')?.textContent.includes('not one of this console')`)

	b.open(n.url + "/console/sign-in")
	b.until("where they work", `document.querySelector('form[data-passkey] .note')?.textContent.includes('`+named+`')`, 30*time.Second)
	b.forgive("status of 401") // the passkey that was removed
	b.expectQuiet()
}

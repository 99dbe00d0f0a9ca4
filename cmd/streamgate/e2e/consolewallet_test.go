package e2e

import (
	"testing"
	"time"
)

// TestConsoleWallets: a wallet becomes an admin's by signing, signs them in, and
// is refused once it is removed; so is one that is nobody's.
func TestConsoleWallets(t *testing.T) {
	chain := startChain(t)
	n := startGated(t, chain)
	b := openTabFor(t, "about:blank", 4*time.Minute)
	b.equip(chain.Holder)
	b.open(n.setupLink())
	b.setUp()

	b.open(n.url + "/console/you")
	b.until("the wallet is found", `document.querySelector('#wallets .wallets button')`, 30*time.Second)
	eval[any](b, `window.declines = true; document.querySelector('#wallets .wallets button').click(); return null`)
	b.until("what was declined is said", `document.querySelector('#wallets .note').textContent.includes('declined')`, 30*time.Second)
	b.look("you-wallets")
	eval[any](b, `window.declines = false; return null`)
	b.follow("#wallets .wallets button")
	b.arrive("the wallet is kept", `document.querySelector('#wallets td.name code')?.title === '`+chain.Holder.Address.Hex()+`'`)
	b.look("you-wallet")
	b.open(n.url + "/console/people")
	b.look("people-wallet")

	b.follow("form[action$='/sign-out'] button")
	b.open(n.url + "/console/sign-in?to=/console/people")
	b.until("the wallet is found", `document.querySelector('form[data-wallet] .wallets button')`, 30*time.Second)
	b.look("sign-in-wallet")
	b.follow("form[data-wallet] .wallets button")
	b.arrive("signed in, at the page that was asked for", `location.pathname === '/console/people'`)

	b.open(n.url + "/console/you")
	b.follow("#wallets td.acts button")
	b.arrive("it is gone", `document.querySelector('.said') && !document.querySelector('#wallets td.name')`)
	b.follow("form[action$='/sign-out'] button")
	b.open(n.url + "/console/sign-in")
	b.until("the wallet is found", `document.querySelector('form[data-wallet] .wallets button')`, 30*time.Second)
	b.follow("form[data-wallet] .wallets button")
	b.arrive("a wallet that was removed is refused", `document.querySelector('.said.bad')?.textContent.includes('signs nobody in here')`)
	b.look("sign-in-refused")
	b.forgive("status of 401") // the wallet that was removed
	b.expectQuiet()
}

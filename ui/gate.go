package ui

import (
	"net/http"
	"net/url"
	"strings"

	"streamgate/app/rpc"
)

// gateView is what the gate shows before its script has asked anything.
type gateView struct {
	ID    string
	Title string // said to everybody: it is what one would sign in for
	Chain string // JSON-RPC of a development chain, or ""
}

// gate shows the way to a video that a rule guards.
func (u *UI) gate(w http.ResponseWriter, r *http.Request, v *rpc.Video) {
	view := gateView{ID: v.Id, Title: v.Title, Chain: u.DemoChain}
	w.Header().Set("Content-Security-Policy", withChain(u.policyOf(r), u.DemoChain))
	u.render(w, r, http.StatusOK, document(u.Assets, v.Title, u.newCard(r, v), gatePage(u.Assets, view)))
}

// withChain is a policy that also lets a page ask the development chain.
func withChain(policy, chain string) string {
	at, err := url.Parse(chain)
	if err != nil || at.Host == "" {
		return policy
	}
	return strings.Replace(policy, "connect-src 'self'", "connect-src 'self' "+at.Scheme+"://"+at.Host, 1)
}

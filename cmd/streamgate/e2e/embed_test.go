package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"streamgate/cmd/devchain/devnet"
)

// blog is another site with a page that shows an address in a frame: another
// for the browser too, since the node is at 127.0.0.1.
func blog(t *testing.T) (origin string, page func(frame string) string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>A blog</title><link rel="icon" href="data:,"><h1>A blog</h1>
			<iframe src="%s" width="800" height="450" style="border:0; max-width:100%%" allow="autoplay; fullscreen"></iframe>`, r.URL.Query().Get("frame"))
	}))
	t.Cleanup(server.Close)
	origin = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return origin, func(frame string) string { return origin + "/?frame=" + frame }
}

// attach finds a frame or window that a page has opened, by its address.
func (b *tab) attach(kind, address string) *tab {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if id := b.target(kind, address); id != "" {
			ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(id))
			b.t.Cleanup(cancel)
			return &tab{t: b.t, ctx: ctx}
		}
	}
	b.t.Fatalf("there is no %s at %s", kind, address)
	return nil
}

// target is the id of a target, or "".
func (b *tab) target(kind, address string) target.ID {
	b.t.Helper()
	all, err := chromedp.Targets(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, info := range all {
		if info.Type == kind && strings.HasPrefix(info.URL, address) {
			return info.TargetID
		}
	}
	return ""
}

// bring gives the accounts as wallets to a page that is open already.
func (b *tab) bring(accounts ...devnet.Account) {
	b.t.Helper()
	known := map[string]string{}
	for _, a := range accounts {
		known[a.Name] = strings.ToLower(a.Address.Hex())
	}
	list, err := json.Marshal(known)
	if err != nil {
		b.t.Fatal(err)
	}
	sign := chromedp.ExposeFunc("signAs", func(_ context.Context, asked toSign) (string, error) { return signAs(accounts, asked) })
	if err := chromedp.Do(b.ctx, sign); err != nil {
		b.t.Fatal(err)
	}
	eval[any](b, fmt.Sprintf(wallets, list)+`; dispatchEvent(new Event('eip6963:requestProvider'))`)
}

// TestEmbed: another site shows the player only if it may, and the player fills
// its frame.
func TestEmbed(t *testing.T) {
	n := startNode(t)
	p := n.push(copied(t), "--public", "--title", "An embedded film", "--wait", "ready")
	origin, page := blog(t)
	address := n.url + "/embed/" + p.VideoID

	refused := openTab(t, page(address))
	refused.mu.Lock()
	if said := strings.Join(refused.complaints, "\n"); !strings.Contains(said, "frame-ancestors 'none'") {
		t.Errorf("the browser does not say that the frame was refused:\n%s", said)
	}
	refused.mu.Unlock()
	if at := eval[string](refused.attach("iframe", address), `return location.href`); at == address {
		t.Error("a site that nobody allowed shows the player")
	}
	alone := openTab(t, address+"?muted=1")
	eval[any](alone, `document.querySelector('.big-play').click()`)
	alone.plays()
	alone.shoot("embed")
	alone.expectQuiet()

	n.kill()
	n.args = append(n.args, "--set", "embed.allowed_origins="+origin)
	n.start()
	b := openTab(t, page(address+"?t=30%26autoplay=1"))
	frame := b.attach("iframe", address)
	frame.until("it plays by itself where the address says", fmt.Sprintf(playing, 30.2), 30*time.Second)
	if got := eval[string](frame, `const r = document.querySelector('.player').getBoundingClientRect();
		return [r.x, r.y, r.width - innerWidth, r.height - innerHeight, document.documentElement.scrollHeight - innerHeight, innerWidth].join(' ')`); got != "0 0 0 0 0 800" {
		t.Errorf("the player does not fill its frame: %s", got)
	}
	if got := eval[string](frame, `return document.querySelector('main').innerText.trim()`); strings.Contains(got, "Copy link") || !strings.HasPrefix(got, "An embedded film") {
		t.Errorf("the frame shows %q", got)
	}
	b.expectQuiet()
}

// TestEmbedGate: the gate works in a frame of another site, where no cookie of
// ours is kept: by a window of our own origin, or by a wallet that shows itself
// in the frame.
func TestEmbedGate(t *testing.T) {
	chain := startChain(t)
	n := startGated(t, chain)
	origin, page := blog(t)
	n.kill()
	n.args = append(n.args, "--set", "embed.allowed_origins="+origin)
	n.start()
	p := n.pushGated(holders(chain))
	id, err := chain.Mint721(t.Context(), chain.Holder.Address)
	if err != nil {
		t.Fatal(err)
	}
	address := n.url + "/embed/" + p.VideoID

	b := openTab(t, page(address))
	frame := b.attach("iframe", address)
	frame.reads("Sign in with your wallet to watch.")
	b.shoot("embed-gate")
	frame.press("Open a window to sign in")
	window := b.attach("page", n.url+"/watch/"+p.VideoID)
	window.until("the window is loaded", `document.querySelector('.gate')?.ariaBusy === 'false'`, 30*time.Second)
	window.bring(chain.Holder)
	window.press("Test holder")
	frame.until("the session is in the frame", `document.querySelector('.stage .player')`, 30*time.Second)
	frame.plays()
	for end := time.Now().Add(30 * time.Second); b.target("page", n.url) != ""; {
		if time.Now().After(end) {
			t.Fatal("the window is not closed")
		}
	}
	first := frame.tickets()
	frame.until("the ticket is renewed without a cookie", fmt.Sprintf(`performance.getEntriesByType('resource').some((e) => e.name.includes('.m4s') && !e.name.includes(%q))`, first[0]), 40*time.Second)

	direct := openTab(t, page(address))
	other := direct.attach("iframe", address)
	other.reads("Sign in with your wallet to watch.")
	other.bring(chain.Holder)
	other.press("Test holder")
	other.plays()

	if err := chain.Transfer721(t.Context(), chain.Holder, chain.Buyer.Address, id); err != nil {
		t.Fatal(err)
	}
	frame.stops("does not hold a token of")
	other.stops("does not hold a token of")
	if len(n.viewing()) != 0 {
		t.Error("sessions go on")
	}
}

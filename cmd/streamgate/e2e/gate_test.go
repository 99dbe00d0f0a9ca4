package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"streamgate/app/access/eth"
	"streamgate/cmd/devchain/devnet"
)

// chainPoll is how often the node looks at the chain.
const chainPoll = 250 * time.Millisecond

// startChain runs a development chain that makes a block for each transaction.
func startChain(t *testing.T) *devnet.Net {
	t.Helper()
	chain, err := devnet.Start(t.Context(), devnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	return chain
}

// startGated runs a node that asks the chain, and whose tickets live for the
// shortest time that is allowed.
func startGated(t *testing.T, chain *devnet.Net) *node {
	t.Helper()
	return startNode(t, "--config", gatedConfig(t, chain))
}

// gatedConfig is the file of such a node.
func gatedConfig(t *testing.T, chain *devnet.Net) string {
	t.Helper()
	config := fmt.Sprintf(`
chains:
  - id: %d
    name: Devchain
    urls: [%q]
    poll_interval: %s
    delegate_registry: %q
    multicall: %q
access:
  ticket_ttl: 10s
`, chain.ChainID, chain.URL, chainPoll, chain.Registry, chain.Multicall)
	return writeFile(t, "streamgate.yaml", config)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pushGated pushes two minutes that need no encoding, behind a rule.
func (n *node) pushGated(rule string) pushed {
	n.t.Helper()
	clip := ffmpeg(n.t, "clip.mp4", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=120 "+
		"-f lavfi -i sine=frequency=440:sample_rate=48000:duration=120 "+x264+"-g 50 -c:a aac")
	p := n.push(clip, "--rule", writeFile(n.t, "rule.json", rule), "--title", "For holders", "--wait", "ready")
	if p.WatchURL != n.url+"/watch/"+p.VideoID {
		n.t.Errorf("push prints %s, which is not the gate", p.WatchURL)
	}
	return p
}

// holders is the rule that lets holders of the chain's NFT watch.
func holders(chain *devnet.Net) string {
	return fmt.Sprintf(`{"erc721": {"chain": %d, "contract": %q}}`, chain.ChainID, chain.NFT)
}

// wallets announces each account as a wallet (EIP-6963) that signs through Go.
// The next request of a wallet is declined while window.declines is set;
// window.turn makes one go over to the account of another.
const wallets = `(() => {
	const accounts = %s;
	const turned = {}, told = [];
	window.turn = (name, account) => {
		turned[name] = account;
		for (const [wallet, f] of told) if (wallet === name) f([accounts[account]]);
	};
	const provider = (name) => ({ on: (event, f) => event === 'accountsChanged' && told.push([name, f]), request: async ({ method, params }) => {
		const account = turned[name] ?? name;
		if (window.declines) throw Object.assign(new Error('User rejected the request.'), { code: 4001 });
		switch (method) {
		case 'eth_requestAccounts': return [accounts[account]];
		case 'eth_chainId': return '0x1'; // not one of the node's
		case 'personal_sign': return window.signAs({ name: account, message: params[0] });
		}
		throw Object.assign(new Error('unsupported'), { code: 4200 });
	} });
	addEventListener('eip6963:requestProvider', () => {
		for (const name of Object.keys(accounts)) {
			const info = { uuid: name, name: 'Test ' + name, icon: 'data:image/svg+xml,<svg/>', rdns: 'test.' + name };
			dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider: provider(name) }) }));
		}
	});
})()`

// toSign is what a page's wallet asks to be signed.
type toSign struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// openGate opens a page in a browser that has the accounts as wallets.
func openGate(t *testing.T, url string, accounts ...devnet.Account) *tab {
	t.Helper()
	b := openTab(t, "about:blank")
	b.equip(accounts...)
	b.open(url)
	return b
}

// equip gives the pages that are opened from now on the accounts as wallets.
func (b *tab) equip(accounts ...devnet.Account) {
	b.t.Helper()
	known := map[string]string{}
	for _, a := range accounts {
		known[a.Name] = strings.ToLower(a.Address.Hex()) // as wallets give them
	}
	list, err := json.Marshal(known)
	if err != nil {
		b.t.Fatal(err)
	}
	inject := page.AddScriptToEvaluateOnNewDocumentParams{Source: fmt.Sprintf(wallets, list)}
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, inject); err != nil {
		b.t.Fatal(err)
	}
	sign := chromedp.ExposeFunc("signAs", func(_ context.Context, asked toSign) (string, error) { return signAs(accounts, asked) })
	if err := chromedp.Do(b.ctx, sign); err != nil {
		b.t.Fatal(err)
	}
}

func signAs(accounts []devnet.Account, asked toSign) (string, error) {
	message, err := hex.DecodeString(strings.TrimPrefix(asked.Message, "0x"))
	if err != nil {
		return "", fmt.Errorf("the message is no hex: %w", err)
	}
	for _, a := range accounts {
		if a.Name == asked.Name {
			signature, err := a.Sign(eth.PersonalHash(string(message)))
			return fmt.Sprintf("0x%x", signature), err
		}
	}
	return "", fmt.Errorf("there is no account %q", asked.Name)
}

// button finds a visible button by its text.
func button(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('button')].find((b) => b.offsetParent && b.textContent.trim() === %q)`, text)
}

// press waits for a button and presses it.
func (b *tab) press(text string) {
	b.t.Helper()
	b.until("there is a button "+text, button(text), 5*time.Second)
	eval[any](b, button(text)+`.click()`)
}

// enter fills in a form and sends it.
func enter(b *tab, form, text string) {
	b.t.Helper()
	eval[any](b, fmt.Sprintf(`const f = document.querySelector(%q); f.querySelector('input').value = %q; f.requestSubmit()`, form, text))
}

// reads waits until the gate says something.
func (b *tab) reads(text string) {
	b.t.Helper()
	said := eval[string](b, fmt.Sprintf(`
		const gate = document.querySelector('.gate');
		for (const end = performance.now() + 5000; performance.now() < end; await new Promise((r) => setTimeout(r, 30))) {
			if (!gate.hidden && gate.ariaBusy === 'false' && gate.querySelector('.why').textContent.includes(%q)) return '';
		}
		return gate.innerText`, text))
	if said != "" {
		b.t.Fatalf("the gate does not say %q, but\n%s", text, said)
	}
}

// plays waits until the picture moves, from wherever it is.
func (b *tab) plays() time.Duration {
	b.t.Helper()
	return b.until("it plays", `(window.from ??= document.querySelector('video')?.currentTime) >= 0 &&
		!document.querySelector('video').paused && document.querySelector('video').currentTime > window.from + 0.3`, 15*time.Second)
}

// stops waits until the player says that access has ended, and returns how
// long it took.
func (b *tab) stops(why string) time.Duration {
	b.t.Helper()
	eval[any](b, `delete window.from`)
	took := b.until("it stops and says why", fmt.Sprintf(`!document.querySelector('.message').hidden &&
		document.querySelector('.message').textContent.includes(%q)`, why), 8*time.Second)
	if !eval[bool](b, `const v = document.querySelector('video'); return v.paused && v.readyState === 0`) {
		b.t.Error("the player still has the media")
	}
	return took
}

// tickets lists the tickets under which the page has loaded something.
func (b *tab) tickets() []string {
	b.t.Helper()
	return eval[[]string](b, `return [...new Set(performance.getEntriesByType('resource').flatMap((e) => e.name.match(/\/s\/([^/]+)\//)?.[1] ?? []))]`)
}

// refusals are the browser's own messages about answers that say no.
var refusals = regexp.MustCompile(`status of (401|403) .*/(api/v1/videos/[a-z0-9]+/sessions|api/v1/sessions:renew|s/[^/]+/.*)$`)

// expectOnlyRefusals fails the test for any other complaint of the browser.
func (b *tab) expectOnlyRefusals() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		if !refusals.MatchString(complaint) {
			b.t.Errorf("the browser complained: %s", complaint)
		}
	}
}

// expectHidden checks that a ticket is neither in the address nor in the log.
func (n *node) expectHidden(b *tab, address string) {
	n.t.Helper()
	if at := eval[string](b, `return location.href`); at != address {
		n.t.Errorf("the address is %s", at)
	}
	tickets := b.tickets()
	if len(tickets) == 0 {
		n.t.Error("the page loaded nothing under a ticket")
	}
	for _, ticket := range tickets {
		if strings.Contains(n.log.String(), ticket) {
			n.t.Error("a ticket is in the log")
		}
	}
}

// TestGateHolders: a holder watches, a stranger reads why not, who sells the
// token stops in mid-play and the buyer begins, and a reorg gives it back.
func TestGateHolders(t *testing.T) {
	chain := startChain(t)
	ctx := t.Context()
	n := startGated(t, chain)
	p := n.pushGated(holders(chain))
	id, err := chain.Mint721(ctx, chain.Holder.Address)
	if err != nil {
		t.Fatal(err)
	}

	stranger := openGate(t, p.WatchURL, chain.Stranger)
	stranger.reads("Sign in with your wallet to watch.")
	eval[any](stranger, `window.declines = true`)
	stranger.press("Test stranger")
	stranger.reads("You declined in your wallet.")
	eval[any](stranger, `window.declines = false`)
	stranger.press("Test stranger")
	stranger.reads("does not hold a token of")
	said := eval[string](stranger, `document.querySelector('.tree').open = true; return document.querySelector('.gate').innerText`)
	for _, want := range []string{chain.Stranger.Address.Hex(), "Use a wallet that holds", "The wallet has 0", "read 0 s ago", strings.ToLower(chain.NFT.Hex())} {
		if !strings.Contains(strings.ToLower(said), strings.ToLower(want)) {
			t.Errorf("the refusal does not say %q:\n%s", want, said)
		}
	}
	stranger.expectOnlyRefusals()

	buyer := openGate(t, p.WatchURL, chain.Buyer)
	buyer.press("Test buyer")
	buyer.reads("does not hold a token of")

	holder := openGate(t, p.WatchURL, chain.Holder)
	holder.press("Test holder")
	t.Logf("from the choice of a wallet to the picture: %s", holder.plays().Round(time.Millisecond))
	n.expectHidden(holder, p.WatchURL)

	begun := time.Now()
	if err := chain.Transfer721(ctx, chain.Holder, chain.Buyer.Address, id); err != nil {
		t.Fatal(err)
	}
	ticket := holder.tickets()
	lag := n.refused(ticket[len(ticket)-1], begun) // the bench holds it against its target
	holder.stops("does not hold a token of")
	t.Logf("after the transfer: refused in %s, the holder's player says so in %s", lag.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	// The buyer's page has stood open: it lets them in within its own interval
	// (3 s) and the chain's.
	buyer.until("the buyer is let in", `document.querySelector('.stage .player')`, 30*time.Second)
	if took := time.Since(begun); took > 3*time.Second+chainPoll+4*time.Second { // and what a busy machine needs
		t.Errorf("the buyer was let in %s after the transfer", took)
	}
	t.Logf("after the transfer the buyer's page lets them in in %s", time.Since(begun).Round(time.Millisecond))
	buyer.plays()
	n.expectHidden(buyer, p.WatchURL)
	holder.press("Try again")
	holder.reads("does not hold a token of")

	begun = time.Now()
	if err := chain.Reorg(ctx, 1); err != nil {
		t.Fatal(err)
	}
	buyer.stops("does not hold a token of")
	t.Logf("after the reorg the buyer's player stops in %s", time.Since(begun).Round(time.Millisecond))
	holder.plays() // by itself
	if at := eval[float64](holder, `return document.querySelector('video').currentTime`); at < 0.5 {
		t.Errorf("playback began anew, at %v s", at)
	}
	n.expectHidden(holder, p.WatchURL)
	holder.expectOnlyRefusals()
	buyer.expectOnlyRefusals()
}

// TestGateAccountChange: a wallet that goes over to another account is noticed,
// and signs in with that one if the viewer wants it.
func TestGateAccountChange(t *testing.T) {
	chain := startChain(t)
	n := startGated(t, chain)
	p := n.pushGated(holders(chain))
	if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
		t.Fatal(err)
	}
	b := openGate(t, p.WatchURL, chain.Stranger, chain.Holder)
	b.reads("Sign in with your wallet to watch.")
	b.shoot("gate")
	eval[any](b, `window.turn('stranger', 'stranger')`)
	b.press("Test stranger")
	b.reads("does not hold a token of")
	const offered = `document.querySelector('.changed').offsetParent`
	if eval[bool](b, `return Boolean(`+offered+`)`) {
		t.Error("the account that has signed in is said to be another")
	}
	eval[any](b, `window.turn('stranger', 'holder')`)
	b.until("the other account is noticed", offered+` && document.querySelector('.changed code').textContent === '`+chain.Holder.Address.Hex()+`'`, 30*time.Second)
	b.shoot("gate-changed")
	eval[any](b, `window.turn('stranger', 'stranger')`)
	b.until("it has gone back", `!`+offered, 30*time.Second)
	eval[any](b, `window.turn('stranger', 'holder')`)
	b.press("Sign in with this account")
	b.plays()
	if live := n.viewing(); len(live) != 1 || live[0].Wallet != chain.Holder.Address.Hex() {
		t.Errorf("the sessions are %v", live)
	}
	b.expectOnlyRefusals()
}

// refused waits until a ticket opens nothing, and returns how long after begun
// that was.
func (n *node) refused(ticket string, begun time.Time) time.Duration {
	n.t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for range poll.C {
		resp, err := http.Get(n.url + "/s/" + ticket + "/master.m3u8")
		if err != nil {
			n.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusForbidden {
			break
		}
		if time.Since(begun) > 10*time.Second {
			n.t.Fatalf("10 s after the transfer the ticket still opens the video: %s", resp.Status)
		}
	}
	return time.Since(begun)
}

// TestGateRenewal: tickets are renewed while the picture moves on; a reload
// goes on without a wallet; the operator ends it.
func TestGateRenewal(t *testing.T) {
	chain := startChain(t)
	n := startGated(t, chain)
	p := n.pushGated(holders(chain))
	if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
		t.Fatal(err)
	}
	b := openGate(t, p.WatchURL, chain.Holder)
	b.press("Test holder")
	b.plays()
	eval[any](b, `window.stalls = 0; document.querySelector('video').addEventListener('waiting', () => window.stalls++)`)
	b.until("three tickets are used", `new Set(performance.getEntriesByType('resource').flatMap((e) => e.name.match(/\/s\/([^/]+)\/.*m4s/)?.[1] ?? [])).size >= 3`, 40*time.Second)
	if stalls := eval[int](b, `return window.stalls`); stalls > 0 {
		t.Errorf("playback stalled %d times while tickets were renewed", stalls)
	}
	b.until("the stills are there", `document.querySelector('.player').dataset.storyboard !== ''`, 10*time.Second)
	if status := eval[int](b, `return (await fetch('/s/' + performance.getEntriesByType('resource').findLast((e) => e.name.endsWith('.m4s')).name.split('/')[4] + '/storyboard.vtt')).status`); status != http.StatusOK {
		t.Errorf("the storyboard under the renewed ticket: status %d", status)
	}
	n.expectHidden(b, p.WatchURL)
	b.mu.Lock()
	before := len(b.complaints)
	b.mu.Unlock()

	if err := chromedp.Do(b.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	b.until("after a reload the player is there", `document.querySelector('.stage .player')`, 10*time.Second)
	eval[any](b, `document.querySelector('.big-play').click()`)
	b.plays()
	live := n.viewing()
	if len(live) != 1 {
		t.Fatalf("%d sessions play after a reload", len(live))
	}
	b.mu.Lock()
	if after := len(b.complaints); after != before {
		t.Errorf("the reload led through a refusal: %v", b.complaints[before:])
	}
	b.mu.Unlock()

	n.ctl("sessions", "end", live[0].ID)
	b.stops("The operator has ended this session.")
	b.press("Try again")
	b.plays()
	b.expectOnlyRefusals()

	if err := chromedp.Do(b.ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); len(n.viewing()) > 0; {
		if time.Now().After(end) {
			t.Fatal("5 s after the page was left its session goes on")
		}
	}
}

// session is what tests look at of a session.
type session struct {
	ID     string `json:"id"`
	Wallet string `json:"wallet"`
}

// TestGateNative: where a browser has no Media Source Extensions, its own HLS
// is loaded anew for each ticket, where playback is.
func TestGateNative(t *testing.T) {
	chain := startChain(t)
	n := startGated(t, chain)
	p := n.pushGated(holders(chain))
	if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
		t.Fatal(err)
	}
	b := openGate(t, p.WatchURL, chain.Holder)
	eval[any](b, `delete window.MediaSource; delete window.ManagedMediaSource; delete window.WebKitMediaSource`)
	b.press("Test holder")
	b.plays()
	if src := eval[string](b, `return document.querySelector('video').currentSrc`); !strings.HasSuffix(src, "/master.m3u8") {
		t.Fatalf("the browser plays %s: this proves nothing", src)
	}
	eval[any](b, `window.first = document.querySelector('video').currentSrc`)
	b.until("another ticket is used", `document.querySelector('video').currentSrc !== window.first`, 15*time.Second)
	b.until("it goes on where it was", `document.querySelector('video').currentTime > 7 && document.querySelector('video').readyState > 2 &&
		!document.querySelector('video').paused`, 4*time.Second)
	n.ctl("sessions", "end", n.viewing()[0].ID)
	b.stops("The operator has ended this session.")
	b.expectOnlyRefusals()
}

// live lists the sessions that play.
func (n *node) live() []session {
	n.t.Helper()
	var list struct {
		Sessions []session `json:"sessions"`
	}
	if err := json.Unmarshal([]byte(n.ctl("sessions", "list", "--state", "live", "--json")), &list); err != nil {
		n.t.Fatal(err)
	}
	return list.Sessions
}

// viewing lists the sessions that wallets are watching in.
func (n *node) viewing() []session {
	n.t.Helper()
	return slices.DeleteFunc(n.live(), func(s session) bool { return s.Wallet == "" })
}

// TestGateProofs: where the rule has them, passwords and codes are asked for,
// and one that was right need not be entered again.
func TestGateProofs(t *testing.T) {
	chain := startChain(t)
	n := startGated(t, chain)
	p := n.pushGated(fmt.Sprintf(`{"all": [{"password": "open sesame"}, {"any": [%s, {"ticket_code": {"pool": "premiere"}}]}]}`, holders(chain)))
	code := strings.TrimSpace(n.ctl("codes", "create", "premiere"))
	b := openGate(t, p.WatchURL, chain.Stranger)
	b.reads("is needed to watch")
	enter(b, ".password", "open barley")
	b.reads("The password is wrong.")
	enter(b, ".password", "open sesame")
	b.until("the password is no longer asked for", `!document.querySelector('.password').offsetParent && document.querySelector('.code').offsetParent`, 5*time.Second)
	b.press("Test stranger")
	b.until("the wallet is refused", `document.querySelector('.who').offsetParent`, 5*time.Second)
	enter(b, ".code", "WRONG-CODE")
	b.reads("There is no such ticket code.")
	enter(b, ".code", code)
	b.plays()
	n.expectHidden(b, p.WatchURL)
	for _, secret := range []string{code, "open sesame", "open barley"} {
		if strings.Contains(n.log.String(), secret) {
			t.Error("a password or code is in the log")
		}
	}
	b.expectOnlyRefusals()

	// What was proved goes on with the session.
	if err := chromedp.Do(b.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	b.until("after a reload the player is there", `document.querySelector('.stage .player')`, 10*time.Second)
	b.expectOnlyRefusals()

	// Another browser knows nothing, and the code is used up.
	b = openGate(t, p.WatchURL)
	b.until("there is no wallet", `document.querySelector('.no-wallet').offsetParent`, 5*time.Second)
	enter(b, ".password", "open sesame")
	b.until("the code is asked for", `!document.querySelector('.password').offsetParent && document.querySelector('.code').offsetParent`, 5*time.Second)
	enter(b, ".code", code)
	b.reads("The ticket code has been used already.")
	b.expectOnlyRefusals()
}

// TestGateVault: a wallet that acts for another watches by what that one has,
// until it no longer may.
func TestGateVault(t *testing.T) {
	chain := startChain(t)
	ctx := t.Context()
	n := startGated(t, chain)
	p := n.pushGated(holders(chain))
	if _, err := chain.Mint721(ctx, chain.Vault.Address); err != nil {
		t.Fatal(err)
	}
	if err := chain.DelegateAll(ctx, chain.Vault, chain.Hot.Address, true); err != nil {
		t.Fatal(err)
	}
	b := openGate(t, p.WatchURL, chain.Hot)
	b.press("Test hot")
	b.reads("does not hold a token of")
	eval[any](b, `document.querySelector('.vaults summary').click()`)
	enter(b, ".vaults form", "0x123")
	b.until("a wrong address is named", `document.querySelector('.hint').textContent.includes('40 hex digits')`, time.Second)
	enter(b, ".vaults form", strings.ToLower(chain.Vault.Address.Hex()))
	b.plays()
	if err := chain.DelegateAll(ctx, chain.Vault, chain.Hot.Address, false); err != nil {
		t.Fatal(err)
	}
	b.stops("does not hold a token of")
	b.expectOnlyRefusals()
}

// TestSessionEnds: the page of a link that a key has made says so when the
// link is ended.
func TestSessionEnds(t *testing.T) {
	n := startNode(t)
	clip := ffmpeg(t, "a.mp4", testPicture+testTone+x264+"-g 50 -c:a aac")
	p := n.push(clip, "--wait", "ready")
	b := openTab(t, p.WatchURL)
	eval[any](b, `document.querySelector('.big-play').click()`)
	b.plays()
	b.expectQuiet()
	n.ctl("sessions", "end", n.live()[0].ID)
	b.stops("The operator has ended this session.")
	b.expectOnlyRefusals()
	resp, err := http.Get(p.WatchURL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "The operator has ended this session.") {
		t.Errorf("opened again, the link answers %s, %v", resp.Status, err)
	}
}

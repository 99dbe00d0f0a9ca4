package e2e

import (
	"fmt"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"streamgate/cmd/devchain/devnet"
)

// startConsole signs the first admin in with a browser without scripts.
func startConsole(t *testing.T, n *node) *plainBrowser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &plainBrowser{t, &http.Client{Jar: jar, Timeout: time.Minute}, n.url}
	link, err := url.Parse(strings.TrimSpace(n.ctl("setup-link")))
	if err != nil {
		t.Fatal(err)
	}
	b.send("/console/setup", url.Values{
		"token": {link.Query().Get("token")}, "name": {adminName}, "password": {adminPassword}, "again": {adminPassword},
	})
	return b
}

// TestDecisionsStay: who was let in and who was refused, and why, is on the
// access page after the node was killed and started again; a changed rule is
// tried on them by a form, against the chain as it is now.
func TestDecisionsStay(t *testing.T) {
	chain := startChain(t)
	n := startGated(t, chain)
	b := startConsole(t, n)
	p := n.pushGated(holders(chain))
	if _, err := chain.Mint721(t.Context(), chain.Holder.Address); err != nil {
		t.Fatal(err)
	}
	if err := chain.Mint20(t.Context(), chain.Buyer.Address, big.NewInt(5)); err != nil {
		t.Fatal(err)
	}
	asks := func(who devnet.Account, want bool) {
		t.Helper()
		status := n.rest(http.MethodPost, "videos/"+p.VideoID+"/sessions", fmt.Sprintf(`{"wallet": %q}`, who.Address.Hex()), nil)
		if admitted := status < 300; admitted != want {
			t.Errorf("%s: status %d", who.Name, status)
		}
	}
	asks(chain.Holder, true)
	asks(chain.Buyer, false)
	asks(chain.Stranger, false)
	page := "/console/access?outcome=refused&video=" + p.VideoID
	b.until(page, chain.Stranger.Address.Hex()) // it is in the store
	n.kill()
	n.start()
	said := b.until(page, chain.Stranger.Address.Hex())
	for text, want := range map[string]bool{
		chain.Buyer.Address.Hex(): true, "does not hold a token of": true, "not_a_holder": true,
	} {
		if strings.Contains(said, text) != want {
			t.Errorf("the refusals have %q: %t", text, !want)
		}
	}
	if said = b.read("/console/access?outcome=admitted&wallet=" + strings.ToLower(chain.Holder.Address.Hex())); !strings.Contains(said, "For holders") || strings.Contains(said, "not_a_holder") {
		t.Errorf("the admissions of the holder:\n%s", said)
	}

	dry := func(rule string, want ...string) {
		t.Helper()
		said := strings.Join(strings.Fields(b.send("/console/videos/"+p.VideoID+"/rule", url.Values{"do": {"dry"}, "rule": {rule}})), " ")
		for _, text := range want {
			if !strings.Contains(said, text) {
				t.Errorf("a dry run of %s lacks %q:\n%s", rule, text, said)
			}
		}
	}
	coins := fmt.Sprintf(`{"erc20": {"chain": %d, "contract": %q, "min": "5"}}`, chain.ChainID, chain.Coin)
	dry(holders(chain), "about 3 viewers", "Nothing would change.", "1 viewer stays admitted", "2 viewers stay refused")
	dry(coins, "1 viewer would fall out", chain.Holder.Address.Hex(), "1 viewer would come in", chain.Buyer.Address.Hex(), "1 viewer stays refused")
	if rule := n.ctl("rules", "show", p.VideoID); !strings.Contains(rule, "erc721") {
		t.Errorf("the dry run has changed the rule: %s", rule)
	}
	if err := chain.Transfer20(t.Context(), chain.Buyer, chain.Stranger.Address, big.NewInt(5)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // the watcher sees it at the next block it looks at
		said = b.send("/console/videos/"+p.VideoID+"/rule", url.Values{"do": {"dry"}, "rule": {coins}})
		_, in, _ := strings.Cut(said, "would come in")
		if in, _, _ = strings.Cut(in, "</details>"); strings.Contains(in, chain.Stranger.Address.Hex()) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after the transfer:\n%s", said)
		}
	}
	lookAtDecisions(t, n, p.VideoID, coins)
}

// lookAtDecisions looks at the pages of a dry run and of the decisions as people
// see them.
func lookAtDecisions(t *testing.T, n *node, video, rule string) {
	b := openTabFor(t, n.url+"/console/sign-in?to=/console/access", 3*time.Minute)
	b.fill("#name", adminName)
	b.fill("#password", adminPassword)
	b.follow("button.primary")
	b.arrive("the decisions", `document.querySelector('#decisions')`)
	b.look("decisions")
	b.open(n.url + "/console/videos/" + video)
	b.fill("#rule", rule)
	b.follow("button[value=dry]")
	b.arrive("the dry run", `document.body.textContent.includes('would come in')`)
	b.look("dry-run")
	b.expectQuiet()
}

// TestDryRunUnknown: of a chain that cannot be reached, a dry run says that it
// does not know.
func TestDryRunUnknown(t *testing.T) {
	n := startNode(t)
	n.kill()
	n.args = append(n.args, "--config", writeFile(t, "streamgate.yaml", `
chains:
  - {id: 99, name: Gone, urls: ["http://127.0.0.1:1"], poll_interval: 1s}
`))
	n.start()
	b := startConsole(t, n)
	clip := ffmpeg(t, "a.mp4", testPicture+testTone+x264+"-t 2 -g 50 -c:a aac")
	p := n.push(clip, "--wait", "ready")
	const wallet = "0x52908400098527886E0F7030069857D2E4169EE7"
	if status := n.rest(http.MethodPost, "videos/"+p.VideoID+"/sessions", fmt.Sprintf(`{"wallet": %q}`, wallet), nil); status != http.StatusForbidden {
		t.Errorf("a private video: status %d", status)
	}
	b.until("/console/access?wallet="+wallet, `<code class="soft">private</code>`)
	said := b.send("/console/videos/"+p.VideoID+"/rule", url.Values{"do": {"dry"}, "rule": {`{"erc721": {"chain": 99, "contract": "` + wallet + `"}}`}})
	if !strings.Contains(said, "1 viewer not known: a chain cannot be reached") || strings.Contains(said, "viewer would fall out") {
		t.Errorf("%s", said)
	}
}

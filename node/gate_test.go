package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/access/eth"
	"streamgate/app/apptest"
	"streamgate/app/rpc"
	"streamgate/cmd/devchain/devnet"
	"streamgate/store"
)

// gatePoll is how often the test's node looks at its chain.
const gatePoll = 100 * time.Millisecond

// gateTest is a node that watches a development chain, through an endpoint
// that can go away.
type gateTest struct {
	*testing.T
	chain *devnet.Net
	node  *Node
	cfg   *Config
	log   *apptest.Log
	down  atomic.Bool

	// refuse answers in the endpoint's place if it returns true; nil: never.
	refuse func(w http.ResponseWriter, body []byte) bool
}

func newGateTest(t *testing.T, change ...func(*Config)) *gateTest {
	t.Helper()
	return newRefusingGateTest(t, nil, change...)
}

// newRefusingGateTest is newGateTest with an endpoint that refuses some
// requests.
func newRefusingGateTest(t *testing.T, refuse func(http.ResponseWriter, []byte) bool, change ...func(*Config)) *gateTest {
	t.Helper()
	g := &gateTest{T: t, log: &apptest.Log{}, refuse: refuse}
	var err error
	if g.chain, err = devnet.Start(t.Context(), devnet.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.chain.Close() })
	upstream, err := url.Parse(g.chain.URL)
	g.ok(err)
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if g.refuse != nil && g.refuse(w, body) {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(endpoint.Close)
	t.Cleanup(func() { apptest.WantNoSecrets(t, g.log.String()) })
	g.cfg = testConfig(t, t.TempDir())
	g.cfg.Chains = []Chain{{
		ID: int(g.chain.ChainID), Name: "Devchain", URLs: []string{endpoint.URL}, PollInterval: gatePoll, Timeout: time.Second,
		Multicall: g.chain.Multicall.Hex(), DelegateRegistry: g.chain.Registry.Hex(),
	}}
	for _, f := range change {
		f(g.cfg)
	}
	g.start()
	return g
}

func (g *gateTest) ok(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// start starts a node on the test's data.
func (g *gateTest) start() {
	g.Helper()
	n, err := New(g.cfg, Options{Log: slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	g.ok(err)
	g.ok(n.Start(g.Context()))
	g.node = n
	g.Cleanup(func() { g.ok(n.Stop()) })
}

// video makes one that plays, with a rule if one is given. Names stand for the
// chain's contracts and accounts.
func (g *gateTest) video(id, rule string) {
	g.Helper()
	g.ok(g.node.kernel.Stores.Catalog.Videos.Create(g.Context(), store.Video{
		ID: id, Title: id, State: store.VideoReady, Created: time.Now().UTC(), DurationSeconds: 10,
	}))
	if rule != "" {
		g.rule(id, rule)
	}
}

func (g *gateTest) rule(video, rule string) {
	g.Helper()
	_, err := g.node.kernel.Peers.Access.SetVideoRule(rpc.System(g.Context()), &rpc.SetVideoRuleRequest{VideoId: video, Rule: g.parse(rule)})
	g.ok(err)
}

func (g *gateTest) parse(rule string) *structpb.Struct {
	g.Helper()
	var names []string
	for name, a := range map[string]common.Address{
		"NFT": g.chain.NFT, "EDITION": g.chain.Edition, "COIN": g.chain.Coin, "WALLETS": g.chain.Factory,
		"HOLDER": g.chain.Holder.Address, "STRANGER": g.chain.Stranger.Address, "VAULT": g.chain.Vault.Address,
	} {
		names = append(names, `"`+name+`"`, `"`+a.Hex()+`"`)
	}
	names = append(names, "CHAIN", fmt.Sprint(g.chain.ChainID))
	out := &structpb.Struct{}
	g.ok(protojson.Unmarshal([]byte(strings.NewReplacer(names...).Replace(rule)), out))
	return out
}

// answer is what the public API said.
type answer struct {
	status   int
	body     []byte
	Code     string          `json:"code"`
	Detail   string          `json:"detail"`
	Admits   []string        `json:"admits"`
	Decision json.RawMessage `json:"decision"`
	Token    string          `json:"token"`
	ID       string          `json:"id"`
	Wallet   string          `json:"wallet"`
	Nonce    string          `json:"nonce"`
	Domain   string          `json:"domain"`
	URI      string          `json:"uri"`
	cookies  []*http.Cookie
	retry    string // Retry-After
}

// call is one request of the public API, as whoever bearer says.
func (g *gateTest) call(method, path, bearer string, body any) answer {
	g.Helper()
	var data []byte
	if body != nil {
		var err error
		data, err = json.Marshal(body)
		g.ok(err)
	}
	req, err := http.NewRequestWithContext(g.Context(), method, g.node.URL()+path, bytes.NewReader(data))
	g.ok(err)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	g.ok(err)
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, cookies: resp.Cookies(), retry: resp.Header.Get("Retry-After")}
	a.body, err = io.ReadAll(resp.Body)
	g.ok(err)
	_ = json.Unmarshal(a.body, &a) // not every body is JSON
	return a
}

type fields map[string]any

// signer signs the hash of a personal message.
type signer func(hash [32]byte) ([]byte, error)

// signIn signs in and returns the login's token.
func (g *gateTest) signIn(wallet common.Address, sign signer) answer {
	g.Helper()
	nonce := g.call("POST", "/api/v1/auth/nonce", "", fields{})
	if nonce.status != http.StatusOK {
		g.Fatalf("nonce: %d %s", nonce.status, nonce.body)
	}
	message := fmt.Sprintf("%s wants you to sign in with your Ethereum account:\n%s\n\nWatch with this wallet.\n\n"+
		"URI: %s\nVersion: 1\nChain ID: %d\nNonce: %s\nIssued At: %s",
		nonce.Domain, wallet.Hex(), nonce.URI, g.chain.ChainID, nonce.Nonce, time.Now().UTC().Format(time.RFC3339))
	sig, err := sign(eth.PersonalHash(message))
	g.ok(err)
	return g.call("POST", "/api/v1/auth/verify", "", fields{"message": message, "signature": "0x" + common.Bytes2Hex(sig)})
}

func (g *gateTest) login(a devnet.Account) string {
	g.Helper()
	in := g.signIn(a.Address, a.Sign)
	if in.status != http.StatusOK || in.Wallet != a.Address.Hex() {
		g.Fatalf("sign in: %d %s", in.status, in.body)
	}
	return in.Token
}

// session asks for one.
func (g *gateTest) session(video, login string, body fields) answer {
	g.Helper()
	return g.call("POST", "/api/v1/videos/"+video+"/sessions", login, body)
}

// watch opens a session that must be admitted, and returns its ticket.
func (g *gateTest) watch(video, login string) string {
	g.Helper()
	a := g.session(video, login, fields{})
	if a.status != http.StatusCreated {
		g.Fatalf("session: %d %s", a.status, a.body)
	}
	g.wantAlive(a.Token)
	return a.Token
}

// untilAdmitted is watch for one who has just got what the rule asks for: a
// refusal stands until the watcher has seen the block.
func (g *gateTest) untilAdmitted(video, login string) string {
	g.Helper()
	var last answer
	g.until("the buyer to be admitted", func() bool {
		last = g.session(video, login, fields{})
		return last.status == http.StatusCreated
	})
	return last.Token
}

func (g *gateTest) plays(ticket string) answer {
	g.Helper()
	return g.call("GET", "/s/"+ticket+"/session", "", nil)
}

func (g *gateTest) wantAlive(ticket string) {
	g.Helper()
	if a := g.plays(ticket); a.status != http.StatusNoContent {
		g.Errorf("the session does not play: %d %s", a.status, a.body)
	}
}

// untilEnded waits for the ticket to be refused with a code.
func (g *gateTest) untilEnded(ticket, code string) {
	g.Helper()
	var last answer
	g.until("the session to end with "+code, func() bool {
		last = g.plays(ticket)
		return last.status == http.StatusForbidden
	})
	if last.Code != code || last.Detail == "" || code == "not_a_holder" && len(last.Admits) == 0 {
		g.Errorf("ended as %s", last.body)
	}
}

func (g *gateTest) until(what string, cond func() bool) {
	g.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); <-tick.C {
		if cond() {
			return
		}
	}
	g.Fatalf("waited for %s in vain; the node said:\n%s", what, g.log)
}

func (g *gateTest) wantRefused(a answer, status int, code string) {
	g.Helper()
	if a.status != status || a.Code != code || a.Detail == "" {
		g.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}

const anyNFT = `{"erc721":{"chain":CHAIN,"contract":"NFT"}}`

// TestGate is the life of one token: whoever has it watches.
func TestGate(t *testing.T) {
	g := newGateTest(t)
	ctx := t.Context()
	g.video("film", anyNFT)
	token, err := g.chain.Mint721(ctx, g.chain.Holder.Address)
	g.ok(err)

	g.wantRefused(g.session("film", "", fields{}), http.StatusUnauthorized, "not_signed_in")
	holder, stranger := g.login(g.chain.Holder), g.login(g.chain.Stranger)
	no := g.session("film", stranger, fields{})
	g.wantRefused(no, http.StatusForbidden, "not_a_holder")
	var d struct {
		Admit  bool
		Wallet string
		Admits []string
		Tree   struct {
			Kind, Result, Have string
			Block              float64
		}
	}
	g.ok(json.Unmarshal(no.Decision, &d))
	if d.Admit || d.Wallet != g.chain.Stranger.Address.Hex() || len(d.Admits) != 1 ||
		d.Tree.Kind != "erc721" || d.Tree.Result != "fail" || d.Tree.Have != "0" || d.Tree.Block == 0 {
		t.Errorf("the refusal says %s", no.Decision)
	}
	ticket := g.watch("film", holder)

	begun := time.Now()
	g.ok(g.chain.Transfer721(ctx, g.chain.Holder, g.chain.Stranger.Address, token))
	g.untilEnded(ticket, "not_a_holder")
	t.Logf("refused %s after the transfer was sent", time.Since(begun).Round(time.Millisecond))
	g.wantRefused(g.session("film", holder, fields{"resume": ticket}), http.StatusForbidden, "not_a_holder")
	bought := g.untilAdmitted("film", stranger)

	g.ok(g.chain.Reorg(ctx, 1)) // the transfer never was
	g.untilEnded(bought, "not_a_holder")
	g.untilAdmitted("film", holder)

	for _, secret := range []string{ticket, holder, bought} {
		if strings.Contains(g.log.String(), secret) {
			t.Error("a ticket or a login is in the log")
		}
	}
}

// TestRestartDuringTransfers: what happened while no node ran is found out.
func TestRestartDuringTransfers(t *testing.T) {
	g := newGateTest(t)
	ctx := t.Context()
	g.video("film", anyNFT)
	token, err := g.chain.Mint721(ctx, g.chain.Holder.Address)
	g.ok(err)
	_, err = g.chain.Mint721(ctx, g.chain.Buyer.Address)
	g.ok(err)
	sold, kept := g.watch("film", g.login(g.chain.Holder)), g.watch("film", g.login(g.chain.Buyer))
	g.ok(g.node.Stop())
	g.ok(g.chain.Transfer721(ctx, g.chain.Holder, g.chain.Stranger.Address, token))
	g.ok(g.chain.Mine(ctx, 5))
	g.start()
	g.untilEnded(sold, "not_a_holder")
	g.wantAlive(kept)
	g.until("the cursor to be at the head", func() bool {
		cursor, err := g.node.kernel.Stores.Catalog.Cursors.Get(ctx, fmt.Sprint(g.chain.ChainID))
		head, herr := g.chain.Head(ctx)
		g.ok(errors.Join(err, herr))
		return cursor.Block == head && len(cursor.Hash) == 32
	})
}

// TestRulesActOnSessions: a rule that changes ends those it no longer admits.
func TestRulesActOnSessions(t *testing.T) {
	g := newGateTest(t)
	ctx, gate := rpc.System(t.Context()), g.node.kernel.Peers.Access
	g.video("film", `{"wallets":["HOLDER","STRANGER"]}`)
	holder, stranger := g.login(g.chain.Holder), g.login(g.chain.Stranger)
	a, b := g.watch("film", holder), g.watch("film", stranger)

	g.rule("film", `{"wallets":["HOLDER"]}`)
	g.untilEnded(b, "wallet_not_listed")
	g.wantAlive(a)

	_, err := gate.PutRule(ctx, &rpc.PutRuleRequest{Name: "friends", Rule: g.parse(`{"wallets":["HOLDER"]}`)})
	g.ok(err)
	g.rule("film", `{"rule":"friends"}`)
	g.wantAlive(a)
	_, err = gate.PutRule(ctx, &rpc.PutRuleRequest{Name: "friends", Rule: g.parse(`{"wallets":["STRANGER"]}`)})
	g.ok(err)
	g.untilEnded(a, "wallet_not_listed")

	c := g.watch("film", stranger)
	_, err = gate.DeleteRule(ctx, &rpc.DeleteRuleRequest{Name: "friends"})
	g.ok(err)
	g.untilEnded(c, "rule_missing")

	g.rule("film", `{"wallets":["STRANGER"]}`)
	c = g.watch("film", stranger)
	preview := g.call("POST", "/api/v1/videos/film/sessions", g.key("read"), fields{})
	_, err = gate.DeleteVideoRule(ctx, &rpc.DeleteVideoRuleRequest{VideoId: "film"})
	g.ok(err)
	g.untilEnded(c, "private")
	g.wantRefused(g.session("film", stranger, fields{}), http.StatusForbidden, "private")
	g.wantAlive(preview.Token) // the owner's own

	_, err = gate.EndSession(ctx, &rpc.EndSessionRequest{Id: preview.ID})
	g.ok(err)
	g.untilEnded(preview.Token, "ended_by_operator")

	g.rule("film", `{"wallets":["STRANGER"]}`)
	c = g.watch("film", stranger)
	_, err = g.node.kernel.Peers.Library.DeleteVideo(ctx, &rpc.DeleteVideoRequest{Id: "film"})
	g.ok(err)
	g.untilEnded(c, "video_deleted")
}

func (g *gateTest) key(scope string) string {
	g.Helper()
	key, err := g.node.kernel.Peers.Access.CreateKey(rpc.System(g.Context()), &rpc.CreateKeyRequest{Scope: scope})
	g.ok(err)
	return key.Secret
}

// TestTimeWindowEndsSessions: nothing happens but time.
func TestTimeWindowEndsSessions(t *testing.T) {
	g := newGateTest(t)
	until := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)
	g.video("film", `{"all":[{"wallets":["HOLDER"]},{"time_window":{"until":"`+until+`"}}]}`)
	g.untilEnded(g.watch("film", g.login(g.chain.Holder)), "outside_time_window")
}

// TestWalletsSignIn: keys, contract wallets, and contract wallets to come.
func TestWalletsSignIn(t *testing.T) {
	g := newGateTest(t)
	owner := g.chain.Holder
	deployed, err := g.chain.DeployWallet(t.Context(), owner.Address, [32]byte{1})
	g.ok(err)
	coming, err := g.chain.WalletAddress(owner.Address, [32]byte{2})
	g.ok(err)
	for name, c := range map[string]struct {
		wallet common.Address
		sign   signer
	}{
		"a key":    {owner.Address, owner.Sign},
		"a wallet": {deployed, owner.Sign},
		"a wallet to come": {coming, func(hash [32]byte) ([]byte, error) {
			sig, err := owner.Sign(hash)
			if err != nil {
				return nil, err
			}
			return g.chain.Counterfactual(owner.Address, [32]byte{2}, sig)
		}},
	} {
		a := g.signIn(c.wallet, c.sign)
		if a.status != http.StatusOK || a.Wallet != c.wallet.Hex() {
			t.Errorf("%s: %d %s", name, a.status, a.body)
			continue
		}
		if len(a.cookies) != 1 || !a.cookies[0].HttpOnly || a.cookies[0].SameSite != http.SameSiteLaxMode || a.cookies[0].Value != a.Token {
			t.Errorf("%s: cookies %+v", name, a.cookies)
		}
		who := g.call("GET", "/api/v1/auth/login", a.Token, nil)
		if who.status != http.StatusOK || who.Wallet != c.wallet.Hex() || who.Token != "" {
			t.Errorf("%s: the login is %d %s", name, who.status, who.body)
		}
		if out := g.call("POST", "/api/v1/auth/sign-out", a.Token, fields{}); out.status != http.StatusNoContent {
			t.Errorf("%s: sign out: %d", name, out.status)
		}
		g.wantRefused(g.call("GET", "/api/v1/auth/login", a.Token, nil), http.StatusUnauthorized, "signed_out")
		g.wantRefused(g.signIn(g.chain.Stranger.Address, c.sign), http.StatusUnauthorized, "signature_wrong")
	}
}

// TestEveryLeaf decides about every kind of leaf and combinator on the chain.
func TestEveryLeaf(t *testing.T) {
	g := newGateTest(t)
	ctx, chain := t.Context(), g.chain
	g.ok(chain.Mint721ID(ctx, chain.Holder.Address, big.NewInt(7)))
	g.ok(chain.Mint721ID(ctx, chain.Vault.Address, big.NewInt(8)))
	g.ok(chain.Mint1155(ctx, chain.Holder.Address, big.NewInt(5), big.NewInt(3)))
	g.ok(chain.Mint20(ctx, chain.Holder.Address, big.NewInt(1000)))
	g.ok(chain.DelegateAll(ctx, chain.Vault, chain.Hot.Address, true))
	const (
		has   = `{"erc721":{"chain":CHAIN,"contract":"NFT"}}`
		lacks = `{"erc20":{"chain":CHAIN,"contract":"COIN","min":"1001"}}`
	)
	for _, c := range []struct {
		rule, reason string // "" admits the holder
	}{
		{has, ""},
		{`{"erc721":{"chain":CHAIN,"contract":"NFT","min_balance":2}}`, "not_a_holder"},
		{`{"erc721":{"chain":CHAIN,"contract":"NFT","token_ids":["7"]}}`, ""},
		{`{"erc721":{"chain":CHAIN,"contract":"NFT","token_ids":["8","9"]}}`, "not_a_holder"},
		{`{"contract":{"chain":CHAIN,"contract":"NFT"}}`, ""},
		{`{"erc1155":{"chain":CHAIN,"contract":"EDITION","id":"5","min":"3"}}`, ""},
		{`{"erc1155":{"chain":CHAIN,"contract":"EDITION","id":"5","min":"4"}}`, "not_a_holder"},
		{`{"any":[{"not":{"contract":{"chain":CHAIN,"contract":"EDITION","id":"6"}}}]}`, ""},
		{`{"erc20":{"chain":CHAIN,"contract":"COIN","min":"1000"}}`, ""},
		{lacks, "not_a_holder"},
		{`{"native":{"chain":CHAIN,"min":"1"}}`, ""},
		{`{"native":{"chain":CHAIN,"min":"1000000000000000000000000"}}`, "not_a_holder"},
		{`{"wallets":["HOLDER"]}`, ""},
		{`{"wallets":["STRANGER"]}`, "wallet_not_listed"},
		{`{"password":"secret"}`, "password_required"},
		{`{"ticket_code":{"pool":"p"}}`, "ticket_required"},
		{`{"time_window":{"until":"2001-01-01T00:00:00Z"}}`, "outside_time_window"},
		{`{"public":true}`, ""},
		{`{"erc721":{"chain":CHAIN,"contract":"WALLETS"}}`, "contract_problem"},
		{`{"all":[` + has + `,` + lacks + `]}`, "not_a_holder"},
		{`{"any":[` + lacks + `,` + has + `]}`, ""},
		{`{"not":` + has + `}`, "excluded"},
		{`{"not":` + lacks + `}`, ""},
	} {
		d, err := g.node.kernel.Peers.Access.SimulateRule(rpc.System(ctx), &rpc.SimulateRuleRequest{
			Rule: g.parse(c.rule), Wallet: strings.ToLower(chain.Holder.Address.Hex()),
		})
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		if d.Admit != (c.reason == "") || d.Reason != c.reason || (d.Tree.Result == "pass") != d.Admit || d.Admit != (d.Sentence == "") {
			t.Errorf("%s: %v", c.rule, d)
		}
	}
	// A hot wallet acts for a cold one that has delegated to it, and for no other.
	g.video("film", has)
	hot := g.login(chain.Hot)
	g.wantRefused(g.session("film", hot, fields{}), http.StatusForbidden, "not_a_holder")
	g.wantRefused(g.session("film", hot, fields{"vaults": []string{chain.Holder.Address.Hex()}}), http.StatusForbidden, "not_a_holder")
	a := g.session("film", hot, fields{"vaults": []string{chain.Vault.Address.Hex()}})
	if a.status != http.StatusCreated {
		t.Fatalf("for the vault: %d %s", a.status, a.body)
	}
	g.ok(chain.DelegateAll(ctx, chain.Vault, chain.Hot.Address, false))
	g.untilEnded(a.Token, "not_a_holder")
}

// TestUnreachableChain: deny ends those who watch, grace lets them go on.
func TestUnreachableChain(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		grace  time.Duration
		ends   bool
	}{
		"deny":          {unreachableDeny, 0, true},
		"grace":         {unreachableGrace, time.Hour, false},
		"grace is over": {unreachableGrace, 2 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateTest(t, func(cfg *Config) {
				cfg.Chains[0].Unreachable, cfg.Chains[0].Grace = c.policy, c.grace
				cfg.Access.RecheckInterval = time.Second
			})
			_, err := g.chain.Mint721(t.Context(), g.chain.Holder.Address)
			g.ok(err)
			_, err = g.chain.Mint721(t.Context(), g.chain.Buyer.Address)
			g.ok(err)
			g.video("film", anyNFT)
			ticket, buyer := g.watch("film", g.login(g.chain.Holder)), g.login(g.chain.Buyer)
			g.down.Store(true)
			if c.ends {
				g.untilEnded(ticket, "chain_unreachable")
			}
			g.until("nobody new to be admitted", func() bool {
				a := g.session("film", buyer, fields{})
				return a.status == http.StatusServiceUnavailable && a.Code == "chain_unreachable"
			})
			if !c.ends {
				renewed := g.call("POST", "/api/v1/sessions:renew", "", fields{"token": ticket})
				if renewed.status != http.StatusOK {
					t.Errorf("renew: %d %s", renewed.status, renewed.body)
				}
				g.wantAlive(ticket)
			}
			g.down.Store(false)
			g.until("the chain to come back", func() bool { return g.session("film", buyer, fields{}).status == http.StatusCreated })
		})
	}
}

// TestStreamLimits: a wallet plays so many videos at once, and leaving one, or
// taking it over, makes room.
func TestStreamLimits(t *testing.T) {
	g := newGateTest(t, func(cfg *Config) { cfg.Access.MaxStreamsPerWallet = 2 })
	g.video("film", `{"wallets":["HOLDER"]}`)
	g.video("other", `{"wallets":["HOLDER"]}`)
	login := g.login(g.chain.Holder)
	a, b := g.watch("film", login), g.watch("other", login)
	g.wantRefused(g.session("film", login, fields{}), http.StatusTooManyRequests, "too_many_streams")
	taken := g.session("film", login, fields{"resume": a})
	if taken.status != http.StatusCreated {
		t.Fatalf("resume: %d %s", taken.status, taken.body)
	}
	g.untilEnded(a, "resumed")
	if left := g.call("POST", "/api/v1/sessions:leave", "", fields{"token": b}); left.status != http.StatusNoContent {
		t.Errorf("leave: %d %s", left.status, left.body)
	}
	g.untilEnded(b, "left")
	g.watch("other", login)

	list, err := g.node.kernel.Peers.Access.ListSessions(rpc.System(t.Context()), &rpc.ListSessionsRequest{State: "live"})
	g.ok(err)
	if len(list.Sessions) != 2 || slices.ContainsFunc(list.Sessions, func(s *rpc.Session) bool { return s.Token != "" }) {
		t.Errorf("live sessions %v", list.Sessions)
	}
}

// TestPasswordsAndCodes over the public API, without a wallet.
func TestPasswordsAndCodes(t *testing.T) {
	g := newGateTest(t)
	g.video("film", `{"all":[{"password":"open sesame"},{"ticket_code":{"pool":"gala","uses":1}}]}`)
	out, err := g.node.kernel.Peers.Access.CreateCodes(rpc.System(t.Context()), &rpc.CreateCodesRequest{Pool: "gala", Count: 2})
	g.ok(err)
	code := strings.ToLower(out.Codes[0])
	g.wantRefused(g.session("film", "", fields{}), http.StatusUnauthorized, "ticket_required")
	g.wantRefused(g.session("film", "", fields{"password": "wrong", "code": code}), http.StatusForbidden, "password_wrong")
	g.wantRefused(g.session("film", "", fields{"password": "open sesame", "code": "AAAA-AAAA-AAAA-AAAA"}), http.StatusForbidden, "ticket_wrong")
	a := g.session("film", "", fields{"password": "open sesame", "code": code})
	if a.status != http.StatusCreated {
		t.Fatalf("session: %d %s", a.status, a.body)
	}
	g.wantRefused(g.session("film", "", fields{"password": "open sesame", "code": code}), http.StatusForbidden, "ticket_used")
	again := g.session("film", "", fields{"resume": a.Token}) // a page that was loaded anew
	if again.status != http.StatusCreated {
		t.Errorf("resume: %d %s", again.status, again.body)
	}
	g.rule("film", `{"all":[{"password":"another"},{"ticket_code":{"pool":"gala","uses":1}}]}`)
	g.untilEnded(again.Token, "password_required")
	var last answer
	for range 20 {
		last = g.session("film", "", fields{"password": "guess"})
	}
	g.wantRefused(last, http.StatusTooManyRequests, "too_many_attempts")
	if last.retry == "" {
		t.Error("it is not said when to try again")
	}
	for _, secret := range append(out.Codes, code, "open sesame", "guess") {
		if strings.Contains(g.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// TestRefusedRules: a rule that cannot be kept is not, and the message names
// the place.
func TestRefusedRules(t *testing.T) {
	g := newGateTest(t)
	g.video("film", "")
	for rule, want := range map[string]string{
		`{"erc721":{"chain":5,"contract":"NFT"}}`:                              "/erc721/chain",
		`{"any":[{"public":true},{"rule":"nobody"}]}`:                          "there is no rule nobody",
		`{"contract":{"chain":CHAIN,"contract":"COIN"}}`:                       "/contract",
		`{"erc20":{"chain":CHAIN,"contract":"COIN","min":1e20}}`:               "/erc20/min",
		`{"erc20":{"chain":CHAIN,"contract":"HOLDER"}}`:                        "min",
		`{"all":[{"wallets":["0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"]}]}`: "/all/0/wallets/0",
		`{"password":{}}`: "no password to keep",
	} {
		_, err := g.node.kernel.Peers.Access.SetVideoRule(rpc.System(t.Context()), &rpc.SetVideoRuleRequest{VideoId: "film", Rule: g.parse(rule)})
		if reason, _ := rpc.Reason(err); reason != "invalid_rule" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", rule, err, want)
		}
	}
	if status, body := get(t, http.DefaultClient, g.node.URL()+"/rule.schema.json"); status != http.StatusOK || !strings.Contains(body, "$defs") {
		t.Errorf("the schema: %d %s", status, body)
	}
}

package rules

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
)

// world is what a decision is made from, in short: balances by question.
type world struct {
	facts Facts
	now   time.Time
}

func newWorld() *world {
	return &world{facts: Facts{}, now: time.Date(2030, 1, 15, 12, 0, 0, 0, time.UTC)}
}

// know adds a fact, read five seconds ago at block 90.
func (w *world) know(chain uint64, q eth.Question, amount int64, problem string) {
	w.facts[KeyOf(chain, q)] = FactValue{
		Answer: eth.Answer{Amount: big.NewInt(amount), Problem: problem}, Block: 90, Read: w.now.Add(-5 * time.Second), Source: "node-a",
	}
}

func (w *world) fail(chain uint64, q eth.Question, err error) {
	w.facts[KeyOf(chain, q)] = FactValue{Err: err}
}

func q721(t testing.TB, holder string) eth.Question {
	return eth.Question{Fact: eth.FactERC721, Contract: addr(t, nft), Holder: addr(t, holder)}
}

func qOwner(t testing.TB, holder string, id int64) eth.Question {
	return eth.Question{Fact: eth.FactOwner, Contract: addr(t, nft), Holder: addr(t, holder), ID: big.NewInt(id)}
}

func qDelegate(t testing.TB) eth.Question {
	return eth.Question{Fact: eth.FactDelegate, Contract: addr(t, nft), Holder: addr(t, alice), Vault: addr(t, cold)}
}

const (
	ruleNFT  = `{"erc721":{"chain":1,"contract":"NFT"}}`
	ruleIDs  = `{"erc721":{"chain":1,"contract":"NFT","token_ids":["1","2","3"],"min_balance":2}}`
	ruleCoin = `{"erc20":{"chain":1,"contract":"COIN","min":"5"}}`
	january  = `{"time_window":{"from":"2030-01-01T00:00:00Z","until":"2030-02-01T00:00:00Z"}}`
	february = `{"time_window":{"from":"2030-02-01T00:00:00Z","until":"2030-03-01T00:00:00Z"}}`
	past     = `{"time_window":{"until":"2030-01-15T12:00:00Z"}}`
)

// TestDecide has every leaf, every combination and every reason.
func TestDecide(t *testing.T) {
	signedIn := Viewer{Wallet: addr(t, alice)}
	withVault := Viewer{Wallet: addr(t, alice), Vaults: []eth.Address{addr(t, cold), addr(t, alice), {}}}
	code := func(proof Proof) Viewer {
		return Viewer{Wallet: addr(t, alice), Proofs: map[string]Proof{"ticket_code:p": proof}}
	}
	password := parse(t, `{"password":"abcd"}`)
	if err := NewPasswords(1).Seal(t.Context(), password); err != nil {
		t.Fatal(err)
	}
	with := func(proof Proof) Viewer {
		return Viewer{Proofs: map[string]Proof{password.Password.ProofKey(): proof}}
	}
	know := func(q eth.Question, amount int64) func(*world) { return func(w *world) { w.know(1, q, amount, "") } }
	all := func(fs ...func(*world)) func(*world) {
		return func(w *world) {
			for _, f := range fs {
				f(w)
			}
		}
	}
	nothing := func(*world) {}
	hold, holdNot := know(q721(t, alice), 1), know(q721(t, alice), 0)
	broken := func(w *world) { w.know(1, q721(t, alice), 0, "no contract") }
	down := func(w *world) { w.fail(1, q721(t, alice), eth.ErrChainUnreachable) }
	for i, c := range []struct {
		rule   string
		viewer Viewer
		world  func(*world)
		result Result
		reason Reason
		admits string // joined by |
	}{
		{`{"public":true}`, Viewer{}, nothing, Pass, "", ""},
		{`{"not":{"public":true}}`, Viewer{}, nothing, Fail, ReasonExcluded, ""},
		{`{"rule":"gone"}`, Viewer{}, nothing, Unknown, ReasonNoRule, ""},
		{`{"not":{"rule":"gone"}}`, Viewer{}, nothing, Unknown, ReasonNoRule, ""},

		{ruleNFT, Viewer{}, nothing, Unknown, ReasonNotSignedIn, "Sign in with a wallet that holds a token of NFT on chain 1."},
		{ruleNFT, signedIn, hold, Pass, "", ""},
		{ruleNFT, signedIn, holdNot, Fail, ReasonNotHolder, "Use a wallet that holds a token of NFT on chain 1."},
		{ruleNFT, signedIn, nothing, Unknown, ReasonChainUnreachable, "Try again when chain 1 can be reached."},
		{ruleNFT, signedIn, down, Unknown, ReasonChainUnreachable, "Try again when chain 1 can be reached."},
		{ruleNFT, signedIn, broken, Unknown, ReasonContractProblem, ""},
		{ruleNFT, signedIn, func(w *world) { w.fail(1, q721(t, alice), eth.ErrChainUnknown) }, Unknown, ReasonChainUnknown, ""},
		{`{"not":` + ruleNFT + `}`, Viewer{}, nothing, Unknown, ReasonNotSignedIn, "Sign in with a wallet that does not hold a token of NFT on chain 1."},
		{`{"not":` + ruleNFT + `}`, signedIn, hold, Fail, ReasonExcluded, "Use a wallet that does not hold a token of NFT on chain 1."},
		{`{"not":` + ruleNFT + `}`, signedIn, holdNot, Pass, "", ""},
		{`{"not":` + ruleNFT + `}`, signedIn, down, Unknown, ReasonChainUnreachable, "Try again when chain 1 can be reached."},
		{`{"not":` + ruleNFT + `}`, signedIn, broken, Unknown, ReasonContractProblem, ""},

		{ruleIDs, signedIn, all(know(qOwner(t, alice, 1), 1), know(qOwner(t, alice, 2), 0), know(qOwner(t, alice, 3), 1)), Pass, "", ""},
		{ruleIDs, signedIn, all(know(qOwner(t, alice, 1), 1), know(qOwner(t, alice, 3), 1)), Pass, "", ""},
		{ruleIDs, signedIn, know(qOwner(t, alice, 1), 1), Unknown, ReasonChainUnreachable, "Try again when chain 1 can be reached."},
		{ruleIDs, signedIn, all(know(qOwner(t, alice, 1), 0), know(qOwner(t, alice, 2), 0)), Fail, ReasonNotHolder, "Use a wallet that holds 2 of the tokens 1, 2, 3 of NFT on chain 1."},
		{`{"not":{"erc721":{"chain":1,"contract":"NFT","token_ids":["1"]}}}`, signedIn,
			func(w *world) { w.know(1, qOwner(t, alice, 1), 0, "reverted") }, Pass, "", ""}, // such a token does not exist
		{`{"not":{"erc721":{"chain":1,"contract":"NFT","token_ids":["1"]}}}`, signedIn,
			func(w *world) { w.know(1, qOwner(t, alice, 1), 0, "no contract") }, Unknown, ReasonContractProblem, ""},

		{`{"erc1155":{"chain":1,"contract":"NFT","id":"7","min":"2"}}`, signedIn,
			know(eth.Question{Fact: eth.FactERC1155, Contract: addr(t, nft), Holder: addr(t, alice), ID: big.NewInt(7)}, 2), Pass, "", ""},
		{`{"erc1155":{"chain":1,"contract":"NFT","id":"7","min":"2"}}`, signedIn,
			know(eth.Question{Fact: eth.FactERC1155, Contract: addr(t, nft), Holder: addr(t, alice), ID: big.NewInt(7)}, 1), Fail, ReasonNotHolder,
			"Use a wallet that holds at least 2 of token 7 of NFT on chain 1."},
		{ruleCoin, signedIn, know(eth.Question{Fact: eth.FactERC20, Contract: addr(t, coin), Holder: addr(t, alice)}, 5), Pass, "", ""},
		{ruleCoin, signedIn, know(eth.Question{Fact: eth.FactERC20, Contract: addr(t, coin), Holder: addr(t, alice)}, 4), Fail, ReasonNotHolder,
			"Use a wallet that holds at least 5 base units of the token COIN on chain 1."},
		{`{"native":{"chain":1,"min":"5"}}`, signedIn, know(eth.Question{Fact: eth.FactNative, Holder: addr(t, alice)}, 6), Pass, "", ""},
		{`{"native":{"chain":1,"min":"5"}}`, signedIn, know(eth.Question{Fact: eth.FactNative, Holder: addr(t, alice)}, 4), Fail, ReasonNotHolder,
			"Use a wallet that holds at least 5 wei on chain 1."},

		// Delegation: the vault must hold it all, and the registry must say so.
		{ruleNFT, withVault, all(holdNot, know(q721(t, cold), 1), know(qDelegate(t), 1)), Pass, "", ""},
		{ruleNFT, withVault, all(hold, know(q721(t, cold), 0)), Pass, "", ""},
		{ruleNFT, withVault, all(holdNot, know(q721(t, cold), 1), know(qDelegate(t), 0)), Fail, ReasonNotHolder, "Use a wallet that holds a token of NFT on chain 1."},
		{ruleNFT, withVault, all(holdNot, know(q721(t, cold), 0), know(qDelegate(t), 1)), Fail, ReasonNotHolder, "Use a wallet that holds a token of NFT on chain 1."},
		{ruleNFT, withVault, all(holdNot, know(q721(t, cold), 1)), Unknown, ReasonChainUnreachable, "Try again when chain 1 can be reached."},
		{ruleNFT, withVault, all(holdNot, know(qDelegate(t), 1)), Unknown, ReasonChainUnreachable, "Try again when chain 1 can be reached."},
		{`{"erc721":{"chain":1,"contract":"NFT","min_balance":2}}`, withVault, all(hold, know(q721(t, cold), 1), know(qDelegate(t), 1)), Fail, ReasonNotHolder,
			"Use a wallet that holds at least 2 tokens of NFT on chain 1."},

		{`{"wallets":["ALICE","BOB"]}`, signedIn, nothing, Pass, "", ""},
		{`{"wallets":["BOB"]}`, signedIn, nothing, Fail, ReasonNotListed, "Use a wallet that is on the list of those who may watch."},
		{`{"wallets":["BOB"]}`, Viewer{}, nothing, Unknown, ReasonNotSignedIn, "Sign in with a wallet that is on the list of those who may watch."},
		{`{"not":{"wallets":["BOB"]}}`, signedIn, nothing, Pass, "", ""},
		{`{"not":{"wallets":["BOB"]}}`, Viewer{}, nothing, Unknown, ReasonNotSignedIn, "Sign in with a wallet that is not on the list of those shut out."},
		{`{"not":{"wallets":["ALICE"]}}`, signedIn, nothing, Fail, ReasonExcluded, "Use a wallet that is not on the list of those shut out."},

		{`{"ticket_code":{"pool":"p"}}`, signedIn, nothing, Unknown, ReasonTicketRequired, "Enter a ticket code that is not used up."},
		{`{"ticket_code":{"pool":"p"}}`, code(ProofGood), nothing, Pass, "", ""},
		{`{"ticket_code":{"pool":"p"}}`, code(ProofUsed), nothing, Fail, ReasonTicketUsed, "Enter a ticket code that is not used up."},
		{`{"ticket_code":{"pool":"p"}}`, code(ProofWrong), nothing, Fail, ReasonTicketWrong, "Enter a ticket code that is not used up."},
		{`{"ticket_code":{"pool":"p"}}`, code("rubbish"), nothing, Unknown, ReasonTicketRequired, "Enter a ticket code that is not used up."},
		{`PASSWORD`, Viewer{}, nothing, Unknown, ReasonPasswordRequired, "Enter the password."},
		{`PASSWORD`, with(ProofGood), nothing, Pass, "", ""},
		{`PASSWORD`, with(ProofWrong), nothing, Fail, ReasonPasswordWrong, "Enter the password."},

		{january, Viewer{}, nothing, Pass, "", ""},
		{february, Viewer{}, nothing, Fail, ReasonOutsideWindow, "Come back at 2030-02-01T00:00:00Z."},
		{past, Viewer{}, nothing, Fail, ReasonOutsideWindow, ""},
		{`{"not":` + past + `}`, Viewer{}, nothing, Pass, "", ""},
		{`{"not":` + january + `}`, Viewer{}, nothing, Fail, ReasonExcluded, "Come back at 2030-02-01T00:00:00Z."},

		{`{"all":[` + ruleNFT + `,` + january + `]}`, signedIn, hold, Pass, "", ""},
		{`{"all":[` + ruleNFT + `,` + february + `]}`, signedIn, down, Fail, ReasonOutsideWindow,
			"Try again when chain 1 can be reached, and come back at 2030-02-01T00:00:00Z."},
		{`{"all":[PASSWORD,` + ruleNFT + `]}`, Viewer{}, nothing, Unknown, ReasonNotSignedIn,
			"Sign in with a wallet that holds a token of NFT on chain 1, and enter the password."},
		{`{"all":[PASSWORD,` + ruleNFT + `]}`, signedIn, holdNot, Fail, ReasonNotHolder,
			"Use a wallet that holds a token of NFT on chain 1, and enter the password."},
		{`{"all":[` + past + `,PASSWORD]}`, Viewer{}, nothing, Fail, ReasonOutsideWindow, ""},
		{`{"any":[` + ruleNFT + `,PASSWORD]}`, signedIn, holdNot, Unknown, ReasonPasswordRequired,
			"Use a wallet that holds a token of NFT on chain 1.|Enter the password."},
		{`{"any":[` + ruleNFT + `,PASSWORD]}`, with(ProofWrong), nothing, Unknown, ReasonPasswordWrong,
			"Sign in with a wallet that holds a token of NFT on chain 1.|Enter the password."},
		{`{"any":[` + ruleNFT + `,PASSWORD]}`, with(ProofGood), nothing, Pass, "", ""},
		{`{"any":[` + ruleNFT + `,{"public":true}]}`, signedIn, down, Pass, "", ""},
		{`{"any":[{"all":[` + ruleNFT + `,{"wallets":["BOB"]},PASSWORD]},` + february + `,` + past + `]}`, Viewer{}, nothing, Unknown, ReasonNotSignedIn,
			"Come back at 2030-02-01T00:00:00Z.|Sign in with a wallet that holds a token of NFT on chain 1 and is on the list of those who may watch, and enter the password."},
		{`{"not":{"any":[` + ruleNFT + `,{"wallets":["ALICE"]}]}}`, signedIn, hold, Fail, ReasonExcluded,
			"Use a wallet that does not hold a token of NFT on chain 1 and is not on the list of those shut out."},
	} {
		w := newWorld()
		c.world(w)
		text, _, _ := strings.Cut(strings.ReplaceAll(c.rule, "PASSWORD", `{"password":{}}`), "\n")
		rule := parse(t, text)
		rule.Leaves(func(leaf *Rule) {
			if leaf.Password != nil {
				leaf.Password = password.Password
			}
		})
		d := Decide(rule, c.viewer, w.facts, Policy{}, w.now)
		admits := strings.Join(d.Admits, "|")
		if d.Tree.Result != c.result || d.Reason != c.reason || admits != ethtest.Fill(c.admits) || d.Admit != (c.result == Pass) {
			t.Errorf("%d. %s: %s %s %q\nwant %s %s %q", i, c.rule, d.Tree.Result, d.Reason, admits, c.result, c.reason, ethtest.Fill(c.admits))
		}
		if d.Admit != (d.Sentence == "") || d.Admit != (d.Memory != nil) {
			t.Errorf("%d. %s: sentence %q, memory %v", i, c.rule, d.Sentence, d.Memory)
		}
	}
}

func TestQuestions(t *testing.T) {
	rule := parse(t, `{"all":[`+ruleNFT+`,{"not":{"erc721":{"chain":1,"contract":"NFT","min_balance":4}}},
		{"any":[{"native":{"chain":10,"min":"5"}},`+ruleIDs+`,{"public":true}]}]}`)
	if got := Questions(rule, Viewer{}); len(got) != 0 {
		t.Errorf("nobody signed in: %v", got)
	}
	got := Questions(rule, Viewer{Wallet: addr(t, alice)})
	if len(got) != 2 || len(got[1]) != 4 || len(got[10]) != 1 || got[1][0].Min.Int64() != 4 || got[1][3].Fact != eth.FactOwner {
		t.Errorf("%v", got)
	}
	vaults := []eth.Address{addr(t, cold), addr(t, cold), {}, addr(t, alice), {3}, {4}, {5}, {6}, {7}}
	got = Questions(rule, Viewer{Wallet: addr(t, alice), Vaults: vaults})
	// For each vault: the delegation, the balance and three tokens; on chain 10 the delegation and the coin.
	if len(got[1]) != 4+MaxVaults*5 || len(got[10]) != 1+MaxVaults*2 {
		t.Errorf("%d and %d questions", len(got[1]), len(got[10]))
	}
	if rule.Parts[0].Holding.Min.Int64() != 1 {
		t.Error("asking has changed the rule")
	}
}

func TestExplanation(t *testing.T) {
	w := newWorld()
	w.know(1, q721(t, alice), 0, "")
	rule := parse(t, `{"any":[{"all":[`+ruleNFT+`,`+january+`]},`+february+`]}`)
	d := Decide(rule, Viewer{Wallet: addr(t, alice)}, w.facts, Policy{ChainName: func(uint64) string { return "Devchain" }}, w.now)
	leaf := d.Tree.Parts[0].Parts[0]
	if leaf.At != "/any/0/all/0/erc721" || leaf.Block != 90 || leaf.Age != 5*time.Second || leaf.Source != "node-a" ||
		leaf.Have.Sign() != 0 || leaf.Wants != "a token of "+nft+" on Devchain" || leaf.Reason != ReasonNotHolder {
		t.Errorf("%+v", leaf)
	}
	if d.Sentence != "The wallet "+alice+" does not hold a token of "+nft+" on Devchain." {
		t.Errorf("sentence %q", d.Sentence)
	}
	if want := time.Date(2030, 2, 1, 0, 0, 0, 0, time.UTC); !d.Until.Equal(want) {
		t.Errorf("until %v", d.Until)
	}
}

func TestGrace(t *testing.T) {
	policy := Policy{Grace: func(uint64) time.Duration { return 10 * time.Minute }}
	viewer := Viewer{Wallet: addr(t, alice)}
	rule := parse(t, `{"all":[`+ruleNFT+`,{"not":`+ruleCoin+`}]}`)
	qCoin := eth.Question{Fact: eth.FactERC20, Contract: addr(t, coin), Holder: addr(t, alice)}
	w := newWorld()
	w.know(1, q721(t, alice), 1, "")
	w.know(1, qCoin, 0, "")
	first := Decide(rule, viewer, w.facts, policy, w.now)
	if !first.Admit || len(first.Memory) != 2 {
		t.Fatalf("%+v", first)
	}
	admitted := viewer
	admitted.Earlier = first.Memory
	read := w.now.Add(-5 * time.Second)
	for name, c := range map[string]struct {
		viewer Viewer
		policy Policy
		after  time.Duration
		change func(*world)
		admit  bool
	}{
		"within":                  {admitted, policy, 10 * time.Minute, func(w *world) {}, true},
		"over":                    {admitted, policy, 10*time.Minute + 1, func(w *world) {}, false},
		"deny":                    {admitted, Policy{}, 0, func(w *world) {}, false},
		"a newcomer":              {viewer, policy, 0, func(w *world) {}, false},
		"the clock went back":     {admitted, policy, -time.Second, func(w *world) {}, false},
		"sold before it was down": {admitted, policy, time.Minute, func(w *world) { w.know(1, q721(t, alice), 0, "") }, false},
		"half is known":           {admitted, policy, time.Minute, func(w *world) { w.know(1, q721(t, alice), 1, "") }, true},
		"the contract is broken":  {admitted, policy, time.Minute, func(w *world) { w.know(1, q721(t, alice), 0, "rubbish") }, false},
		"chain taken out":         {admitted, policy, time.Minute, func(w *world) { w.fail(1, q721(t, alice), eth.ErrChainUnknown) }, false},
	} {
		w := newWorld()
		c.change(w)
		d := Decide(rule, c.viewer, w.facts, c.policy, read.Add(c.after))
		if d.Admit != c.admit {
			t.Errorf("%s: %v %s", name, d.Admit, d.Reason)
		}
		if d.Admit && (!d.Tree.Parts[1].Parts[0].Grace || d.Tree.Parts[1].Parts[0].Age != c.after) {
			t.Errorf("%s: %+v", name, d.Tree.Parts[1].Parts[0])
		}
		// What stands on grace is remembered as of its reading: grace does not renew itself.
		if name == "within" && !reflect.DeepEqual(d.Memory, first.Memory) {
			t.Errorf("memory %v, want %v", d.Memory, first.Memory)
		}
	}
	other := admitted
	other.Wallet = addr(t, bob)
	if d := Decide(parse(t, `{"erc721":{"chain":1,"contract":"NFT","min_balance":2}}`), admitted, Facts{}, policy, w.now); d.Admit {
		t.Error("grace was given for another rule")
	}
}

// chance makes random rules, viewers and facts over a small world, so that
// they meet.
type chance struct {
	*rand.Rand
	t testing.TB
}

func (c chance) leaf() string {
	leaves := []string{
		`{"public":true}`, `{"wallets":["ALICE"]}`, `{"wallets":["BOB","COLD"]}`, january, february, past,
		ruleNFT, ruleIDs, ruleCoin, `{"native":{"chain":10,"min":"2"}}`, `{"erc1155":{"chain":10,"contract":"NFT","id":"1"}}`,
		`{"erc721":{"chain":1,"contract":"NFT","min_balance":2}}`, `{"rule":"gone"}`,
	}
	return leaves[c.IntN(len(leaves))]
}

func (c chance) rule(depth int, mayAsk, mayNegate bool) string {
	switch n := c.IntN(10); {
	case depth == 0 || n < 3:
		if mayAsk && c.IntN(4) == 0 {
			return fmt.Sprintf(`{"ticket_code":{"pool":"p%d"}}`, c.IntN(2))
		}
		return c.leaf()
	case n < 5 && mayNegate:
		return `{"not":` + c.rule(depth-1, false, true) + `}`
	default:
		kind := []string{"all", "any"}[c.IntN(2)]
		var parts []string
		for range 1 + c.IntN(3) {
			parts = append(parts, c.rule(depth-1, mayAsk, mayNegate))
		}
		return `{"` + kind + `":[` + strings.Join(parts, ",") + `]}`
	}
}

func (c chance) viewer() Viewer {
	v := Viewer{Proofs: map[string]Proof{}}
	if c.IntN(5) > 0 {
		v.Wallet = addr(c.t, alice)
	}
	if c.IntN(2) == 0 {
		v.Vaults = []eth.Address{addr(c.t, cold)}
	}
	for _, key := range []string{"ticket_code:p0", "ticket_code:p1"} {
		if c.IntN(2) == 0 {
			v.Proofs[key] = []Proof{ProofGood, ProofWrong, ProofUsed}[c.IntN(3)]
		}
	}
	return v
}

func (c chance) facts(needs map[uint64][]Need, w *world) {
	for chain, list := range needs {
		for _, need := range list {
			switch c.IntN(8) {
			case 0: // missing
			case 1:
				w.fail(chain, need.Question, []error{eth.ErrChainUnreachable, eth.ErrChainUnknown}[c.IntN(2)])
			case 2:
				w.know(chain, need.Question, 0, []string{"reverted", "no contract"}[c.IntN(2)])
			default:
				w.know(chain, need.Question, int64(c.IntN(8)), "")
			}
		}
	}
}

// truth evaluates the rule anew from the leaves' results alone.
func truth(x *Explanation) Result {
	switch x.Kind {
	case KindAll, KindAny:
		seen := map[Result]bool{}
		for i := range x.Parts {
			seen[truth(&x.Parts[i])] = true
		}
		order := []Result{Fail, Unknown, Pass}
		if x.Kind == KindAny {
			order = []Result{Pass, Unknown, Fail}
		}
		for _, r := range order {
			if seen[r] {
				return r
			}
		}
	case KindNot:
		return map[Result]Result{Pass: Fail, Fail: Pass, Unknown: Unknown}[truth(&x.Parts[0])]
	}
	return x.Result
}

// check compares a node with the rule and with its parts.
func check(t *testing.T, x *Explanation, r *Rule) {
	if x.Kind != r.Kind || r.Kind != KindRule && len(x.Parts) != len(r.Parts) || truth(x) != x.Result {
		t.Fatalf("%s: %s with %d parts; leaves say %s", x.At, x.Result, len(x.Parts), truth(x))
	}
	if (x.Result == Pass) != (x.Reason == "") || (x.Result == Pass) != (x.Sentence == "") {
		t.Fatalf("%s: %s, reason %q, sentence %q", x.At, x.Result, x.Reason, x.Sentence)
	}
	if x.Reason != "" && !slices.Contains(Reasons(), x.Reason) {
		t.Fatalf("%s: reason %q", x.At, x.Reason)
	}
	for i := range x.Parts {
		check(t, &x.Parts[i], &r.Parts[i])
	}
}

// Over random rules and facts: the explanation agrees with the decision, what
// is unknown never admits, knowing less never admits, and having more never
// shuts out where nothing is negated.
func TestDecideProperties(t *testing.T) {
	admitted, denied, grown := 0, 0, 0
	for seed := range uint64(2500) {
		c := chance{rand.New(rand.NewPCG(seed, 1)), t}
		negate := seed%2 == 0
		text := c.rule(4, true, negate)
		rule := parse(t, text)
		viewer := c.viewer()
		w := newWorld()
		needs := Questions(rule, viewer)
		c.facts(needs, w)
		d := Decide(rule, viewer, w.facts, Policy{}, w.now)
		check(t, &d.Tree, rule)
		if d.Admit != (d.Tree.Result == Pass) || d.Reason != d.Tree.Reason {
			t.Fatalf("seed %d: %s: decision %+v", seed, text, d)
		}
		if again := Decide(rule, viewer, w.facts, Policy{}, w.now); !reflect.DeepEqual(d, again) {
			t.Fatalf("seed %d: %s: another decision from the same input", seed, text)
		}
		if d.Admit {
			admitted++
		} else {
			denied++
		}
		// Forget things one by one: no denial may turn into an admission.
		less, last := viewer, d
		forget := func(what string) {
			now := Decide(rule, less, w.facts, Policy{}, w.now)
			if now.Admit && !last.Admit {
				t.Fatalf("seed %d: %s: without %s the viewer is admitted", seed, text, what)
			}
			last = now
		}
		for key := range w.facts {
			delete(w.facts, key)
			forget(fmt.Sprintf("%s of %s", key.Fact, key.Holder))
		}
		less.Proofs = nil
		forget("proofs")
		less.Wallet = eth.Address{}
		forget("a wallet")
		if negate {
			continue
		}
		// Know all, and let amounts grow: no admission may turn into a denial.
		last = Decision{}
		for _, amount := range []int64{0, 1, 3, 9} {
			for chain, list := range needs {
				for _, need := range list {
					w.know(chain, need.Question, amount, "")
				}
			}
			now := Decide(rule, viewer, w.facts, Policy{}, w.now)
			if last.Admit && !now.Admit {
				t.Fatalf("seed %d: %s: with %d of all the viewer is shut out", seed, text, amount)
			}
			if now.Admit && !last.Admit {
				grown++
			}
			last = now
		}
	}
	if admitted < 200 || denied < 200 || grown < 200 {
		t.Errorf("too tame: %d admitted, %d denied, %d grown into", admitted, denied, grown)
	}
}

func TestCoins(t *testing.T) {
	for wei, want := range map[string]string{
		"1": "1 wei", "999999999999": "999999999999 wei", "1000000000000": "0.000001 coins",
		"1000000000000000000": "1 coin", "1500000000000000000": "1.5 coins", "32000000000000000000": "32 coins",
		"1000000000000000001": "1000000000000000001 wei",
	} {
		n, _ := new(big.Int).SetString(wei, 10)
		if got := coins(n); got != want {
			t.Errorf("%s is %q, want %q", wei, got, want)
		}
	}
}

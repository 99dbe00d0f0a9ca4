package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	nft   = ethtest.NFT
	coin  = ethtest.Coin
	alice = ethtest.Alice
	bob   = ethtest.Bob
	cold  = ethtest.Cold
	zero  = ethtest.Zero
)

func addr(t testing.TB, text string) eth.Address { t.Helper(); return ethtest.Addr(t, text) }

func parse(t testing.TB, text string) *Rule {
	t.Helper()
	r, err := Parse([]byte(ethtest.Fill(text)))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// maxUint256 is 2^256-1.
const maxUint256 = "115792089237316195423570985008687907853269984665640564039457584007913129639935"

// goodRules are accepted, and come out in their canonical form.
var goodRules = []struct{ in, out string }{
	{`{"public":true}`, ``},
	{` { "public" : true } `, `{"public":true}`},
	{`{"rule":"Holders_1-a"}`, ``},
	{`{"not":{"public":true}}`, ``},
	{`{"all":[{"public":true},{"any":[{"rule":"x"}]}]}`, ``},
	{`{"erc721":{"chain":1,"contract":"NFT"}}`, `{"erc721":{"chain":1,"contract":"NFT","min_balance":1}}`},
	{`{"erc721":{"contract":"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed","chain":1,"min_balance":3}}`, `{"erc721":{"chain":1,"contract":"NFT","min_balance":3}}`},
	{`{"erc721":{"chain":1,"contract":"NFT","token_ids":["0","7"],"min_balance":2}}`, ``},
	{`{"erc721":{"chain":9007199254740991,"contract":"NFT","token_ids":["` + maxUint256 + `"],"min_balance":1}}`, ``},
	{`{"erc1155":{"chain":10,"contract":"NFT","id":"0"}}`, `{"erc1155":{"chain":10,"contract":"NFT","id":"0","min":"1"}}`},
	{`{"erc1155":{"chain":10,"contract":"NFT","id":"12","min":"5"}}`, ``},
	{`{"erc20":{"chain":1,"contract":"COIN","min":"1000000000000000000000"}}`, ``},
	{`{"native":{"chain":1,"min":"1"}}`, ``},
	{`{"wallets":["ALICE","BOB"]}`, ``},
	{`{"password":"open sesame"}`, `{"password":{}}`},
	{`{"password":{}}`, ``},
	{`{"ticket_code":{"pool":"premiere"}}`, `{"ticket_code":{"pool":"premiere","uses":1}}`},
	{`{"ticket_code":{"pool":"premiere","uses":1000000}}`, ``},
	{`{"time_window":{"from":"2030-01-31T20:00:00+02:00"}}`, `{"time_window":{"from":"2030-01-31T18:00:00Z"}}`},
	{`{"time_window":{"from":"2030-01-01T00:00:00Z","until":"2030-01-02T00:00:00.5Z"}}`, ``},
	{`{"not":{"not":{"wallets":["ALICE"]}}}`, ``},
}

// badRules are refused with this message, by the schema too unless it cannot
// see the reason.
var badRules = []struct {
	in, message string
	beyond      bool // what a schema cannot say
}{
	{``, "the rule: it is not JSON", true},
	{`{"public":true`, "the rule: it is not JSON", true},
	{`{"public":true}x`, "the rule: it is not JSON", true},
	{`{"public":true}{}`, "the rule: it is not JSON", true},
	{"{\"rule\":\"\xff\"}", "the rule: it is not UTF-8", true},
	{`{"public":true,"public":true}`, "/public: it is given twice; remove one", true},
	{`null`, "the rule: it must be an object with exactly one key", false},
	{`[]`, "the rule: it must be an object with exactly one key", false},
	{`{}`, "the rule: it must be an object with exactly one key", false},
	{`{"public":true,"rule":"a"}`, "the rule: it must be an object with exactly one key", false},
	{`{"Public":true}`, "/Public: there is no such rule", false},
	{`{"a/b~c":1}`, "/a~1b~0c: there is no such rule", false},
	{`{"public":false}`, "/public: it must be true", false},
	{`{"public":{}}`, "/public: it must be true", false},
	{`{"all":[]}`, "/all: it must be a list", false},
	{`{"any":{"public":true}}`, "/any: it must be a list", false},
	{`{"any":[{"public":true},7]}`, "/any/1: it must be an object", false},
	{`{"not":[{"public":true}]}`, "/not: it must be an object", false},
	{`{"rule":""}`, "/rule: it must be a name", false},
	{`{"rule":"a b"}`, "/rule: it must be a name", false},
	{`{"rule":7}`, "/rule: it must be a name", false},
	{`{"erc721":[]}`, "/erc721: it must be an object", false},
	{`{"erc721":{"contract":"NFT"}}`, "/erc721/chain: it must be given as an integer", false},
	{`{"erc721":{"chain":"1","contract":"NFT"}}`, "/erc721/chain: it must be given as an integer", false},
	{`{"erc721":{"chain":0,"contract":"NFT"}}`, "/erc721/chain: it must be given as an integer", false},
	{`{"erc721":{"chain":-1,"contract":"NFT"}}`, "/erc721/chain: it must be given as an integer", false},
	{`{"erc721":{"chain":1.5,"contract":"NFT"}}`, "/erc721/chain: it must be given as an integer", false},
	{`{"erc721":{"chain":9007199254740992,"contract":"NFT"}}`, "/erc721/chain: it must be given as an integer", false},
	{`{"erc721":{"chain":1}}`, "/erc721/contract: it must be an address", false},
	{`{"erc721":{"chain":1,"contract":"0x12"}}`, "/erc721/contract: invalid address: it must be 0x and 40 hex digits", false},
	{`{"all":[{"public":true},{"erc721":{"chain":1,"contract":"0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}}]}`, "/all/1/erc721/contract: invalid address: its upper", true},
	{`{"erc721":{"chain":1,"contract":"ZERO"}}`, "/erc721/contract: the zero address", true},
	{`{"erc721":{"chain":1,"contract":"NFT","tokens":["1"]}}`, "/erc721/tokens: there is no such field", false},
	{`{"erc721":{"chain":1,"contract":"NFT","token_ids":[]}}`, "/erc721/token_ids: it must be a list", false},
	{`{"erc721":{"chain":1,"contract":"NFT","token_ids":[7]}}`, "/erc721/token_ids/0: it must be a decimal string", false},
	{`{"erc721":{"chain":1,"contract":"NFT","token_ids":["07"]}}`, "/erc721/token_ids/0: it must be a decimal string", false},
	{`{"erc721":{"chain":1,"contract":"NFT","token_ids":["1","1"]}}`, "/erc721/token_ids/1: this token is listed twice; remove one", false},
	{`{"erc721":{"chain":1,"contract":"NFT","token_ids":["115792089237316195423570985008687907853269984665640564039457584007913129639936"]}}`, "/erc721/token_ids/0: it must be", true},
	{`{"erc721":{"chain":1,"contract":"NFT","token_ids":["1"],"min_balance":2}}`, "/erc721/min_balance: it asks for more", true},
	{`{"erc721":{"chain":1,"contract":"NFT","min_balance":0}}`, "/erc721/min_balance: it must be given as an integer", false},
	{`{"erc721":{"chain":1,"contract":"NFT","min_balance":null}}`, "/erc721/min_balance: it must be given as an integer", false},
	{`{"erc1155":{"chain":1,"contract":"NFT"}}`, "/erc1155/id: it must be given as a decimal string", false},
	{`{"erc1155":{"chain":1,"contract":"NFT","id":"1","min":"0"}}`, "/erc1155/min: it must be given as a decimal string", false},
	{`{"erc20":{"chain":1,"contract":"COIN"}}`, "/erc20/min: it must be given", false},
	{`{"erc20":{"chain":1,"contract":"COIN","min":"0"}}`, "/erc20/min: it must be given", false},
	{`{"erc20":{"chain":1,"contract":"COIN","min":"1e18"}}`, "/erc20/min: it must be given", false},
	{`{"erc20":{"chain":1,"contract":"COIN","min":"-1"}}`, "/erc20/min: it must be given", false},
	{`{"native":{"chain":1,"contract":"COIN","min":"1"}}`, "/native/contract: there is no such field", false},
	{`{"wallets":[]}`, "/wallets: it must be a list of 1", false},
	{`{"wallets":"ALICE"}`, "/wallets: it must be a list of 1", false},
	{`{"wallets":["ALICE","BOB","ALICE"]}`, "/wallets/2: this wallet is listed twice; remove one", false},
	{`{"wallets":["ALICE",7]}`, "/wallets/1: it must be an address", false},
	{`{"wallets":["ZERO"]}`, "/wallets/0: the zero address", true},
	{`{"password":""}`, "/password: a password has 4 to 128 bytes", false},
	{`{"password":"abc"}`, "/password: a password has 4 to 128 bytes", true},
	{`{"password":{"hash":"x"}}`, "/password: it must be the password", false},
	{`{"password":7}`, "/password: it must be the password", false},
	{`{"not":{"password":"abcd"}}`, "/not/password: it cannot stand under not", true},
	{`{"not":{"all":[{"public":true},{"not":{"ticket_code":{"pool":"x"}}}]}}`, "/not/all/1/not/ticket_code: it cannot stand under not", true},
	{`{"ticket_code":{}}`, "/ticket_code/pool: it must be a name", false},
	{`{"ticket_code":{"pool":"x","uses":0}}`, "/ticket_code/uses: it must be given", false},
	{`{"ticket_code":{"pool":"x","code":"y"}}`, "/ticket_code/code: there is no such field", false},
	{`{"time_window":{}}`, "/time_window: it needs from, until or both", false},
	{`{"time_window":{"from":"tomorrow"}}`, "/time_window/from: it must be a time", false},
	{`{"time_window":{"from":"2030-02-30T00:00:00Z"}}`, "/time_window/from: it must be a time", true},
	{`{"time_window":{"from":"2030-01-01T00:00:00Z","until":"2030-01-01T00:00:00Z"}}`, "/time_window/until: it must be after from", true},
}

func TestRules(t *testing.T) {
	for _, c := range goodRules {
		in, want := ethtest.Fill(c.in), ethtest.Fill(c.out)
		if want == "" {
			want = in
		}
		r, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		out, err := json.Marshal(r)
		if err != nil || string(out) != want {
			t.Errorf("%s is shown as\n%s, %v; want\n%s", in, out, err, want)
		}
		again, err := Parse(out)
		if err != nil {
			t.Errorf("%s does not come back: %v", out, err)
			continue
		}
		if twice, _ := json.Marshal(again); string(twice) != string(out) {
			t.Errorf("%s comes back as %s", out, twice)
		}
	}
}

func TestRulesRefused(t *testing.T) {
	for _, c := range badRules {
		_, err := Parse([]byte(ethtest.Fill(c.in)))
		var rule *Error
		if !errors.As(err, &rule) || !strings.HasPrefix(err.Error(), c.message) {
			t.Errorf("%s: %v; want %s", c.in, err, c.message)
		}
	}
}

// Every example is judged alike by the parser and by the published schema.
func TestRuleSchema(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("rule.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("rule.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(ethtest.Fill(text)))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
	for _, c := range goodRules {
		if err := validate(c.in); err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
	}
	for _, c := range badRules {
		if c.beyond {
			continue
		}
		if err := validate(c.in); err == nil {
			t.Errorf("the schema accepts %s", c.in)
		}
	}
}

func TestRuleLimits(t *testing.T) {
	nested := func(n int) string {
		return strings.Repeat(`{"not":`, n-1) + `{"public":true}` + strings.Repeat(`}`, n-1)
	}
	wide := func(n int, leaf string) string {
		return `{"any":[` + strings.TrimSuffix(strings.Repeat(leaf+",", n), ",") + `]}`
	}
	ids := func(from, n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%q", fmt.Sprint(from+i)))
		}
		return `{"erc721":{"chain":1,"contract":"NFT","token_ids":[` + strings.Join(list, ",") + `]}}`
	}
	wallets := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"0x%040x"`, i+1))
		}
		return `{"wallets":[` + strings.Join(list, ",") + `]}`
	}
	for name, c := range map[string]struct{ good, bad string }{
		"depth":     {nested(MaxDepth), nested(MaxDepth + 1)},
		"very deep": {nested(2), nested(5000)},
		"nodes":     {wide(MaxNodes-1, `{"public":true}`), wide(MaxNodes, `{"public":true}`)},
		"ids":       {ids(0, MaxTokenIDs), ids(0, MaxTokenIDs+1)},
		"all ids":   {`{"any":[` + ids(0, 200) + `,` + ids(200, 56) + `]}`, `{"any":[` + ids(0, 200) + `,` + ids(200, 57) + `]}`},
		"wallets":   {wallets(MaxWallets), wallets(MaxWallets + 1)},
		"passwords": {wide(MaxPasswords, `{"password":"abcd"}`), wide(MaxPasswords+1, `{"password":"abcd"}`)},
		"password":  {`{"password":"` + strings.Repeat("x", 128) + `"}`, `{"password":"` + strings.Repeat("x", 129) + `"}`},
		"bytes":     {`{"public":true}` + strings.Repeat(" ", MaxBytes-15), `{"public":true}` + strings.Repeat(" ", MaxBytes-14)},
	} {
		if _, err := Parse([]byte(ethtest.Fill(c.good))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := Parse([]byte(ethtest.Fill(c.bad)))
		var rule *Error
		if !errors.As(err, &rule) || len(err.Error()) > 500 {
			t.Errorf("%s: over the limit: %.500v", name, err)
		}
	}
}

func TestRuleReferences(t *testing.T) {
	named := map[string]string{
		"holders": `{"erc721":{"chain":1,"contract":"NFT"}}`,
		"both":    `{"all":[{"rule":"holders"},{"rule":"holders"}]}`,
		"me":      `{"any":[{"rule":"me"}]}`,
		"ping":    `{"rule":"pong"}`, "pong": `{"rule":"ping"}`,
		"secret": `{"password":"abcd"}`,
	}
	for i := range 12 {
		named[fmt.Sprintf("x%d", i)] = fmt.Sprintf(`{"all":[{"rule":"x%d"},{"rule":"x%d"}]}`, i+1, i+1)
	}
	boom := errors.New("boom")
	lookup := func(name string) (*Rule, error) {
		if name == "boom" {
			return nil, boom
		}
		text, ok := named[name]
		if !ok {
			return nil, fmt.Errorf("rule %s: %w", name, ErrNoRule)
		}
		return parse(t, text), nil
	}
	r, err := parse(t, `{"any":[{"rule":"both"},{"rule":"gone"},{"public":true}]}`).Expand(lookup)
	if err != nil {
		t.Fatal(err)
	}
	inner := r.Parts[0].Parts[0].Parts[1].Parts[0]
	if inner.Kind != KindERC721 || len(r.Parts[1].Parts) != 0 {
		t.Errorf("expanded to %+v", r)
	}
	if got := r.Contracts(); !reflect.DeepEqual(got, map[uint64][]eth.Address{1: {addr(t, nft)}}) {
		t.Errorf("contracts %v", got)
	}
	if text, _ := json.Marshal(r); string(text) != `{"any":[{"rule":"both"},{"rule":"gone"},{"public":true}]}` {
		t.Errorf("shown as %s", text)
	}
	for text, message := range map[string]string{
		`{"rule":"me"}`:             "/rule/any/0/rule: rule me refers to itself",
		`{"rule":"ping"}`:           "/rule/rule/rule: rule ping refers to itself",
		`{"rule":"x0"}`:             "", // doubles at each level
		`{"not":{"rule":"secret"}}`: "/not/rule/password: it cannot stand under not",
	} {
		_, err := parse(t, text).Expand(lookup)
		var rule *Error
		if !errors.As(err, &rule) || !strings.HasPrefix(err.Error(), message) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := parse(t, `{"rule":"boom"}`).Expand(lookup); !errors.Is(err, boom) {
		t.Errorf("a failed look-up: %v", err)
	}
}

// Whatever is accepted is written in one form, which is read back as itself
// and has no secret in it.
func FuzzParseRule(f *testing.F) {
	for _, c := range goodRules {
		f.Add([]byte(ethtest.Fill(c.in)))
	}
	for _, c := range badRules {
		f.Add([]byte(ethtest.Fill(c.in)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			var rule *Error
			if !errors.As(err, &rule) {
				t.Fatalf("%q: an error without a place: %v", data, err)
			}
			return
		}
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%s came out as %s: %v", data, out, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(out) {
			t.Fatalf("%s came back as %s", out, twice)
		}
	})
}

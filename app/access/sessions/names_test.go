package sessions

import (
	"testing"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/access/rules"
	"streamgate/app/rpc"
)

// Addresses for tests.
const (
	nft   = ethtest.NFT
	alice = ethtest.Alice
	bob   = ethtest.Bob
	cold  = ethtest.Cold
)

func addr(t testing.TB, text string) eth.Address { t.Helper(); return ethtest.Addr(t, text) }

func parse(t testing.TB, text string) *rules.Rule {
	t.Helper()
	r, err := rules.Parse([]byte(ethtest.Fill(text)))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// holds asks how many tokens a wallet has.
func holds(t testing.TB, holder string) eth.Question {
	t.Helper()
	return eth.Question{Fact: eth.FactERC721, Contract: addr(t, nft), Holder: addr(t, holder)}
}

func wantReason(t testing.TB, err error, want string) {
	t.Helper()
	if reason, _ := rpc.Reason(err); reason != want {
		t.Errorf("error %v, want reason %q", err, want)
	}
}

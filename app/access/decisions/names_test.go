package decisions

import (
	"testing"

	"streamgate/app/access/eth"
	"streamgate/app/access/eth/ethtest"
	"streamgate/app/access/rules"
)

// Addresses for tests.
const (
	nft   = ethtest.NFT
	coin  = ethtest.Coin
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

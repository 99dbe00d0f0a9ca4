package devnet_test

import (
	"testing"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"

	"streamgate/cmd/devchain/devnet"
)

// call asks the chain over HTTP, as a page does.
func call[T any](t *testing.T, n *devnet.Net, method string, args ...any) (T, error) {
	t.Helper()
	c, err := rpc.DialContext(t.Context(), n.URL)
	must(t, err)
	defer c.Close()
	var answer T
	return answer, c.CallContext(t.Context(), &answer, method, args...)
}

func TestDemoToken(t *testing.T) {
	n := start(t, devnet.Options{})
	if _, err := call[devnet.Token](t, n, "dev_demoToken"); err == nil {
		t.Fatal("a token that nobody minted has an owner")
	}
	must(t, n.MintDemo(t.Context()))
	token, err := call[devnet.Token](t, n, "dev_demoToken")
	must(t, err)
	if token.Contract != n.NFT || token.ID.ToInt().Int64() != 1 || token.Owner != n.Holder.Address || token.Name != "holder" {
		t.Fatalf("the demo token is %+v", token)
	}
	for _, to := range []string{"stranger", "stranger", "holder"} { // again is no mistake
		token, err := call[devnet.Token](t, n, "dev_handOver", to)
		must(t, err)
		if token.Name != to || owner(t, n.Client, token.ID.ToInt()) != token.Owner {
			t.Fatalf("handed to %s, it is %+v", to, token)
		}
	}
	if _, err := call[devnet.Token](t, n, "dev_handOver", "nobody"); err == nil {
		t.Error("the token was handed to nobody")
	}
	must(t, n.Transfer721(t.Context(), n.Holder, common.Address{7}, token.ID.ToInt()))
	if token, err = call[devnet.Token](t, n, "dev_demoToken"); err != nil || token.Name != "" {
		t.Errorf("of an unknown owner: %+v, %v", token, err)
	}
	if _, err := call[devnet.Token](t, n, "dev_handOver", "holder"); err == nil {
		t.Error("a token was taken from a wallet without its key")
	}
}

// TestDemoWallet: what the chain signs for a page is of the account that the
// page was told.
func TestDemoWallet(t *testing.T) {
	n := start(t, devnet.Options{})
	known, err := call[[]struct {
		Name    string
		Address common.Address
	}](t, n, "dev_accounts")
	must(t, err)
	if len(known) != len(n.All()) {
		t.Fatalf("the page is told of %d accounts", len(known))
	}
	message := []byte("127.0.0.1:8080 wants you to sign in\nwith ünusual letters")
	for _, who := range known {
		signature, err := call[hexutil.Bytes](t, n, "dev_personalSign", who.Name, hexutil.Bytes(message))
		must(t, err)
		if len(signature) != 65 || signature[64] != 27 && signature[64] != 28 {
			t.Fatalf("the signature is %v", signature)
		}
		signature[64] -= 27
		key, err := crypto.SigToPub(accounts.TextHash(message), signature)
		must(t, err)
		if got := crypto.PubkeyToAddress(*key); got != who.Address {
			t.Errorf("%s signs as %s, not as %s", who.Name, got, who.Address)
		}
	}
	if _, err := call[hexutil.Bytes](t, n, "dev_personalSign", "nobody", hexutil.Bytes(message)); err == nil {
		t.Error("nobody signed")
	}
}

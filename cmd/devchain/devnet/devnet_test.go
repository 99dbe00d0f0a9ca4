package devnet_test

import (
	"context"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"streamgate/cmd/devchain/devnet"
)

func start(t *testing.T, opts devnet.Options) *devnet.Net {
	t.Helper()
	n, err := devnet.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// must fails the test if a step of its story fails.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func owner(t *testing.T, c *devnet.Client, id *big.Int) any {
	t.Helper()
	answer, err := c.Ask(t.Context(), "NFT", c.NFT, "ownerOf", id)
	if err != nil {
		return "nobody"
	}
	return answer[0]
}

func TestStory(t *testing.T) {
	ctx := t.Context()
	n := start(t, devnet.Options{})
	if !strings.HasPrefix(n.URL, "http://127.0.0.1:") {
		t.Fatalf("serves at %s", n.URL)
	}
	c, err := devnet.Dial(ctx, n.URL)
	must(t, err)
	if c.ChainID != devnet.DefaultChainID || c.Contracts != n.Contracts {
		t.Fatalf("dialled chain %d with %v", c.ChainID, c.Contracts)
	}

	id, err := c.Mint721(ctx, c.Holder.Address)
	must(t, err)
	if got := owner(t, c, id); got != c.Holder.Address {
		t.Fatalf("owner after the mint: %v", got)
	}
	must(t, c.Transfer721(ctx, c.Holder, c.Buyer.Address, id))
	if got := owner(t, c, id); got != c.Buyer.Address {
		t.Fatalf("owner after the transfer: %v", got)
	}
	if err := c.Transfer721(ctx, c.Holder, c.Stranger.Address, id); err == nil {
		t.Fatal("who sold a token sold it again")
	}
	before, err := c.Head(ctx)
	must(t, err)
	must(t, c.Reorg(ctx, 2)) // the transfer, and the failed one
	if got := owner(t, c, id); got != c.Holder.Address {
		t.Fatalf("owner after the reorg: %v", got)
	}
	if after, _ := c.Head(ctx); after != before+1 {
		t.Fatalf("head %d became %d", before, after)
	}
	must(t, c.Transfer721(ctx, c.Holder, c.Buyer.Address, id)) // the nonce is free again
	must(t, c.Rollback(ctx, 1))
	if got := owner(t, c, id); got != c.Holder.Address {
		t.Fatalf("owner after the rollback: %v", got)
	}
	must(t, c.Burn721(ctx, id))
	if got := owner(t, c, id); got != "nobody" {
		t.Fatalf("owner after the burn: %v", got)
	}
}

func TestOtherTokens(t *testing.T) {
	ctx := t.Context()
	n := start(t, devnet.Options{ChainID: 31337})
	one, five := big.NewInt(1), big.NewInt(5)
	must(t, n.Mint1155(ctx, n.Holder.Address, one, five))
	must(t, n.Transfer1155(ctx, n.Holder, n.Buyer.Address, one, big.NewInt(2)))
	must(t, n.MintBatch1155(ctx, n.Holder.Address, []*big.Int{one, five}, []*big.Int{one, one}))
	must(t, n.TransferBatch1155(ctx, n.Holder, n.Buyer.Address, []*big.Int{one, five}, []*big.Int{one, one}))
	must(t, n.Mint20(ctx, n.Holder.Address, five))
	must(t, n.Transfer20(ctx, n.Holder, n.Buyer.Address, one))
	must(t, n.Pay(ctx, n.Holder, common.Address{9}, five))
	must(t, n.DelegateAll(ctx, n.Vault, n.Hot.Address, true))
	must(t, n.DelegateContract(ctx, n.Vault, n.Buyer.Address, n.NFT, true))
	must(t, n.DelegateERC721(ctx, n.Vault, n.Stranger.Address, n.NFT, one, true))

	full := [32]byte{}
	vault, elsewhere := n.Vault.Address, common.Address{1}
	for _, c := range []struct {
		contract string
		at       common.Address
		method   string
		args     []any
		want     any
	}{
		{"Edition", n.Edition, "balanceOf", []any{n.Holder.Address, one}, int64(3)},
		{"Edition", n.Edition, "balanceOf", []any{n.Buyer.Address, one}, int64(3)},
		{"Edition", n.Edition, "balanceOf", []any{n.Buyer.Address, five}, int64(1)},
		{"Coin", n.Coin, "balanceOf", []any{n.Holder.Address}, int64(4)},
		{"Coin", n.Coin, "balanceOf", []any{n.Buyer.Address}, int64(1)},
		{"Multicall", n.Multicall, "getEthBalance", []any{common.Address{9}}, int64(5)},
		{"DelegateRegistry", n.Registry, "checkDelegateForAll", []any{n.Hot.Address, vault, full}, true},
		{"DelegateRegistry", n.Registry, "checkDelegateForContract", []any{n.Hot.Address, vault, elsewhere, full}, true},
		{"DelegateRegistry", n.Registry, "checkDelegateForAll", []any{n.Buyer.Address, vault, full}, false},
		{"DelegateRegistry", n.Registry, "checkDelegateForContract", []any{n.Buyer.Address, vault, n.NFT, full}, true},
		{"DelegateRegistry", n.Registry, "checkDelegateForContract", []any{n.Buyer.Address, vault, elsewhere, full}, false},
		{"DelegateRegistry", n.Registry, "checkDelegateForERC721", []any{n.Stranger.Address, vault, n.NFT, one, full}, true},
		{"DelegateRegistry", n.Registry, "checkDelegateForERC721", []any{n.Stranger.Address, vault, n.NFT, five, full}, false},
	} {
		answer, err := n.Ask(ctx, c.contract, c.at, c.method, c.args...)
		must(t, err)
		got := answer[0]
		if amount, ok := got.(*big.Int); ok {
			got = amount.Int64()
		}
		if got != c.want {
			t.Errorf("%s.%s(%v) = %v, want %v", c.contract, c.method, c.args, got, c.want)
		}
	}
}

func TestWallet(t *testing.T) {
	ctx := t.Context()
	n := start(t, devnet.Options{})
	foreseen, err := n.WalletAddress(n.Holder.Address, [32]byte{7})
	must(t, err)
	wallet, err := n.DeployWallet(ctx, n.Holder.Address, [32]byte{7})
	must(t, err)
	told, err := n.Ask(ctx, "WalletFactory", n.Factory, "addressOf", n.Holder.Address, [32]byte{7})
	must(t, err)
	if wallet != foreseen || told[0] != foreseen {
		t.Fatalf("wallet %v, foreseen %v, told %v", wallet, foreseen, told[0])
	}
	hash := [32]byte{1, 2, 3}
	signature, err := n.Holder.Sign(hash)
	must(t, err)
	answer, err := n.Ask(ctx, "Wallet", wallet, "isValidSignature", hash, signature)
	must(t, err)
	if answer[0] != [4]byte{0x16, 0x26, 0xba, 0x7e} {
		t.Fatalf("the wallet says %x", answer[0])
	}
	answer, err = n.Ask(ctx, "Wallet", wallet, "isValidSignature", [32]byte{9}, signature)
	must(t, err)
	if answer[0] != [4]byte{0xff, 0xff, 0xff, 0xff} {
		t.Fatalf("of another message the wallet says %x", answer[0])
	}
}

func TestBlocks(t *testing.T) {
	ctx := t.Context()
	n := start(t, devnet.Options{BlockTime: 20 * time.Millisecond})
	_, err := n.Mint721(ctx, n.Holder.Address)
	must(t, err)
	must(t, n.Mine(ctx, 3))
	header, err := n.Eth().HeaderByNumber(ctx, nil)
	must(t, err)
	later := time.Unix(int64(header.Time), 0).Add(time.Hour)
	must(t, n.SetTime(ctx, later))
	if header, err = n.Eth().HeaderByNumber(ctx, nil); err != nil || int64(header.Time) < later.Unix() {
		t.Fatalf("the last block is at %d, want %d (%v)", header.Time, later.Unix(), err)
	}
	for name, err := range map[string]error{
		"a reorg below the first block": n.Reorg(ctx, 5000),
		"a time in the past":            n.SetTime(ctx, time.Unix(1, 0)),
		"a million blocks":              n.Mine(ctx, 1_000_000),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestBatch(t *testing.T) {
	n := start(t, devnet.Options{})
	body := `[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","id":2,"method":"net_version"}]`
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, n.URL, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", "http://127.0.0.1:8080")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	got := new(strings.Builder)
	if err := res.Write(got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0x539", `"1337"`, "Access-Control-Allow-Origin"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

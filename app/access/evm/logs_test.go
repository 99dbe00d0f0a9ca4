package evm_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
)

func TestTransfers(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	id := made(n.Mint721(ctx, n.Holder.Address))(t)
	must(t, n.Mine(ctx, 10))
	must(t, n.Transfer721(ctx, n.Holder, n.Buyer.Address, id))
	must(t, n.Burn721(ctx, id))
	five := big.NewInt(5)
	must(t, n.Mint1155(ctx, n.Holder.Address, five, five))
	must(t, n.MintBatch1155(ctx, n.Holder.Address, []*big.Int{five}, []*big.Int{five}))
	must(t, n.Mine(ctx, 7))
	must(t, n.Transfer1155(ctx, n.Holder, n.Buyer.Address, five, five))
	must(t, n.TransferBatch1155(ctx, n.Holder, n.Buyer.Address, []*big.Int{five}, []*big.Int{five}))
	must(t, n.Mint20(ctx, n.Holder.Address, five))
	must(t, n.DelegateAll(ctx, n.Vault, n.Hot.Address, true))
	must(t, n.DelegateContract(ctx, n.Vault, n.Hot.Address, n.NFT, true))
	must(t, n.DelegateERC721(ctx, n.Vault, n.Hot.Address, n.NFT, five, false))
	must(t, n.Transfer20(ctx, n.Holder, n.Buyer.Address, five)) // a contract that nobody asks for

	zero, holder, buyer, vault, hot := common.Address{}, n.Holder.Address, n.Buyer.Address, n.Vault.Address, n.Hot.Address
	want := []struct{ contract, from, to common.Address }{
		{n.NFT, zero, holder}, {n.NFT, holder, buyer}, {n.NFT, buyer, zero},
		{n.Edition, zero, holder}, {n.Edition, zero, holder}, {n.Edition, holder, buyer}, {n.Edition, holder, buyer},
		{n.Registry, vault, hot}, {n.Registry, vault, hot}, {n.Registry, vault, hot},
	}
	contracts := []eth.Address{at(n.NFT), at(n.Edition), at(n.NFT)}
	narrow := configOf(n, n.URL)
	narrow.MaxLogRange = 3
	for name, cfg := range map[string]evm.ChainConfig{
		"at once": configOf(n, n.URL), "three blocks at a time": narrow, "halved": configOf(n, newProxy(t, n, fewLogs).URL),
	} {
		t.Run(name, func(t *testing.T) {
			chains := newChains(t, cfg)
			head := made(chains.Head(ctx, n.ChainID))(t)
			got := made(chains.Transfers(ctx, n.ChainID, 0, head, contracts))(t)
			if len(got) != len(want) {
				t.Fatalf("%d transfers, want %d: %v", len(got), len(want), got)
			}
			last := uint64(0)
			for i, w := range want {
				g := got[i]
				if g.Contract != at(w.contract) || g.From != at(w.from) || g.To != at(w.to) || g.Block < last {
					t.Errorf("transfer %d: %+v, want %+v", i, g, w)
				}
				last = g.Block
			}
			some := made(chains.Transfers(ctx, n.ChainID, got[1].Block, made(chains.Ancestors(ctx, n.ChainID, head, got[1].Block))(t)[0], contracts))(t)
			if len(some) != 1 || some[0] != got[1] {
				t.Errorf("one block: %v", some)
			}
			// A rule about coins alone names no contract, and may be met for a vault.
			for _, d := range made(chains.Transfers(ctx, n.ChainID, 0, head, nil))(t) {
				if d.Contract != at(n.Registry) {
					t.Errorf("of no contract: %+v", d)
				}
			}
			if d := made(chains.Transfers(ctx, n.ChainID, 0, head, nil))(t); len(d) != 3 {
				t.Errorf("%d delegations: %v", len(d), d)
			}
			for name, change := range map[string]func(*eth.Block){
				"a block that is not there": func(b *eth.Block) { b.Number++ },
				"a block of another branch": func(b *eth.Block) { b.Hash[0]++ },
			} {
				other := head
				change(&other)
				if _, err := chains.Transfers(ctx, n.ChainID, 0, other, contracts); !errors.Is(err, eth.ErrChainUnreachable) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestNoLogs: an endpoint that answers, but lists no logs, is told from one that
// does not answer, and from one that lists fewer at once.
func TestNoLogs(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	_ = made(n.Mint721(ctx, n.Holder.Address))(t)
	must(t, n.Mine(ctx, 20))
	for name, m := range map[string]mode{"no such method": logless, "never for these contracts": logsFail} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, n, m)
			chains := newChains(t, configOf(n, p.URL))
			head := made(chains.Head(ctx, n.ChainID))(t)
			_, err := chains.Transfers(ctx, n.ChainID, 0, head, []eth.Address{at(n.NFT)})
			if !errors.Is(err, eth.ErrNoLogs) || !errors.Is(err, eth.ErrChainUnreachable) {
				t.Errorf("transfers: %v", err)
			}
			_ = made(chains.Read(ctx, n.ChainID, sold(n)))(t)
			p.set(honest)
			if list := made(chains.Transfers(ctx, n.ChainID, 0, head, []eth.Address{at(n.NFT)}))(t); len(list) != 1 {
				t.Errorf("when it lists them: %v", list)
			}
			p.set(m)
			both := newChains(t, configOf(n, p.URL, newProxy(t, n, honest).URL))
			if list := made(both.Transfers(ctx, n.ChainID, 0, head, []eth.Address{at(n.NFT)}))(t); len(list) != 1 {
				t.Errorf("with another endpoint: %v", list)
			}
			p.set(broken)
			if _, err := chains.Transfers(ctx, n.ChainID, 0, head, nil); err == nil || errors.Is(err, eth.ErrNoLogs) {
				t.Errorf("of one that does not answer: %v", err)
			}
		})
	}
}

package evm_test

import (
	"testing"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/cmd/devchain/devnet"
)

// bench starts a chain and a reader of it.
func bench(b *testing.B) (*devnet.Net, *evm.Chains) {
	b.Helper()
	n, err := devnet.Start(b.Context(), devnet.Options{})
	if err != nil {
		b.Fatal(err)
	}
	chains, err := evm.New(evm.Config{Chains: []evm.ChainConfig{configOf(n, n.URL)}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = n.Close()
	})
	return n, chains
}

// BenchmarkRead is an uncached decision on two facts over loopback.
func BenchmarkRead(b *testing.B) {
	n, chains := bench(b)
	questions := []eth.Question{
		{Fact: eth.FactERC721, Contract: at(n.NFT), Holder: at(n.Holder.Address)},
		{Fact: eth.FactERC20, Contract: at(n.Coin), Holder: at(n.Holder.Address)},
	}
	for b.Loop() {
		if _, err := chains.Read(b.Context(), n.ChainID, questions); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyKey is a key's sign-in, from several clients.
func BenchmarkVerifyKey(b *testing.B) {
	n, chains := bench(b)
	hash := personal("I watch")
	signature, err := n.Holder.Sign(hash)
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := chains.VerifySignature(b.Context(), n.ChainID, at(n.Holder.Address), hash, signature); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkVerifyWallet is a deployed contract wallet's sign-in.
func BenchmarkVerifyWallet(b *testing.B) {
	n, chains := bench(b)
	hash := personal("I watch")
	signature, err := n.Holder.Sign(hash)
	if err != nil {
		b.Fatal(err)
	}
	wallet, err := n.DeployWallet(b.Context(), n.Holder.Address, [32]byte{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := chains.VerifySignature(b.Context(), n.ChainID, at(wallet), hash, signature); err != nil {
			b.Fatal(err)
		}
	}
}

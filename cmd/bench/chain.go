package main

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/params"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/cmd/devchain/devnet"
)

// chainCommand makes the bench be a development chain, which makes a block for
// each transaction.
const chainCommand = "devchain"

// serveChain runs the chain until stdin ends. It first prints its URL.
func serveChain(stdin io.Reader, stdout io.Writer) error {
	n, err := devnet.Start(context.Background(), devnet.Options{})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, n.URL)
	_, _ = io.Copy(io.Discard, stdin) // ends with the bench
	return n.Close()
}

// chain is that process, seen from the bench.
type chain struct {
	*helper
	*devnet.Client
}

func startChain(ctx context.Context) (*chain, error) {
	h, url, err := startHelper(ctx, chainCommand)
	if err != nil {
		return nil, err
	}
	client, err := devnet.Dial(ctx, url)
	if err != nil {
		h.stop()
		return nil, err
	}
	return &chain{h, client}, nil
}

func (c *chain) stop() {
	c.Eth().Close()
	c.helper.stop()
}

// settings configure a node to look at the chain that often.
func (c *chain) settings(poll time.Duration) string {
	return fmt.Sprintf("chains:\n  - {id: %d, name: Devchain, urls: [%q], poll_interval: %s, multicall: %q, delegate_registry: %q}\n",
		c.ChainID, c.URL, poll, c.Multicall.Hex(), c.Registry.Hex())
}

// reader asks the chain from this process, as a node does.
func (c *chain) reader() (*evm.Chains, error) {
	return evm.New(evm.Config{Chains: []evm.ChainConfig{{
		ID: c.ChainID, URLs: []string{c.URL},
		Multicall: eth.Address(c.Multicall), DelegateRegistry: eth.Address(c.Registry),
	}}})
}

// holders is the rule for those who have a token of the chain's ERC-721.
func (c *chain) holders() map[string]any {
	return map[string]any{"erc721": map[string]any{"chain": c.ChainID, "contract": c.NFT.Hex()}}
}

// outfit gives a wallet a token, whose number it returns, and what it takes to
// hand it over.
func (c *chain) outfit(ctx context.Context, wallet devnet.Account) (*big.Int, error) {
	if err := c.Pay(ctx, c.Deployer, wallet.Address, big.NewInt(params.Ether)); err != nil {
		return nil, err
	}
	return c.Mint721(ctx, wallet.Address)
}

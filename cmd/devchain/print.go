package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/cmd/devchain/devnet"
)

// account is how an account is printed.
type account struct {
	Name    string         `json:"name"`
	Address common.Address `json:"address"`
	Key     hexutil.Bytes  `json:"key"`
}

// summary is what --json prints.
type summary struct {
	URL       string                    `json:"url"`
	ChainID   uint64                    `json:"chain_id"`
	Accounts  []account                 `json:"accounts"`
	Contracts map[string]common.Address `json:"contracts"`
}

// contractNames is the order in which people read the contracts.
func contractNames() []string {
	return []string{"erc721", "erc1155", "erc20", "wallet_factory", "delegate_registry", "multicall"}
}

func summarize(c *devnet.Client) summary {
	s := summary{URL: c.URL, ChainID: c.ChainID, Contracts: map[string]common.Address{
		"erc721": c.NFT, "erc1155": c.Edition, "erc20": c.Coin,
		"wallet_factory": c.Factory, "delegate_registry": c.Registry, "multicall": c.Multicall,
	}}
	for _, a := range c.All() {
		s.Accounts = append(s.Accounts, account{a.Name, a.Address, crypto.FromECDSA(a.Key)})
	}
	return s
}

// printNet prints what one needs to use the chain.
func printNet(w io.Writer, c *devnet.Client, asJSON bool) error {
	s := summarize(c)
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	fmt.Fprintf(w, "chain %d at %s\n\naccounts (everybody knows these keys)\n", s.ChainID, s.URL)
	for _, a := range s.Accounts {
		fmt.Fprintf(w, "  %-18s %s  %s\n", a.Name, a.Address, a.Key)
	}
	fmt.Fprintln(w, "\ncontracts")
	for _, name := range contractNames() {
		fmt.Fprintf(w, "  %-18s %s\n", name, s.Contracts[name])
	}
	return nil
}

// Package contracts has the contracts of the development chain, compiled.
//
// # What
//
// One NAME.json (abi and bytecode) for each contract of the *.sol files here.
// compile.js writes them with the pinned compiler, and with --check it fails
// if one is stale.
//
// # Usage
//
//	nft, err := contracts.Load("NFT")
//
// # Testing
//
// By package devnet, which deploys and calls every one of them.
package contracts

import (
	"embed"
	"encoding/json"
	"fmt"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

//go:embed *.json
var compiled embed.FS

// Contract is a compiled contract.
type Contract struct {
	ABI      abi.ABI
	Bytecode hexutil.Bytes
}

// Load returns the contract of that name.
func Load(name string) (*Contract, error) {
	data, err := compiled.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("contract %s: %w", name, err)
	}
	c := new(Contract)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("contract %s: %w", name, err)
	}
	return c, nil
}

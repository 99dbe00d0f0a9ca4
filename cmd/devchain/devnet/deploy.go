package devnet

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/cmd/devchain/contracts"
)

// Contracts are the addresses of what Start deploys.
type Contracts struct {
	NFT       common.Address // ERC-721
	Edition   common.Address // ERC-1155
	Coin      common.Address // ERC-20
	Factory   common.Address // makes ERC-1271 wallets (CREATE2)
	Registry  common.Address // delegate registry, version 2
	Multicall common.Address // aggregate3 of Multicall3
}

// deployed lists the contracts in the order of their deployment: an address
// follows from the deployer and its nonce.
func deployed() []string {
	return []string{"NFT", "Edition", "Coin", "WalletFactory", "DelegateRegistry", "Multicall"}
}

func contractsOf(deployer common.Address) Contracts {
	at := func(nonce uint64) common.Address { return crypto.CreateAddress(deployer, nonce) }
	return Contracts{NFT: at(0), Edition: at(1), Coin: at(2), Factory: at(3), Registry: at(4), Multicall: at(5)}
}

// deployTries is how many blocks the deployment may take: on a busy machine a
// block is sealed before all that waits is in it.
const deployTries = 20

// deployAll deploys everything in the first blocks.
func (n *Net) deployAll(ctx context.Context) error {
	var sent []*types.Transaction
	for nonce, name := range deployed() {
		c, err := contracts.Load(name)
		if err != nil {
			return err
		}
		tx, err := n.signAt(uint64(nonce), n.Deployer, nil, nil, c.Bytecode)
		if err != nil {
			return err
		}
		if err := n.eth.SendTransaction(ctx, tx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		sent = append(sent, tx)
	}
	if err := n.maker.mine(1); err != nil {
		return err
	}
	for i, tx := range sent {
		receipt, err := n.eth.TransactionReceipt(ctx, tx.Hash())
		for try := 0; notMined(err) && try < deployTries; try++ {
			if err := n.maker.mine(1); err != nil {
				return err
			}
			receipt, err = n.eth.TransactionReceipt(ctx, tx.Hash())
		}
		if err != nil {
			return fmt.Errorf("%s was not deployed: %w", deployed()[i], err)
		}
		if receipt.Status != types.ReceiptStatusSuccessful {
			return fmt.Errorf("the deployment of %s failed", deployed()[i])
		}
	}
	return nil
}

// notMined tells whether a receipt is missing because its transaction is in no
// block yet. A young chain says so in its own words.
func notMined(err error) bool {
	return errors.Is(err, ethereum.NotFound) || err != nil && strings.Contains(err.Error(), "transaction indexing is in progress")
}

// Deploy deploys a contract of package contracts and returns its address.
func (c *Client) Deploy(ctx context.Context, name string, args ...any) (common.Address, error) {
	contract, err := contracts.Load(name)
	if err != nil {
		return common.Address{}, err
	}
	packed, err := contract.ABI.Pack("", args...)
	if err != nil {
		return common.Address{}, fmt.Errorf("%s: %w", name, err)
	}
	receipt, err := c.Send(ctx, c.Deployer, nil, nil, append(contract.Bytecode, packed...))
	if err != nil {
		return common.Address{}, fmt.Errorf("deploy %s: %w", name, err)
	}
	return receipt.ContractAddress, nil
}

// Hostile deploys a contract that answers every call badly; the modes are
// those of Hostile.sol, in their order.
func (c *Client) Hostile(ctx context.Context, mode HostileMode) (common.Address, error) {
	return c.Deploy(ctx, "Hostile", uint8(mode))
}

// HostileMode is a way to answer badly.
type HostileMode uint8

// The ways of Hostile.sol.
const (
	Reverts    HostileMode = iota
	Rubbish                // 32 bytes of 0xff
	Burns                  // uses all gas
	Bomb                   // a very long answer
	Silent                 // no bytes
	Yes                    // 1 to everything
	DirtyMagic             // ERC-1271's magic value with other bits set behind it
	ShortMagic             // its four bytes alone
	LongMagic              // the right word, and one more
)

package devnet

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"streamgate/cmd/devchain/contracts"
)

// Mint721 gives a new token of the NFT and returns its id.
func (c *Client) Mint721(ctx context.Context, to common.Address) (*big.Int, error) {
	receipt, err := c.Transact(ctx, c.Deployer, "NFT", c.NFT, "mint", to)
	if err != nil {
		return nil, err
	}
	if len(receipt.Logs) != 1 || len(receipt.Logs[0].Topics) != 4 {
		return nil, fmt.Errorf("the mint left no Transfer")
	}
	return receipt.Logs[0].Topics[3].Big(), nil
}

// Mint721ID gives the NFT's token of that id.
func (c *Client) Mint721ID(ctx context.Context, to common.Address, id *big.Int) error {
	return c.transact(ctx, c.Deployer, "NFT", c.NFT, "mintId", to, id)
}

// Transfer721 hands the NFT's token over.
func (c *Client) Transfer721(ctx context.Context, from Account, to common.Address, id *big.Int) error {
	return c.transact(ctx, from, "NFT", c.NFT, "transferFrom", from.Address, to, id)
}

// Burn721 destroys the NFT's token.
func (c *Client) Burn721(ctx context.Context, id *big.Int) error {
	return c.transact(ctx, c.Deployer, "NFT", c.NFT, "burn", id)
}

// Mint1155 gives units of the Edition's token.
func (c *Client) Mint1155(ctx context.Context, to common.Address, id, amount *big.Int) error {
	return c.transact(ctx, c.Deployer, "Edition", c.Edition, "mint", to, id, amount)
}

// MintBatch1155 gives units of several of the Edition's tokens.
func (c *Client) MintBatch1155(ctx context.Context, to common.Address, ids, amounts []*big.Int) error {
	return c.transact(ctx, c.Deployer, "Edition", c.Edition, "mintBatch", to, ids, amounts)
}

// Transfer1155 hands units of the Edition's token over.
func (c *Client) Transfer1155(ctx context.Context, from Account, to common.Address, id, amount *big.Int) error {
	return c.transact(ctx, from, "Edition", c.Edition, "safeTransferFrom", from.Address, to, id, amount, []byte{})
}

// TransferBatch1155 hands units of several of the Edition's tokens over.
func (c *Client) TransferBatch1155(ctx context.Context, from Account, to common.Address, ids, amounts []*big.Int) error {
	return c.transact(ctx, from, "Edition", c.Edition, "safeBatchTransferFrom", from.Address, to, ids, amounts, []byte{})
}

// Mint20 gives units of the Coin.
func (c *Client) Mint20(ctx context.Context, to common.Address, amount *big.Int) error {
	return c.transact(ctx, c.Deployer, "Coin", c.Coin, "mint", to, amount)
}

// Transfer20 hands units of the Coin over.
func (c *Client) Transfer20(ctx context.Context, from Account, to common.Address, amount *big.Int) error {
	return c.transact(ctx, from, "Coin", c.Coin, "transfer", to, amount)
}

// DelegateAll lets another wallet act for the vault everywhere, or no longer.
func (c *Client) DelegateAll(ctx context.Context, vault Account, to common.Address, enable bool) error {
	return c.transact(ctx, vault, "DelegateRegistry", c.Registry, "delegateAll", to, [32]byte{}, enable)
}

// DelegateContract lets another wallet act for the vault at one contract, or
// no longer.
func (c *Client) DelegateContract(ctx context.Context, vault Account, to, contract common.Address, enable bool) error {
	return c.transact(ctx, vault, "DelegateRegistry", c.Registry, "delegateContract", to, contract, [32]byte{}, enable)
}

// DelegateERC721 lets another wallet act for the vault with one token, or no
// longer.
func (c *Client) DelegateERC721(ctx context.Context, vault Account, to, contract common.Address, id *big.Int, enable bool) error {
	return c.transact(ctx, vault, "DelegateRegistry", c.Registry, "delegateERC721", to, contract, id, [32]byte{}, enable)
}

// Transact calls a method of a deployed contract of package contracts.
func (c *Client) Transact(ctx context.Context, from Account, name string, at common.Address, method string, args ...any) (*types.Receipt, error) {
	contract, err := contracts.Load(name)
	if err != nil {
		return nil, err
	}
	data, err := contract.ABI.Pack(method, args...)
	if err != nil {
		return nil, fmt.Errorf("%s.%s: %w", name, method, err)
	}
	receipt, err := c.Send(ctx, from, &at, nil, data)
	if err != nil {
		return nil, fmt.Errorf("%s.%s: %w", name, method, err)
	}
	return receipt, nil
}

func (c *Client) transact(ctx context.Context, from Account, name string, at common.Address, method string, args ...any) error {
	_, err := c.Transact(ctx, from, name, at, method, args...)
	return err
}

// Ask calls a method of a contract of package contracts without a transaction.
func (c *Client) Ask(ctx context.Context, name string, at common.Address, method string, args ...any) ([]any, error) {
	contract, err := contracts.Load(name)
	if err != nil {
		return nil, err
	}
	data, err := contract.ABI.Pack(method, args...)
	if err != nil {
		return nil, fmt.Errorf("%s.%s: %w", name, method, err)
	}
	answer, err := c.eth.CallContract(ctx, ethereum.CallMsg{To: &at, Data: data}, nil)
	if err != nil {
		return nil, fmt.Errorf("%s.%s: %w", name, method, err)
	}
	return contract.ABI.Unpack(method, answer)
}

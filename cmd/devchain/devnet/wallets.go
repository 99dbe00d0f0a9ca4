package devnet

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/cmd/devchain/contracts"
)

// WalletAddress is where the factory makes the owner's wallet of that salt,
// whether it is there yet or not.
func (c *Client) WalletAddress(owner common.Address, salt [32]byte) (common.Address, error) {
	wallet, err := contracts.Load("Wallet")
	if err != nil {
		return common.Address{}, err
	}
	code := append([]byte(wallet.Bytecode), common.LeftPadBytes(owner.Bytes(), 32)...)
	return crypto.CreateAddress2(c.Factory, salt, crypto.Keccak256(code)), nil
}

// DeployWallet makes the owner's wallet of that salt.
func (c *Client) DeployWallet(ctx context.Context, owner common.Address, salt [32]byte) (common.Address, error) {
	if err := c.transact(ctx, c.Deployer, "WalletFactory", c.Factory, "create", owner, salt); err != nil {
		return common.Address{}, err
	}
	return c.WalletAddress(owner, salt)
}

// Execute has a wallet call another contract; the owner asks for it.
func (c *Client) Execute(ctx context.Context, owner Account, wallet, to common.Address, data []byte) error {
	return c.transact(ctx, owner, "Wallet", wallet, "execute", to, common.Big0, data)
}

// Sign signs the EIP-191 hash of a personal message: 65 bytes, v is 27 or 28.
func (a Account) Sign(hash [32]byte) ([]byte, error) {
	signature, err := crypto.Sign(hash[:], a.Key)
	if err != nil {
		return nil, err
	}
	signature[64] += 27
	return signature, nil
}

// Counterfactual wraps a signature for a wallet that is not there yet
// (ERC-6492): whoever verifies it simulates the factory first.
func (c *Client) Counterfactual(owner common.Address, salt [32]byte, signature []byte) ([]byte, error) {
	factory, err := contracts.Load("WalletFactory")
	if err != nil {
		return nil, err
	}
	create, err := factory.ABI.Pack("create", owner, salt)
	if err != nil {
		return nil, err
	}
	return Wrap6492(c.Factory, create, signature)
}

// Wrap6492 wraps a signature with the call that prepares its wallet.
func Wrap6492(factory common.Address, call, signature []byte) ([]byte, error) {
	args := abi.Arguments{}
	for _, name := range []string{"address", "bytes", "bytes"} {
		kind, err := abi.NewType(name, "", nil)
		if err != nil {
			return nil, fmt.Errorf("type %s: %w", name, err)
		}
		args = append(args, abi.Argument{Type: kind})
	}
	packed, err := args.Pack(factory, call, signature)
	if err != nil {
		return nil, err
	}
	for range 16 {
		packed = append(packed, 0x64, 0x92)
	}
	return packed, nil
}

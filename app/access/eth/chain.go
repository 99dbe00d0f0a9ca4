// Package eth has the words for what access asks of Ethereum and chains like it:
// addresses, questions and answers, blocks, transfers, and the interface Chains.
//
// It does no I/O and imports nothing of this module. Package evm implements
// Chains over JSON-RPC; Deny is Chains where none is configured. Tests have a
// table of balances in ethtest.
package eth

import (
	"context"
	"errors"
	"math/big"
	"time"
)

// Address is an account on an EVM chain.
type Address [20]byte

// The ways in which a chain gives no answer. In doubt the gate stays shut.
var (
	// ErrChainUnknown: no such chain is configured.
	ErrChainUnknown = errors.New("chain is not configured")
	// ErrChainUnreachable: no endpoint of the chain gave a trustworthy answer
	// in time. It may come back.
	ErrChainUnreachable = errors.New("chain cannot be reached")
	// ErrNoLogs: the chain answers, but none of its endpoints lists logs (any
	// more). It comes with ErrChainUnreachable.
	ErrNoLogs = errors.New("no endpoint of the chain lists logs")
	// ErrSignature: the signature is not the signer's.
	ErrSignature = errors.New("signature is not valid")
)

// Fact is what a Question asks for.
type Fact string

// The facts. Each answer is an amount; a yes is 1, a no is 0.
const (
	FactNative  Fact = "native"  // wei that Holder has
	FactERC20   Fact = "erc20"   // units of Contract that Holder has
	FactERC721  Fact = "erc721"  // tokens of Contract that Holder has
	FactOwner   Fact = "owner"   // whether Holder owns token ID of the ERC-721 Contract
	FactERC1155 Fact = "erc1155" // units of token ID of Contract that Holder has
	FactIs721   Fact = "is721"   // whether Contract says (ERC-165) that it is an ERC-721
	FactIs1155  Fact = "is1155"  // … an ERC-1155
	// FactDelegate: whether Vault lets Holder act for it at Contract, or
	// everywhere (delegate registry v2: checkDelegateForContract).
	FactDelegate Fact = "delegate"
)

// Question is one fact about one chain.
type Question struct {
	Fact     Fact
	Contract Address
	Holder   Address
	Vault    Address  // FactDelegate only
	ID       *big.Int // FactOwner, FactERC1155
}

// Answer is the amount that a Question asked for. A contract that reverts,
// answers rubbish or is not there gives Amount 0 and says so in Problem. Amount
// is nil where too few endpoints say the same.
type Answer struct {
	Amount  *big.Int
	Problem string // "" or a short word for people: "reverted", "no contract", …
}

// Block is a block of a chain.
type Block struct {
	Number uint64
	Hash   [32]byte
	Parent [32]byte
	Time   time.Time
}

// Reading is the answers to questions, in their order, all read at Block.
type Reading struct {
	Block   Block
	Source  string // name of the endpoint that answered, without secrets
	Answers []Answer
}

// Transfer is a change of holding or delegation, seen in a log. With both
// addresses zero anybody's holding of the contract may have changed.
type Transfer struct {
	Block    uint64
	Contract Address
	From, To Address // whose holdings may have changed; zero for mint and burn
}

// Followed is what is new on a chain.
type Followed struct {
	Head Block
	// Whole tells that Before and Transfers are there; else they are to be
	// asked for.
	Whole bool
	// Before is the block before the first that was asked for, on the branch of
	// the head.
	Before Block
	// Transfers are those of the blocks after Before up to the head, and may
	// have those of Before too.
	Transfers []Transfer
}

// Chains is what access asks of blockchains: evm.Chains, or Deny where none is
// configured. Chain ids are those of EIP-155.
type Chains interface {
	// IDs are the configured chains.
	IDs() []uint64
	// Read answers all questions at one block, in as few round trips as the
	// chain allows; ErrChainUnknown, ErrChainUnreachable.
	Read(ctx context.Context, chain uint64, questions []Question) (Reading, error)
	// VerifySignature checks that signer signed the EIP-191 hash of a personal
	// message: ERC-6492 wrapper, then ERC-1271 if the signer has code on the
	// chain, then the key's own signature (low s; 65 or 64 bytes, EIP-2098).
	// ErrSignature, ErrChainUnknown, ErrChainUnreachable. A key's own signature
	// of an account without code needs the chain all the same: only it can say
	// that there is no code.
	VerifySignature(ctx context.Context, chain uint64, signer Address, hash [32]byte, signature []byte) error
	// Head is the newest block that has the configured confirmations.
	Head(ctx context.Context, chain uint64) (Block, error)
	// Follow is Head along with the Transfers of the blocks from there to the
	// head, in one round trip where the chain allows it.
	Follow(ctx context.Context, chain uint64, from uint64, contracts []Address) (Followed, error)
	// Ancestors returns the blocks of the numbers, in their order, on the branch
	// that ends in head, none of them above it. ErrChainUnreachable where that
	// branch is not there (any more).
	Ancestors(ctx context.Context, chain uint64, head Block, numbers ...uint64) ([]Block, error)
	// Transfers lists what the contracts' logs (Transfer, TransferSingle,
	// TransferBatch) and the delegate registry's of blocks [from, to] say, in
	// order; without contracts, the registry's alone. The logs are those of the
	// branch that ends in to: ErrChainUnreachable where it is not there, also
	// ErrNoLogs if the endpoints answer, but list no logs.
	Transfers(ctx context.Context, chain uint64, from uint64, to Block, contracts []Address) ([]Transfer, error)
}

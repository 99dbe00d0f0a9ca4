package evm

import (
	"bytes"
	"context"
	_ "embed" // validator.hex
	"encoding/hex"
	"slices"
	"strings"

	"streamgate/app/access/eth"
)

const (
	// maxSignature bounds a signature in bytes, a wrapper included.
	maxSignature = 16 << 10
	// validatorGas holds what Validator.sol lets the wallet and the factory
	// burn, and itself.
	validatorGas = 24_000_000
)

// validatorHex is Validator.sol, compiled by cmd/devchain/contracts/compile.js.
//
//go:embed validator.hex
var validatorHex string

// verdict is what Validator.sol says.
type verdict byte

// The verdicts, as Validator.sol numbers them.
const (
	verdictInvalid verdict = iota
	verdictValid
	verdictNoCode
)

// verify implements eth.Chains.VerifySignature.
func (c *chain) verify(ctx context.Context, signer eth.Address, hash [32]byte, signature []byte) error {
	if len(signature) > maxSignature {
		return eth.ErrSignature
	}
	w, wrapped, err := unwrap6492(signature)
	if err != nil {
		return eth.ErrSignature
	}
	if recovered, ok := recoverSigner(hash, signature); !wrapped && ok && recovered == signer {
		return c.verifyKey(ctx, signer, hash, w)
	}
	return c.verifyContract(ctx, signer, hash, w)
}

// verifyKey lets the key's own signature stand, unless there is a contract at
// its address, which then decides. Delegated code (EIP-7702) takes nothing
// from the key.
func (c *chain) verifyKey(ctx context.Context, signer eth.Address, hash [32]byte, w wrapper) error {
	code, err := c.code(ctx, signer)
	switch {
	case err != nil:
		return err
	case len(code) == 0 || len(code) == 23 && bytes.HasPrefix(code, []byte{0xef, 0x01, 0x00}):
		return nil
	default:
		return c.verifyContract(ctx, signer, hash, w)
	}
}

// code returns an account's code at the newest block, which with a quorum is
// one that all know.
func (c *chain) code(ctx context.Context, of eth.Address) ([]byte, error) {
	if c.cfg.Quorum == 1 {
		return c.coder.code(ctx, of)
	}
	b, err := c.tip(ctx)
	if err != nil {
		return nil, err
	}
	code, _, err := agree(ctx, c, c.endpoints, func(ctx context.Context, e *endpoint) (code []byte, err error) {
		err = e.pinned(ctx, b, func(block any) (err error) {
			code, err = e.code(ctx, of, block)
			return err
		})
		return code, err
	}, func(code []byte) string { return string(code) })
	return code, err
}

// verifyContract asks the wallet, in one eth_call that makes it first if the
// wrapper says how.
func (c *chain) verifyContract(ctx context.Context, signer eth.Address, hash [32]byte, w wrapper) error {
	data, err := packValidator(signer, hash, w)
	if err != nil {
		return err
	}
	ask := func(ctx context.Context, e *endpoint) (verdict, error) {
		return e.validate(strangersCode(ctx), data, "latest")
	}
	if c.cfg.Quorum > 1 {
		b, err := c.tip(ctx)
		if err != nil {
			return err
		}
		ask = func(ctx context.Context, e *endpoint) (v verdict, err error) {
			err = e.pinned(ctx, b, func(block any) (err error) {
				v, err = e.validate(strangersCode(ctx), data, block)
				return err
			})
			return v, err
		}
	}
	v, _, err := agree(ctx, c, c.endpoints, ask, func(v verdict) string { return string(rune(v)) })
	if err != nil {
		return err
	}
	if v != verdictValid {
		return eth.ErrSignature
	}
	return nil
}

// tip is the newest block that all of a quorum know.
func (c *chain) tip(ctx context.Context) (eth.Block, error) {
	heads, err := c.sampler.sample(ctx)
	if err != nil {
		return eth.Block{}, err
	}
	return c.agreedHead(ctx, heads, 0)
}

// validate runs the validator. It cannot fail because of the wallet, so that
// every error is the endpoint's.
func (e *endpoint) validate(ctx context.Context, data []byte, block any) (v verdict, err error) {
	err = e.ask(ctx, func(replies []reply) error {
		if replies[0].err != nil {
			return e.refused(replies[0].err)
		}
		said, err := decodeBytes(replies[0].result)
		if err != nil || len(said) != 1 || verdict(said[0]) > verdictNoCode {
			return e.garbage("the answer to eth_call is not a verdict about a signature")
		}
		v = verdict(said[0])
		return nil
	}, call{method: "eth_call", params: []any{map[string]string{"data": encodeHex(data), "gas": quantity(validatorGas)}, block}})
	return v, err
}

// packValidator makes the validator's code with its constructor's arguments:
// (address signer, bytes32 hash, bytes signature, address factory, bytes prepare).
func packValidator(signer eth.Address, hash [32]byte, w wrapper) ([]byte, error) {
	code, err := hex.DecodeString(strings.TrimSpace(validatorHex))
	if err != nil {
		return nil, err
	}
	signature, prepare := packBytes(w.signature), packBytes(w.prepare)
	for _, head := range []word{
		wordOfAddress(signer), hash, wordOfInt(5 * 32), wordOfAddress(w.factory), wordOfInt(5*32 + len(signature)),
	} {
		code = append(code, head[:]...)
	}
	return slices.Concat(code, signature, prepare), nil
}

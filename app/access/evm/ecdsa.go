package evm

import (
	"math/big"

	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/app/access/eth"
)

// recoverSigner returns the account whose key made the signature of hash. The
// forms are r, s, v with v of 0, 1, 27 or 28 (65 bytes), and r, yParity and s
// (64 bytes, EIP-2098). A high s, which is another signature of the same key
// that anybody can compute, is refused (EIP-2).
func recoverSigner(hash [32]byte, signature []byte) (signer eth.Address, ok bool) {
	compact, ok := normalise(signature)
	if !ok {
		return signer, false
	}
	r, s := new(big.Int).SetBytes(compact[:32]), new(big.Int).SetBytes(compact[32:64])
	if !crypto.ValidateSignatureValues(compact[64], r, s, true) {
		return signer, false
	}
	key, err := crypto.Ecrecover(hash[:], compact[:])
	if err != nil {
		return signer, false
	}
	copy(signer[:], crypto.Keccak256(key[1:])[12:])
	return signer, true
}

// normalise makes r, s and a v of 0 or 1 of any of the forms.
func normalise(signature []byte) (n [65]byte, ok bool) {
	switch len(signature) {
	case 64:
		copy(n[:], signature)
		n[64] = n[32] >> 7
		n[32] &= 0x7f
		return n, true
	case 65:
		copy(n[:], signature)
		if n[64] >= 27 {
			n[64] -= 27
		}
		return n, n[64] <= 1
	default:
		return n, false
	}
}

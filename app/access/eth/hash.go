package eth

import (
	"strconv"

	"golang.org/x/crypto/sha3"
)

// Keccak256 is Ethereum's hash: Keccak as it was before it became SHA-3.
func Keccak256(data ...[]byte) [32]byte {
	h := sha3.NewLegacyKeccak256()
	for _, d := range data {
		h.Write(d)
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// PersonalHash is the hash that a wallet signs for a text (EIP-191, version
// 0x45: personal_sign).
func PersonalHash(message string) [32]byte {
	return Keccak256([]byte("\x19Ethereum Signed Message:\n"+strconv.Itoa(len(message))), []byte(message))
}

package evm

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"

	"streamgate/app/access/eth"
)

// errHex is a value that is not in the encoding of Ethereum's JSON-RPC.
var errHex = errors.New("not a hex value")

// quantity encodes a number ("0x5").
func quantity(n uint64) string { return "0x" + strconv.FormatUint(n, 16) }

// encodeHex encodes bytes ("0x0abc").
func encodeHex(b []byte) string { return "0x" + hex.EncodeToString(b) }

// hexString reads a JSON string that begins with 0x and returns the digits.
func hexString(raw json.RawMessage) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", errHex
	}
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return "", errHex
	}
	return digits, nil
}

// decodeBytes reads data of any length.
func decodeBytes(raw json.RawMessage) ([]byte, error) {
	digits, err := hexString(raw)
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, errHex
	}
	return b, nil
}

// decodeUint reads a quantity of at most 64 bits.
func decodeUint(raw json.RawMessage) (uint64, error) {
	digits, err := hexString(raw)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0, errHex
	}
	return n, nil
}

// decodeBig reads a quantity of at most 256 bits.
func decodeBig(raw json.RawMessage) (*big.Int, error) {
	digits, err := hexString(raw)
	if err != nil || digits == "" || len(digits) > 64 || strings.ContainsAny(digits, "+-_") {
		return nil, errHex
	}
	n, ok := new(big.Int).SetString(digits, 16)
	if !ok {
		return nil, errHex
	}
	return n, nil
}

// word is 32 bytes of data, as a hash or a topic.
type word [32]byte

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(raw []byte) error {
	b, err := decodeBytes(raw)
	if err != nil || len(b) != len(w) {
		return errHex
	}
	copy(w[:], b)
	return nil
}

// address is the account in the word's last 20 bytes; the others must be zero.
func (w *word) address() (a eth.Address, ok bool) {
	copy(a[:], w[12:])
	return a, [12]byte(w[:12]) == [12]byte{}
}

// account is an address on the wire.
type account eth.Address

// UnmarshalJSON implements json.Unmarshaler.
func (a *account) UnmarshalJSON(raw []byte) error {
	b, err := decodeBytes(raw)
	if err != nil || len(b) != len(a) {
		return errHex
	}
	copy(a[:], b)
	return nil
}

// uintValue is a quantity on the wire.
type uintValue uint64

// UnmarshalJSON implements json.Unmarshaler.
func (u *uintValue) UnmarshalJSON(raw []byte) error {
	n, err := decodeUint(raw)
	*u = uintValue(n)
	return err
}

// bytesValue is data on the wire.
type bytesValue []byte

// UnmarshalJSON implements json.Unmarshaler.
func (v *bytesValue) UnmarshalJSON(raw []byte) error {
	b, err := decodeBytes(raw)
	*v = b
	return err
}

package eth

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrAddress means that a text is not an address.
var ErrAddress = errors.New("invalid address")

// AddressLen is the length of an address in text: 0x and 40 hex digits.
const AddressLen = 2 + 2*len(Address{})

// ParseAddress reads an address: 0x and 40 hex digits, in lower case, in upper
// case, or in mixed case with the checksum of EIP-55. A wrong checksum is
// refused, because it means that a digit was mistyped or lost. ErrAddress.
func ParseAddress(text string) (Address, error) {
	if len(text) != AddressLen || text[:2] != "0x" {
		return Address{}, fmt.Errorf("%w: it must be 0x and 40 hex digits", ErrAddress)
	}
	var a Address
	if _, err := hex.Decode(a[:], []byte(text[2:])); err != nil {
		return Address{}, fmt.Errorf("%w: it must be 0x and 40 hex digits", ErrAddress)
	}
	if mixedCase(text[2:]) && a.String() != text {
		return Address{}, fmt.Errorf("%w: its upper and lower case letters do not fit (EIP-55); a digit is probably mistyped", ErrAddress)
	}
	return a, nil
}

func mixedCase(digits string) bool {
	var upper, lower bool
	for _, c := range []byte(digits) {
		upper = upper || 'A' <= c && c <= 'F'
		lower = lower || 'a' <= c && c <= 'f'
	}
	return upper && lower
}

// String returns the address with the checksum of EIP-55.
func (a Address) String() string {
	var text [AddressLen]byte
	copy(text[:], "0x")
	digits := text[2:]
	hex.Encode(digits, a[:])
	sum := Keccak256(digits)
	for i, c := range digits {
		// The digit's own four bits of the hash decide its case.
		if nibble := sum[i/2] >> (4 * (1 - i%2)) & 0xf; nibble >= 8 && c >= 'a' {
			digits[i] = c - 'a' + 'A'
		}
	}
	return string(text[:])
}

// IsZero tells whether this is the zero address: nobody's, and what Transfer
// names for mint and burn.
func (a Address) IsZero() bool { return a == Address{} }

// MarshalText implements encoding.TextMarshaler with String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseAddress.
func (a *Address) UnmarshalText(text []byte) error {
	parsed, err := ParseAddress(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

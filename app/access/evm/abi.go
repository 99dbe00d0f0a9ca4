package evm

import (
	"encoding/binary"
	"errors"
	"math/big"

	"streamgate/app/access/eth"
)

// errABI is data that is not in Solidity's ABI encoding.
var errABI = errors.New("not ABI-encoded")

// selector is the first four bytes of a call: they name the function.
type selector string

// The functions that are called. A test computes them from their signatures.
const (
	selBalanceOf     selector = "\x70\xa0\x82\x31" // balanceOf(address), ERC-20 and ERC-721
	selOwnerOf       selector = "\x63\x52\x21\x1e" // ownerOf(uint256)
	selBalanceOf1155 selector = "\x00\xfd\xd5\x8e" // balanceOf(address,uint256)
	selSupports      selector = "\x01\xff\xc9\xa7" // supportsInterface(bytes4), ERC-165
	selCheckContract selector = "\x89\x88\xee\xa9" // checkDelegateForContract(address,address,address,bytes32)
	selAggregate3    selector = "\x82\xad\x56\xcb" // aggregate3((address,bool,bytes)[])
	selEthBalance    selector = "\x4d\x23\x01\xcc" // getEthBalance(address)
)

// pack encodes a call whose arguments are all single words.
func (s selector) pack(words ...word) []byte {
	data := append(make([]byte, 0, 4+32*len(words)), s...)
	for _, w := range words {
		data = append(data, w[:]...)
	}
	return data
}

func wordOfAddress(a eth.Address) (w word) {
	copy(w[12:], a[:])
	return w
}

// wordOfID encodes an interface id (bytes4).
func wordOfID(id string) (w word) {
	copy(w[:], id)
	return w
}

func wordOfInt(n int) (w word) {
	binary.BigEndian.PutUint64(w[24:], uint64(n))
	return w
}

// wordOfBig encodes 0 ≤ n < 2²⁵⁶.
func wordOfBig(n *big.Int) (w word) {
	n.FillBytes(w[:])
	return w
}

// packBytes encodes the dynamic type bytes: its length, then itself, padded.
func packBytes(b []byte) []byte {
	w := wordOfInt(len(b))
	data := append(make([]byte, 0, 32+padded(len(b))), w[:]...)
	data = append(data, b...)
	return append(data, make([]byte, padded(len(b))-len(b))...)
}

// padded is the next multiple of 32.
func padded(n int) int { return (n + 31) &^ 31 }

// reader reads words of ABI-encoded data without trusting any offset in it.
type reader []byte

// word returns the word at an offset.
func (r reader) word(at int) (w word, err error) {
	if at < 0 || at > len(r)-32 {
		return w, errABI
	}
	copy(w[:], r[at:])
	return w, nil
}

// int returns the word at an offset as a number that can be a length of data.
func (r reader) int(at int) (int, error) {
	w, err := r.word(at)
	if err != nil || [28]byte(w[:28]) != [28]byte{} {
		return 0, errABI
	}
	n := binary.BigEndian.Uint32(w[28:])
	if int64(n) > int64(len(r)) {
		return 0, errABI
	}
	return int(n), nil
}

// bytes returns the dynamic bytes to which the word at an offset points.
func (r reader) bytes(at int) ([]byte, error) {
	start, err := r.int(at)
	if err != nil {
		return nil, err
	}
	n, err := r.int(start)
	if err != nil || n > len(r)-32-start {
		return nil, errABI
	}
	return r[start+32 : start+32+n], nil
}

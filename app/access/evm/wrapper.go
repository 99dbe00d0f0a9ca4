package evm

import (
	"bytes"

	"streamgate/app/access/eth"
)

// wrapper is a signature with what makes or prepares its wallet (ERC-6492).
type wrapper struct {
	factory   eth.Address // zero: nothing to prepare
	prepare   []byte      // the call to the factory
	signature []byte      // what the wallet is asked about
}

// suffix6492 ends a wrapped signature.
func suffix6492() []byte { return bytes.Repeat([]byte{0x64, 0x92}, 16) }

// unwrap6492 reads a wrapped signature: the ABI encoding of (address factory,
// bytes factoryCalldata, bytes signature), then the suffix. One without the
// suffix is returned as it is.
func unwrap6492(signature []byte) (w wrapper, wrapped bool, err error) {
	body, wrapped := bytes.CutSuffix(signature, suffix6492())
	if !wrapped {
		return wrapper{signature: signature}, false, nil
	}
	r := reader(body)
	factory, err := r.word(0)
	if err != nil {
		return w, true, err
	}
	var ok bool
	if w.factory, ok = factory.address(); !ok || w.factory == (eth.Address{}) {
		return w, true, errABI
	}
	if w.prepare, err = r.bytes(32); err != nil {
		return w, true, err
	}
	w.signature, err = r.bytes(64)
	return w, true, err
}

package evm_test

import (
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/app/access/eth"
	"streamgate/cmd/devchain/devnet"
)

// personal is the EIP-191 hash of a personal message.
func personal(message string) [32]byte {
	return crypto.Keccak256Hash([]byte("\x19Ethereum Signed Message:\n"+big.NewInt(int64(len(message))).String()), []byte(message))
}

// compact is a signature in the 64 bytes of EIP-2098.
func compact(signature []byte) []byte {
	short := slices.Clone(signature[:64])
	if signature[64] == 28 {
		short[32] |= 0x80
	}
	return short
}

// mirrored is the other signature of the same key that anybody can compute.
func mirrored(signature []byte) []byte {
	high := slices.Clone(signature)
	s := new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(signature[32:64]))
	s.FillBytes(high[32:64])
	high[64] = 27 + 28 - high[64]
	return high
}

func withV(signature []byte, v byte) []byte {
	other := slices.Clone(signature)
	other[64] = v
	return other
}

func TestSignatures(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	hash, salt := personal("I watch"), [32]byte{1}
	good := made(n.Holder.Sign(hash))(t)
	other := made(n.Holder.Sign(personal("I watch too")))(t)
	stranger := made(n.Stranger.Sign(hash))(t)
	holder := n.Holder.Address

	deployed := made(n.DeployWallet(ctx, holder, [32]byte{}))(t)
	undeployed := made(n.WalletAddress(holder, salt))(t)
	wrapped := func(s []byte) []byte { return made(n.Counterfactual(holder, salt, s))(t) }
	wrappedDeployed := made(n.Counterfactual(holder, [32]byte{}, good))(t)
	anotherSalt := made(n.Counterfactual(holder, [32]byte{9}, good))(t)
	burner := made(n.Hostile(ctx, devnet.Burns))(t)
	burning := made(devnet.Wrap6492(burner, []byte{1}, good))(t)
	reverting := made(devnet.Wrap6492(made(n.Hostile(ctx, devnet.Reverts))(t), []byte{1}, good))(t)
	noFactory := made(devnet.Wrap6492(common.Address{}, []byte{1}, good))(t)
	noContract := made(devnet.Wrap6492(common.Address{0x55}, []byte{1}, good))(t)
	suffix := wrapped(good)[len(wrapped(good))-32:]
	badOffset := wrapped(good)
	badOffset[63] = 0xff // where the call to the factory would start
	badOffset[40] = 0xff
	zeroR := append(make([]byte, 32), good[32:]...)
	zeroS := append(append(slices.Clone(good[:32]), make([]byte, 32)...), good[64])
	overN := append(append(slices.Clone(good[:32]), crypto.S256().Params().N.Bytes()...), good[64])

	cases := []struct {
		name      string
		signer    common.Address
		signature []byte
		ok        bool
	}{
		{"key", holder, good, true},
		{"key, v of 0 or 1", holder, withV(good, good[64]-27), true},
		{"key, 64 bytes", holder, compact(good), true},
		{"wallet", deployed, good, true},
		{"wallet, wrapped though it is there", deployed, wrappedDeployed, true},
		{"wallet that is not there yet", undeployed, wrapped(good), true},

		{"another's key", n.Stranger.Address, good, false},
		{"another message", holder, other, false},
		{"another message, 64 bytes", holder, compact(other), false},
		{"high s", holder, mirrored(good), false},
		{"high s, wallet", deployed, mirrored(good), false},
		{"nothing", holder, nil, false},
		{"nothing, wallet", deployed, nil, false},
		{"one byte", holder, good[:1], false},
		{"63 bytes", holder, good[:63], false},
		{"64 of 65 bytes, another parity", holder, flipParity(compact(good)), false},
		{"66 bytes", holder, append(slices.Clone(good), 0), false},
		{"v of 2", holder, withV(good, 2), false},
		{"v of 26", holder, withV(good, 26), false},
		{"v of 29", holder, withV(good, 29), false},
		{"v of EIP-155", holder, withV(good, good[64]+10), false},
		{"the other v", holder, withV(good, 27+28-good[64]), false},
		{"r of zero", holder, zeroR, false},
		{"s of zero", holder, zeroS, false},
		{"s of the order", holder, overN, false},
		{"zeros", holder, make([]byte, 65), false},
		{"zeros for the zero address", common.Address{}, make([]byte, 65), false},
		{"too long", holder, make([]byte, 17<<10), false},
		{"wallet, another's key", deployed, stranger, false},
		{"wallet, another message", deployed, other, false},
		{"wallet not there, not wrapped", undeployed, good, false},
		{"wallet not there, another's key", undeployed, wrapped(stranger), false},
		{"wallet not there, another message", undeployed, wrapped(other), false},
		{"wallet not there, another salt", undeployed, anotherSalt, false},
		{"wrapped for a key", holder, wrapped(good), false},
		{"wrapped without a factory", undeployed, noFactory, false},
		{"wrapped with a factory that is none", undeployed, noContract, false},
		{"wrapped with a factory that burns gas", undeployed, burning, false},
		{"wrapped with a factory that reverts", undeployed, reverting, false},
		{"the suffix alone", holder, suffix, false},
		{"the suffix behind a key's", holder, append(slices.Clone(good), suffix...), false},
		{"wrapped with a bad offset", undeployed, badOffset, false},
		{"wrapped and cut", undeployed, append(slices.Clone(wrapped(good)[:100]), suffix...), false},
		{"wrapped twice", undeployed, wrapped(wrapped(good)), false},
	}
	for name, mode := range map[string]devnet.HostileMode{
		"reverts": devnet.Reverts, "rubbish": devnet.Rubbish, "burns gas": devnet.Burns, "answers too much": devnet.Bomb,
		"says nothing": devnet.Silent, "says 1": devnet.Yes, "dirty magic": devnet.DirtyMagic,
		"short magic": devnet.ShortMagic, "long magic": devnet.LongMagic,
	} {
		cases = append(cases, struct {
			name      string
			signer    common.Address
			signature []byte
			ok        bool
		}{"wallet that " + name, made(n.Hostile(ctx, mode))(t), good, false})
	}
	chains := newChains(t, configOf(n, n.URL))
	for _, c := range cases {
		err := chains.VerifySignature(ctx, n.ChainID, at(c.signer), hash, c.signature)
		if c.ok && err != nil || !c.ok && !errors.Is(err, eth.ErrSignature) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if len(cases) < 45 {
		t.Errorf("only %d cases", len(cases))
	}

	t.Run("once it is there", func(t *testing.T) {
		_ = made(n.DeployWallet(ctx, holder, salt))(t)
		must(t, chains.VerifySignature(ctx, n.ChainID, at(undeployed), hash, good))
		must(t, chains.VerifySignature(ctx, n.ChainID, at(undeployed), hash, wrapped(good)))
	})
}

func flipParity(short []byte) []byte {
	short[32] ^= 0x80
	return short
}

// TestVectors2098 are the test cases of EIP-2098.
func TestVectors2098(t *testing.T) {
	n := newNet(t)
	chains := newChains(t, configOf(n, n.URL))
	key := made(crypto.HexToECDSA("1234567890123456789012345678901234567890123456789012345678901234"))(t)
	signer := crypto.PubkeyToAddress(key.PublicKey)
	for message, short := range map[string]string{
		"Hello World":            "68a020a209d3d56c46f38cc50a33f704f4a9a10a59377f8dd762ac66910e9b90" + "7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064",
		"It's a small(er) world": "9328da16089fcba9bececa81663203989f2df5fe1faa6291a45381c81bd17f76" + "939c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793",
	} {
		signature := made(hex.DecodeString(short))(t)
		if err := chains.VerifySignature(t.Context(), n.ChainID, at(signer), personal(message), signature); err != nil {
			t.Errorf("%s: %v", message, err)
		}
	}
}

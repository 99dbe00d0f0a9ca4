// Package ethtest helps tests of what stands on package eth: addresses with names,
// and chains that are a table of balances.
package ethtest

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/app/access/eth"
)

// Addresses for tests: two contracts, three wallets, and nobody's.
const (
	NFT   = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
	Coin  = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
	Alice = "0x52908400098527886E0F7030069857D2E4169EE7"
	Bob   = "0x8617E340B3D01FA5F11F306F4090FD50E238070D"
	Cold  = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
	Zero  = "0x0000000000000000000000000000000000000000"
)

// Fill writes the addresses for their names in capitals, such as NFT, in a rule.
func Fill(text string) string {
	return strings.NewReplacer("NFT", NFT, "COIN", Coin, "ALICE", Alice, "BOB", Bob, "COLD", Cold, "ZERO", Zero).Replace(text)
}

// Addr reads an address.
func Addr(t testing.TB, text string) eth.Address {
	t.Helper()
	a, err := eth.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Chains is a table of balances. It fails when told to, and reads can be
// held up.
type Chains struct {
	Mu       sync.Mutex
	ids      []uint64
	Block    uint64
	amounts  map[string]int64
	problems map[string]string
	Err      error
	Reads    int
	Asked    int
	Gate     chan struct{} // if not nil, a read waits for a value from it
	Short    bool          // one answer is left out
	Stumbles int           // so many readings fail
}

var _ eth.Chains = (*Chains)(nil)

// NewChains returns the chains 1 and 10, at block 100, where nobody has anything.
func NewChains() *Chains {
	return &Chains{ids: []uint64{1, 10}, Block: 100, amounts: map[string]int64{}, problems: map[string]string{}}
}

// Set says how much a question is answered with from now on.
func (f *Chains) Set(chain uint64, q eth.Question, amount int64) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.amounts[key(chain, q)] = amount
}

// IDs implements eth.Chains.
func (f *Chains) IDs() []uint64 { return f.ids }

func (f *Chains) known(chain uint64) error {
	for _, id := range f.ids {
		if id == chain {
			return f.Err
		}
	}
	return fmt.Errorf("chain %d: %w", chain, eth.ErrChainUnknown)
}

// Read implements eth.Chains.
func (f *Chains) Read(ctx context.Context, chain uint64, questions []eth.Question) (eth.Reading, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Reads++
	f.Asked += len(questions)
	if err := f.known(chain); err != nil {
		return eth.Reading{}, err
	}
	if f.Stumbles > 0 {
		f.Stumbles--
		return eth.Reading{}, eth.ErrChainUnreachable
	}
	r := eth.Reading{Block: eth.Block{Number: f.Block}, Source: "fake"}
	for _, q := range questions {
		key := key(chain, q)
		r.Answers = append(r.Answers, eth.Answer{Amount: big.NewInt(f.amounts[key]), Problem: f.problems[key]})
	}
	if f.Short {
		r.Answers = r.Answers[1:]
	}
	if gate := f.Gate; gate != nil {
		f.Mu.Unlock()
		select {
		case <-gate:
		case <-ctx.Done():
		}
		f.Mu.Lock()
	}
	return r, nil
}

// VerifySignature recovers a key's own signature.
func (f *Chains) VerifySignature(_ context.Context, chain uint64, signer eth.Address, hash [32]byte, signature []byte) error {
	if err := f.known(chain); err != nil {
		return err
	}
	if len(signature) != 65 || signature[64] < 27 {
		return eth.ErrSignature
	}
	sig := append([]byte(nil), signature...)
	sig[64] -= 27
	key, err := crypto.SigToPub(hash[:], sig)
	if err != nil || eth.Address(crypto.PubkeyToAddress(*key)) != signer {
		return eth.ErrSignature
	}
	return nil
}

// Head implements eth.Chains.
func (f *Chains) Head(context.Context, uint64) (eth.Block, error) {
	return eth.Block{Number: f.Block}, nil
}

// Follow implements eth.Chains: the head alone.
func (f *Chains) Follow(context.Context, uint64, uint64, []eth.Address) (eth.Followed, error) {
	return eth.Followed{Head: eth.Block{Number: f.Block}}, nil
}

// Ancestors implements eth.Chains: any blocks are.
func (f *Chains) Ancestors(_ context.Context, _ uint64, _ eth.Block, numbers ...uint64) (list []eth.Block, err error) {
	for _, n := range numbers {
		list = append(list, eth.Block{Number: n})
	}
	return list, nil
}

// Transfers implements eth.Chains: there are none.
func (f *Chains) Transfers(context.Context, uint64, uint64, eth.Block, []eth.Address) ([]eth.Transfer, error) {
	return nil, nil
}

// key names a question of a chain.
func key(chain uint64, q eth.Question) string { return fmt.Sprintf("%d %+v", chain, q) }

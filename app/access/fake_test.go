package access

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
)

// fakeChains is a table of balances. It fails when told to, and reads can be
// held up.
type fakeChains struct {
	mu       sync.Mutex
	ids      []uint64
	block    uint64
	amounts  map[FactKey]int64
	problems map[FactKey]string
	err      error
	reads    int
	asked    int
	gate     chan struct{} // if not nil, a read waits for a value from it
	short    bool          // one answer is left out
	stumbles int           // so many readings fail
}

var _ Chains = (*fakeChains)(nil)

func newFakeChains() *fakeChains {
	return &fakeChains{ids: []uint64{1, 10}, block: 100, amounts: map[FactKey]int64{}, problems: map[FactKey]string{}}
}

func (f *fakeChains) set(chain uint64, q Question, amount int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.amounts[keyOf(chain, q)] = amount
}

func (f *fakeChains) IDs() []uint64 { return f.ids }

func (f *fakeChains) known(chain uint64) error {
	for _, id := range f.ids {
		if id == chain {
			return f.err
		}
	}
	return fmt.Errorf("chain %d: %w", chain, ErrChainUnknown)
}

func (f *fakeChains) Read(ctx context.Context, chain uint64, questions []Question) (Reading, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	f.asked += len(questions)
	if err := f.known(chain); err != nil {
		return Reading{}, err
	}
	if f.stumbles > 0 {
		f.stumbles--
		return Reading{}, ErrChainUnreachable
	}
	r := Reading{Block: Block{Number: f.block}, Source: "fake"}
	for _, q := range questions {
		key := keyOf(chain, q)
		r.Answers = append(r.Answers, Answer{Amount: big.NewInt(f.amounts[key]), Problem: f.problems[key]})
	}
	if f.short {
		r.Answers = r.Answers[1:]
	}
	if gate := f.gate; gate != nil {
		f.mu.Unlock()
		select {
		case <-gate:
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
	return r, nil
}

// VerifySignature recovers a key's own signature.
func (f *fakeChains) VerifySignature(_ context.Context, chain uint64, signer Address, hash [32]byte, signature []byte) error {
	if err := f.known(chain); err != nil {
		return err
	}
	if len(signature) != 65 || signature[64] < 27 {
		return ErrSignature
	}
	sig := append([]byte(nil), signature...)
	sig[64] -= 27
	key, err := crypto.SigToPub(hash[:], sig)
	if err != nil || Address(crypto.PubkeyToAddress(*key)) != signer {
		return ErrSignature
	}
	return nil
}

func (f *fakeChains) Head(context.Context, uint64) (Block, error) { return Block{Number: f.block}, nil }

func (f *fakeChains) Follow(context.Context, uint64, uint64, []Address) (Followed, error) {
	return Followed{Head: Block{Number: f.block}}, nil
}

func (f *fakeChains) Ancestors(_ context.Context, _ uint64, _ Block, numbers ...uint64) (list []Block, err error) {
	for _, n := range numbers {
		list = append(list, Block{Number: n})
	}
	return list, nil
}

func (f *fakeChains) Transfers(context.Context, uint64, uint64, Block, []Address) ([]Transfer, error) {
	return nil, nil
}

func TestDeny(t *testing.T) {
	r := NewFactReader(FactsConfig{Chains: Deny{}})
	rule := parse(t, `{"any":[{"erc721":{"chain":1,"contract":"NFT"}},{"not":{"native":{"chain":7,"min":"1"}}}]}`)
	viewer := Viewer{Wallet: addr(t, alice)}
	d := Decide(rule, viewer, r.Facts(t.Context(), Questions(rule, viewer)), Policy{}, time.Now())
	if d.Admit || d.Reason != ReasonChainUnknown || len(Deny{}.IDs()) != 0 {
		t.Errorf("%+v", d)
	}
	for name, err := range map[string]error{
		"signature": Deny{}.VerifySignature(t.Context(), 1, Address{}, [32]byte{}, nil),
		"head":      second(Deny{}.Head(t.Context(), 1)),
		"follow":    second(Deny{}.Follow(t.Context(), 1, 1, nil)),
		"ancestors": second(Deny{}.Ancestors(t.Context(), 1, Block{}, 1)),
		"transfers": second(Deny{}.Transfers(t.Context(), 1, 1, Block{Number: 2}, nil)),
	} {
		if !errors.Is(err, ErrChainUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

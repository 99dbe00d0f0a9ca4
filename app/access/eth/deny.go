package eth

import (
	"context"
	"fmt"
)

// Deny is Chains where no chain is configured: it knows none, so that every
// rule which needs one stays shut.
type Deny struct{}

var _ Chains = Deny{}

// IDs implements Chains: there are none.
func (Deny) IDs() []uint64 { return nil }

// Read implements Chains: ErrChainUnknown.
func (Deny) Read(_ context.Context, chain uint64, _ []Question) (Reading, error) {
	return Reading{}, denied(chain)
}

// VerifySignature implements Chains: ErrChainUnknown.
func (Deny) VerifySignature(_ context.Context, chain uint64, _ Address, _ [32]byte, _ []byte) error {
	return denied(chain)
}

// Head implements Chains: ErrChainUnknown.
func (Deny) Head(_ context.Context, chain uint64) (Block, error) { return Block{}, denied(chain) }

// Follow implements Chains: ErrChainUnknown.
func (Deny) Follow(_ context.Context, chain uint64, _ uint64, _ []Address) (Followed, error) {
	return Followed{}, denied(chain)
}

// Ancestors implements Chains: ErrChainUnknown.
func (Deny) Ancestors(_ context.Context, chain uint64, _ Block, _ ...uint64) ([]Block, error) {
	return nil, denied(chain)
}

// Transfers implements Chains: ErrChainUnknown.
func (Deny) Transfers(_ context.Context, chain uint64, _ uint64, _ Block, _ []Address) ([]Transfer, error) {
	return nil, denied(chain)
}

func denied(chain uint64) error { return fmt.Errorf("chain %d: %w", chain, ErrChainUnknown) }

package rules

import (
	"math/big"
	"streamgate/app/access/eth"
	"time"
)

// MaxVaults is how many cold wallets one viewer may speak for.
const MaxVaults = 4

// Viewer is who wants to watch, as far as it is known.
type Viewer struct {
	// Wallet has signed in; zero if none has.
	Wallet eth.Address
	// Vaults are the cold wallets for which Wallet says it acts; each counts
	// where the delegate registry confirms it. Those over MaxVaults are ignored.
	Vaults []eth.Address
	// Proofs are the outcomes of the passwords and codes that were entered, by
	// ProofKey.
	Proofs map[string]Proof
	// Earlier is the Memory of the viewer's last decision.
	Earlier map[string]Earlier
}

// Proof is the outcome of a password or a ticket code.
type Proof string

// The outcomes.
const (
	ProofGood  Proof = "good"
	ProofWrong Proof = "wrong"
	ProofUsed  Proof = "used" // a ticket code without a use left
)

// ProofKey names the leaf in Viewer.Proofs.
func (c *TicketCode) ProofKey() string { return string(KindTicketCode) + ":" + c.Pool }

// Need is a question, and the amount from which the answer helps.
type Need struct {
	eth.Question
	Min *big.Int // ≥ 1
}

// FactKey names a fact about a chain.
type FactKey struct {
	Chain                   uint64
	Fact                    eth.Fact
	Contract, Holder, Vault eth.Address
	ID                      [32]byte // big endian
}

// KeyOf names the fact that a question of a chain asks for.
func KeyOf(chain uint64, q eth.Question) FactKey {
	k := FactKey{Chain: chain, Fact: q.Fact, Contract: q.Contract, Holder: q.Holder, Vault: q.Vault}
	if q.ID != nil && q.ID.Sign() >= 0 && q.ID.BitLen() <= 256 {
		q.ID.FillBytes(k.ID[:])
	}
	return k
}

// FactValue is what is known of a fact.
type FactValue struct {
	eth.Answer
	Block  uint64    // read at
	Read   time.Time // when
	Source string
	Err    error // why nothing is known: ErrChainUnreachable, ErrChainUnknown
}

// Facts are what is known of chains. What is not in it is not known.
type Facts map[FactKey]FactValue

// Questions lists what must be known of which chain to decide an expanded rule
// about a viewer, each once, in the rule's order. Nobody signed in, nothing to
// ask.
func Questions(rule *Rule, viewer Viewer) map[uint64][]Need {
	out := map[uint64][]Need{}
	at := map[FactKey]int{}
	rule.Leaves(func(leaf *Rule) {
		if leaf.Holding == nil {
			return
		}
		chain := leaf.Holding.Chain
		for _, holder := range viewer.Holders() {
			for _, need := range leaf.needs(holder, viewer.Wallet) {
				key := KeyOf(chain, need.Question)
				i, known := at[key]
				if !known {
					at[key] = len(out[chain])
					out[chain] = append(out[chain], need)
				} else if need.Min.Cmp(out[chain][i].Min) > 0 {
					out[chain][i].Min = need.Min // the harder wish decides how fresh it must be
				}
			}
		}
	})
	return out
}

// Holders are the wallets that may satisfy a rule for the viewer: their own,
// then the vaults, each once.
func (v Viewer) Holders() []eth.Address {
	if v.Wallet.IsZero() {
		return nil
	}
	holders := make([]eth.Address, 1, 1+MaxVaults)
	holders[0] = v.Wallet
next:
	for _, vault := range v.Vaults {
		if vault.IsZero() || len(holders) == cap(holders) {
			continue
		}
		for _, h := range holders {
			if h == vault {
				continue next
			}
		}
		holders = append(holders, vault)
	}
	return holders
}

// needs are the facts by which holder, acting through wallet, may satisfy the
// leaf.
func (r *Rule) needs(holder, wallet eth.Address) []Need {
	h := r.Holding
	var needs []Need
	if holder != wallet {
		needs = append(needs, Need{delegation(h, holder, wallet), one()})
	}
	return append(needs, r.amounts(holder)...)
}

// amounts are the questions about what holder has.
func (r *Rule) amounts(holder eth.Address) []Need {
	h := r.Holding
	q := eth.Question{Contract: h.Contract, Holder: holder}
	switch {
	case r.Kind == KindERC721 && len(h.IDs) > 0:
		needs := make([]Need, len(h.IDs))
		for i, id := range h.IDs {
			q.Fact, q.ID = eth.FactOwner, id
			needs[i] = Need{q, one()}
		}
		return needs
	case r.Kind == KindERC721:
		q.Fact = eth.FactERC721
	case r.Kind == KindERC1155:
		q.Fact, q.ID = eth.FactERC1155, h.IDs[0]
	case r.Kind == KindERC20:
		q.Fact = eth.FactERC20
	default:
		q.Fact = eth.FactNative
	}
	return []Need{{q, h.Min}}
}

// delegation asks whether vault lets wallet act for it. Where there is no
// contract (native), only a delegation for everything counts.
func delegation(h *Holding, vault, wallet eth.Address) eth.Question {
	return eth.Question{Fact: eth.FactDelegate, Contract: h.Contract, Holder: wallet, Vault: vault}
}

func one() *big.Int { return big.NewInt(1) }

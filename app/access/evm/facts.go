package evm

import (
	"fmt"
	"math/big"

	"streamgate/app/access/eth"
)

// Words that an Answer's Problem says.
const (
	problemReverted   = "reverted"
	problemRubbish    = "rubbish"
	problemNoAnswer   = "no answer"
	problemNoContract = "no contract"
	problemTooLong    = "too long an answer"
)

// Interface ids of ERC-165.
const (
	interface721  = "\x80\xac\x58\xcd"
	interface1155 = "\xd9\xb6\x7a\x26"
	interfaceNone = "\xff\xff\xff\xff" // of which a contract must say no
)

// probe is one contract call that a question needs, or the native balance of
// an account if it has no data.
type probe struct {
	to   eth.Address
	data []byte
}

// native says whether the probe asks for the balance of its address.
func (p probe) native() bool { return p.data == nil }

// outcome is what a probe brought: a word, or a problem.
type outcome struct {
	value   word
	problem string
}

// outcomeOf reads the data that a contract returned.
func outcomeOf(data []byte) outcome {
	switch len(data) {
	case 32:
		return outcome{value: word(data)}
	case 0:
		return outcome{problem: problemNoAnswer}
	default:
		return outcome{problem: problemRubbish}
	}
}

// checkQuestion refuses a question that has no encoding.
func checkQuestion(q eth.Question) error {
	switch q.Fact {
	case eth.FactOwner, eth.FactERC1155:
		if q.ID == nil || q.ID.Sign() < 0 || q.ID.BitLen() > 256 {
			return fmt.Errorf("the fact %s needs a token id of at most 256 bits", q.Fact)
		}
	case eth.FactNative, eth.FactERC20, eth.FactERC721, eth.FactIs721, eth.FactIs1155, eth.FactDelegate:
	default:
		return fmt.Errorf("there is no fact %q", q.Fact)
	}
	return nil
}

// probes are the calls that a checked question needs.
func probes(q eth.Question, registry eth.Address) []probe {
	holder := wordOfAddress(q.Holder)
	switch q.Fact {
	case eth.FactNative:
		return []probe{{to: q.Holder}}
	case eth.FactOwner:
		return []probe{{q.Contract, selOwnerOf.pack(wordOfBig(q.ID))}}
	case eth.FactERC1155:
		return []probe{{q.Contract, selBalanceOf1155.pack(holder, wordOfBig(q.ID))}}
	case eth.FactIs721:
		return supports(q.Contract, interface721)
	case eth.FactIs1155:
		return supports(q.Contract, interface1155)
	case eth.FactDelegate:
		vault, contract := wordOfAddress(q.Vault), wordOfAddress(q.Contract)
		return []probe{{registry, selCheckContract.pack(holder, vault, contract, word{})}}
	default: // FactERC20, FactERC721
		return []probe{{q.Contract, selBalanceOf.pack(holder)}}
	}
}

// supports asks for an interface, and for the one that nobody has: whoever
// says yes to both does not know ERC-165.
func supports(contract eth.Address, id string) []probe {
	return []probe{
		{contract, selSupports.pack(wordOfID(id))},
		{contract, selSupports.pack(wordOfID(interfaceNone))},
	}
}

// answer makes a question's answer of what its probes brought.
func answer(q eth.Question, got []outcome) eth.Answer {
	for _, o := range got {
		if o.problem != "" {
			return eth.Answer{Amount: new(big.Int), Problem: o.problem}
		}
	}
	value := got[0].value
	switch q.Fact {
	case eth.FactOwner:
		owner, ok := value.address()
		return yes(ok, ok && owner == q.Holder)
	case eth.FactDelegate:
		said, ok := value.bool()
		return yes(ok, said)
	case eth.FactIs721, eth.FactIs1155:
		said, ok := value.bool()
		none, okNone := got[1].value.bool()
		return yes(ok && okNone && !none, said)
	default:
		return eth.Answer{Amount: new(big.Int).SetBytes(value[:])}
	}
}

// yes is the answer to a yes-or-no question; not understood is no.
func yes(understood, said bool) eth.Answer {
	switch {
	case !understood:
		return eth.Answer{Amount: new(big.Int), Problem: problemRubbish}
	case said:
		return eth.Answer{Amount: big.NewInt(1)}
	default:
		return eth.Answer{Amount: new(big.Int)}
	}
}

// bool is the word's truth; only 0 and 1 have one.
func (w *word) bool() (truth, ok bool) {
	return *w == wordOfInt(1), *w == wordOfInt(1) || *w == word{}
}

package evm_test

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/cmd/devchain/devnet"
)

func at(a common.Address) eth.Address { return eth.Address(a) }

// holdings gives the demo accounts something of everything.
func holdings(t *testing.T, n *devnet.Net) (token *big.Int) {
	t.Helper()
	ctx := t.Context()
	token = made(n.Mint721(ctx, n.Holder.Address))(t)
	must(t, n.Mint721ID(ctx, n.Holder.Address, big.NewInt(900)))
	must(t, n.Mint1155(ctx, n.Holder.Address, big.NewInt(7), big.NewInt(3)))
	must(t, n.Mint20(ctx, n.Holder.Address, big.NewInt(1_000_000)))
	must(t, n.DelegateAll(ctx, n.Vault, n.Hot.Address, true))
	must(t, n.DelegateContract(ctx, n.Vault, n.Buyer.Address, n.NFT, true))
	must(t, n.Pay(ctx, n.Holder, common.Address{0x77}, big.NewInt(12345)))
	return token
}

func TestFacts(t *testing.T) {
	n := newNet(t)
	token := holdings(t, n)
	hostile := map[devnet.HostileMode]eth.Address{}
	for _, m := range []devnet.HostileMode{devnet.Reverts, devnet.Rubbish, devnet.Burns, devnet.Bomb, devnet.Silent, devnet.Yes} {
		hostile[m] = at(made(n.Hostile(t.Context(), m))(t))
	}
	holder, stranger := at(n.Holder.Address), at(n.Stranger.Address)
	nft, edition, coin := at(n.NFT), at(n.Edition), at(n.Coin)
	max := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	type q = eth.Question
	cases := []struct {
		name     string
		question q
		amount   string
		problem  string
	}{
		{"native", q{Fact: eth.FactNative, Holder: eth.Address{0x77}}, "12345", ""},
		{"native of nobody", q{Fact: eth.FactNative, Holder: eth.Address{0x78}}, "0", ""},
		{"erc20", q{Fact: eth.FactERC20, Contract: coin, Holder: holder}, "1000000", ""},
		{"erc20 of a stranger", q{Fact: eth.FactERC20, Contract: coin, Holder: stranger}, "0", ""},
		{"erc721", q{Fact: eth.FactERC721, Contract: nft, Holder: holder}, "2", ""},
		{"erc721 of a stranger", q{Fact: eth.FactERC721, Contract: nft, Holder: stranger}, "0", ""},
		{"owner", q{Fact: eth.FactOwner, Contract: nft, Holder: holder, ID: token}, "1", ""},
		{"not the owner", q{Fact: eth.FactOwner, Contract: nft, Holder: stranger, ID: token}, "0", ""},
		{"owner of no token", q{Fact: eth.FactOwner, Contract: nft, Holder: holder, ID: big.NewInt(404)}, "0", "reverted"},
		{"owner of the last token", q{Fact: eth.FactOwner, Contract: nft, Holder: holder, ID: max}, "0", "reverted"},
		{"erc1155", q{Fact: eth.FactERC1155, Contract: edition, Holder: holder, ID: big.NewInt(7)}, "3", ""},
		{"erc1155, another id", q{Fact: eth.FactERC1155, Contract: edition, Holder: holder, ID: big.NewInt(8)}, "0", ""},
		{"an ERC-721 is one", q{Fact: eth.FactIs721, Contract: nft}, "1", ""},
		{"an ERC-721 is no ERC-1155", q{Fact: eth.FactIs1155, Contract: nft}, "0", ""},
		{"an ERC-1155 is one", q{Fact: eth.FactIs1155, Contract: edition}, "1", ""},
		{"an ERC-1155 is no ERC-721", q{Fact: eth.FactIs721, Contract: edition}, "0", ""},
		{"an ERC-20 says nothing", q{Fact: eth.FactIs721, Contract: coin}, "0", "reverted"},
		{"who says yes to all is none", q{Fact: eth.FactIs721, Contract: hostile[devnet.Yes]}, "0", "rubbish"},
		{"delegate everywhere", q{Fact: eth.FactDelegate, Contract: edition, Vault: at(n.Vault.Address), Holder: at(n.Hot.Address)}, "1", ""},
		{"delegate at a contract", q{Fact: eth.FactDelegate, Contract: nft, Vault: at(n.Vault.Address), Holder: at(n.Buyer.Address)}, "1", ""},
		{"delegate elsewhere", q{Fact: eth.FactDelegate, Contract: edition, Vault: at(n.Vault.Address), Holder: at(n.Buyer.Address)}, "0", ""},
		{"no delegate", q{Fact: eth.FactDelegate, Contract: nft, Vault: holder, Holder: stranger}, "0", ""},
		{"no contract", q{Fact: eth.FactERC721, Contract: eth.Address{9}, Holder: holder}, "0", "no contract"},
		{"reverts", q{Fact: eth.FactERC721, Contract: hostile[devnet.Reverts], Holder: holder}, "0", "reverted"},
		{"burns gas", q{Fact: eth.FactERC721, Contract: hostile[devnet.Burns], Holder: holder}, "0", "reverted"},
		{"answers too much", q{Fact: eth.FactERC721, Contract: hostile[devnet.Bomb], Holder: holder}, "0", "rubbish"},
		{"answers nothing", q{Fact: eth.FactERC721, Contract: hostile[devnet.Silent], Holder: holder}, "0", "no answer"},
		{"an owner that is no address", q{Fact: eth.FactOwner, Contract: hostile[devnet.Rubbish], Holder: holder, ID: token}, "0", "rubbish"},
		{"a delegation that is no truth", q{Fact: eth.FactIs721, Contract: hostile[devnet.Rubbish]}, "0", "rubbish"},
	}
	questions := make([]eth.Question, len(cases))
	for i, c := range cases {
		questions[i] = c.question
	}
	check := func(t *testing.T, reading eth.Reading, first int) {
		t.Helper()
		for i, got := range reading.Answers {
			want := cases[first+i]
			if got.Amount == nil || got.Amount.String() != want.amount || got.Problem != want.problem {
				t.Errorf("%s: %v %q, want %s %q", want.name, got.Amount, got.Problem, want.amount, want.problem)
			}
		}
	}
	header := made(n.Eth().HeaderByNumber(t.Context(), nil))(t)
	noMulticall := configOf(n, n.URL)
	noMulticall.Multicall = eth.Address{1, 2, 3}
	small := configOf(n, newProxy(t, n, noBatchGas).URL)
	for name, cfg := range map[string]evm.ChainConfig{
		"multicall": configOf(n, n.URL), "batch": noMulticall, "an endpoint with a small gas cap": small,
	} {
		t.Run(name, func(t *testing.T) {
			chains := newChains(t, cfg)
			reading := made(chains.Read(t.Context(), n.ChainID, questions))(t)
			if reading.Block.Hash != [32]byte(header.Hash()) || reading.Block.Parent != [32]byte(header.ParentHash) ||
				reading.Block.Number != header.Number.Uint64() || reading.Block.Time.Unix() != int64(header.Time) {
				t.Errorf("read at %+v, the head is %v", reading.Block, header.Number)
			}
			if !strings.HasPrefix(reading.Source, "127.0.0.1:") || len(reading.Answers) != len(cases) {
				t.Fatalf("%d answers of %q", len(reading.Answers), reading.Source)
			}
			check(t, reading, 0)
		})
	}
	t.Run("one by one", func(t *testing.T) {
		chains := newChains(t, configOf(n, n.URL))
		for i := range questions {
			check(t, made(chains.Read(t.Context(), n.ChainID, questions[i:i+1]))(t), i)
		}
	})
	t.Run("burners before others", func(t *testing.T) {
		burner := eth.Question{Fact: eth.FactERC721, Contract: hostile[devnet.Burns], Holder: holder}
		mixed := append([]eth.Question{burner, burner, burner}, questions...)
		reading := made(newChains(t, configOf(n, n.URL)).Read(t.Context(), n.ChainID, mixed))(t)
		reading.Answers = reading.Answers[3:]
		check(t, reading, 0)
	})
	t.Run("many", func(t *testing.T) {
		many := make([]eth.Question, 500)
		for i := range many {
			many[i] = cases[i%4].question
		}
		for name, cfg := range map[string]evm.ChainConfig{"multicall": configOf(n, n.URL), "batch": noMulticall} {
			reading := made(newChains(t, cfg).Read(t.Context(), n.ChainID, many))(t)
			for i, a := range reading.Answers {
				if a.Amount.String() != cases[i%4].amount {
					t.Fatalf("%s: answer %d is %v", name, i, a)
				}
			}
		}
	})
}

func TestQuestionsThatAreNone(t *testing.T) {
	chains := newChains(t, evm.ChainConfig{ID: 1, URLs: []string{"http://127.0.0.1:1"}})
	for name, q := range map[string]eth.Question{
		"no fact":           {},
		"owner without id":  {Fact: eth.FactOwner},
		"a negative id":     {Fact: eth.FactERC1155, ID: big.NewInt(-1)},
		"an id of 257 bits": {Fact: eth.FactOwner, ID: new(big.Int).Lsh(big.NewInt(1), 256)},
	} {
		_, err := chains.Read(t.Context(), 1, []eth.Question{q})
		if err == nil || errors.Is(err, eth.ErrChainUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := chains.Read(t.Context(), 1, make([]eth.Question, 2001)); err == nil || errors.Is(err, eth.ErrChainUnreachable) {
		t.Errorf("2001 questions: %v", err)
	}
}

func TestUnknownChain(t *testing.T) {
	chains := newChains(t, evm.ChainConfig{ID: 5, URLs: []string{"http://127.0.0.1:1"}})
	ctx := t.Context()
	_, err1 := chains.Read(ctx, 1, nil)
	_, err2 := chains.Head(ctx, 1)
	_, err3 := chains.Ancestors(ctx, 1, eth.Block{Number: 1}, 0)
	_, err4 := chains.Transfers(ctx, 1, 1, eth.Block{Number: 2}, []eth.Address{{1}})
	err5 := chains.VerifySignature(ctx, 1, eth.Address{}, [32]byte{}, nil)
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if !errors.Is(err, eth.ErrChainUnknown) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if ids := fmt.Sprint(chains.IDs()); ids != "[5]" {
		t.Errorf("ids %s", ids)
	}
}

func TestConfirmations(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	cfg := configOf(n, n.URL)
	cfg.Confirmations = 3
	chains := newChains(t, cfg)
	if b := made(chains.Head(ctx, n.ChainID))(t); b.Number != 0 {
		t.Fatalf("a young chain's head is %d", b.Number)
	}
	must(t, n.Mine(ctx, 5))
	_ = made(n.Mint721(ctx, n.Holder.Address))(t)
	q := []eth.Question{{Fact: eth.FactERC721, Contract: at(n.NFT), Holder: at(n.Holder.Address)}}
	for _, want := range []int64{0, 0, 0, 1, 1} {
		newest := made(n.Head(ctx))(t)
		head := made(chains.Head(ctx, n.ChainID))(t)
		reading := made(chains.Read(ctx, n.ChainID, q))(t)
		if head.Number != newest-3 || reading.Block != head || reading.Answers[0].Amount.Int64() != want {
			t.Fatalf("at %d of %d: %v, want %d", reading.Block.Number, newest, reading.Answers[0], want)
		}
		must(t, n.Mine(ctx, 1))
	}
}

func TestReorg(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	chains := newChains(t, configOf(n, n.URL))
	q := []eth.Question{{Fact: eth.FactERC721, Contract: at(n.NFT), Holder: at(n.Holder.Address)}}
	id := made(n.Mint721(ctx, n.Holder.Address))(t)
	must(t, n.Transfer721(ctx, n.Holder, n.Buyer.Address, id))
	sold := made(chains.Read(ctx, n.ChainID, q))(t)
	must(t, n.Reorg(ctx, 1))
	back := made(chains.Read(ctx, n.ChainID, q))(t)
	if sold.Answers[0].Amount.Sign() != 0 || back.Answers[0].Amount.Int64() != 1 {
		t.Fatalf("sold %v, back %v", sold.Answers, back.Answers)
	}
	list := made(chains.Ancestors(ctx, n.ChainID, back.Block, sold.Block.Number, 0, back.Block.Number))(t)
	if len(list) != 3 || list[0].Hash == sold.Block.Hash || list[0].Parent != sold.Block.Parent || list[1].Number != 0 || list[2] != back.Block {
		t.Errorf("ancestors %v", list)
	}
	for name, head := range map[string]eth.Block{"one that was undone": sold.Block, "one that is not there": {Number: 10_000}} {
		if _, err := chains.Ancestors(ctx, n.ChainID, head, 1); !errors.Is(err, eth.ErrChainUnreachable) {
			t.Errorf("ancestors of %s: %v", name, err)
		}
	}
	must(t, n.Mine(ctx, 120)) // more than one request carries
	head := made(chains.Head(ctx, n.ChainID))(t)
	numbers := make([]uint64, head.Number)
	for i := range numbers {
		numbers[i] = uint64(i)
	}
	for i, b := range made(chains.Ancestors(ctx, n.ChainID, head, numbers...))(t) {
		if b.Number != uint64(i) {
			t.Fatalf("block %d instead of %d", b.Number, i)
		}
	}
}

// TestAncestorsOfOneBranch: an endpoint that is on another branch says nothing
// of this one.
func TestAncestorsOfOneBranch(t *testing.T) {
	n := newNet(t)
	ctx := t.Context()
	must(t, n.Mine(ctx, 3))
	forger, honest := newProxy(t, n, forger), newProxy(t, n, honest)
	head := made(newChains(t, configOf(n, honest.URL)).Head(ctx, n.ChainID))(t)
	chains := newChains(t, configOf(n, forger.URL, honest.URL))
	if b := made(chains.Ancestors(ctx, n.ChainID, head, head.Number-1))(t)[0]; b.Hash != head.Parent {
		t.Errorf("the parent is %x", b.Hash)
	}
}

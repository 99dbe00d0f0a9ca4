// Package evm asks EVM chains over JSON-RPC: who holds what, who signed, what
// was transferred. It implements eth.Chains.
//
// # What
//
// Chains has one chain for each configured id (chain.go), and that several
// endpoints (endpoint.go), each with a circuit breaker, a request budget and a
// time-out. Facts become contract calls (facts.go), read together at one block
// (batch.go). Signatures are those of keys (ecdsa.go) and of contract wallets
// (signature.go, ERC-1271 and ERC-6492). Transfers come from logs (logs.go), and
// along with the head where that is possible (follow.go). Check tries endpoints
// for all of that (check.go).
//
// # Usage
//
//	chains, err := evm.New(evm.Config{Chains: []evm.ChainConfig{{ID: 1, URLs: urls}}, Metrics: reg, Log: log})
//	reading, err := chains.Read(ctx, 1, questions)
//
// # Guarantees
//
// With a quorum of 1 an endpoint that answers is believed, those with the newest
// block being asked first; with k, only what k endpoints say alike about one and
// the same block. An endpoint on another chain is never believed. All answers of
// a Reading are of one block, named by its hash. A contract that reverts, burns
// gas, or answers rubbish or too much is an answer about that contract and no
// fault of the endpoint, so that nobody's contract can shut the chain for
// others. What cannot be answered is eth.ErrChainUnreachable, never a guess.
// An endpoint that takes no batches or small ones, that refuses for the number
// of requests, or that knows no block by its hash is used as it is, more slowly
// (send.go, budget.go, batch.go). Requests, responses, batches and time are bounded. URLs, which carry keys, are in no error, log
// or metric: an endpoint is named by its host.
//
// # Testing
//
// On a real development chain, through a proxy that hangs, lies and errs.
package evm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/access/eth"
)

// What ChainConfig's zero values mean.
const (
	DefaultTimeout     = 3 * time.Second
	DefaultCooldown    = 5 * time.Second
	DefaultMaxLogRange = 2000
)

// Where the well-known contracts are on most chains.
const (
	DefaultMulticall        = "0xcA11bde05977b3631167028862bE2a173976CA11" // Multicall3
	DefaultDelegateRegistry = "0x00000000000000447e69651d841bD8D104Bed493" // delegate registry, version 2
)

// maxQuestions bounds one Read.
const maxQuestions = 2000

// Config is what the chains need.
type Config struct {
	Chains  []ChainConfig
	Metrics prometheus.Registerer // nil: no metrics
	Log     *slog.Logger          // nil: no log
	// Share says how many nodes ask the endpoints (and which of them this one is,
	// which does not matter here): each has its part of the budgets. nil: one.
	Share func() (index, of int)
}

// ChainConfig is one chain.
type ChainConfig struct {
	// ID is the chain's id (EIP-155). Required; an endpoint that says another
	// is not used.
	ID uint64
	// Name is for logs and errors; "" means the id.
	Name string
	// URLs of the endpoints, http or https; of those that have the newest block
	// the first is preferred. Required.
	URLs []string
	// Confirmations is how many blocks must be upon a block before it is
	// believed. 0 believes the newest.
	Confirmations uint64
	// Quorum is how many endpoints must say the same; 0 means 1.
	Quorum int
	// Timeout of one request; 0 means DefaultTimeout.
	Timeout time.Duration
	// Cooldown is for how long an endpoint that failed again and again is left
	// alone at first; each time it doubles, to a minute. 0 means
	// DefaultCooldown.
	Cooldown time.Duration
	// MaxRequestsPerSecond is the budget of each endpoint, counted in calls of
	// which a request may carry several. 0 means no limit.
	MaxRequestsPerSecond float64
	// Multicall is the address of Multicall3; zero means DefaultMulticall. If
	// there is no code, calls are sent as JSON-RPC batches.
	Multicall eth.Address
	// DelegateRegistry is the address of the delegate registry; zero means
	// DefaultDelegateRegistry.
	DelegateRegistry eth.Address
	// MaxBlockAge is how old the newest block of an endpoint may be; one that no
	// longer follows the chain would be believed for ever. 0 means no limit.
	MaxBlockAge time.Duration
	// MaxLogRange is how many blocks one request for logs spans at most; 0
	// means DefaultMaxLogRange.
	MaxLogRange uint64
}

// Chains are the configured chains.
type Chains struct {
	chains map[uint64]*chain
}

var _ eth.Chains = (*Chains)(nil)

// New returns the chains. It asks no endpoint.
func New(cfg Config) (*Chains, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	c := &Chains{chains: map[uint64]*chain{}}
	for _, one := range cfg.Chains {
		if c.chains[one.ID] != nil {
			return nil, fmt.Errorf("chain %d is configured twice", one.ID)
		}
		made, err := newChain(one, m, cfg.Log)
		if err != nil {
			return nil, fmt.Errorf("chain %d: %w", one.ID, err)
		}
		c.chains[one.ID] = made
		if cfg.Share == nil {
			continue
		}
		for _, e := range made.endpoints {
			e.budget.nodes = func() int { _, of := cfg.Share(); return of }
		}
	}
	return c, nil
}

// IDs implements eth.Chains.
func (c *Chains) IDs() []uint64 { return slices.Sorted(maps.Keys(c.chains)) }

// Read implements eth.Chains. It reads at the newest block that has the
// configured confirmations.
func (c *Chains) Read(ctx context.Context, chain uint64, questions []eth.Question) (eth.Reading, error) {
	if len(questions) > maxQuestions {
		return eth.Reading{}, fmt.Errorf("%d questions at once; %d is the most", len(questions), maxQuestions)
	}
	for i, q := range questions {
		if err := checkQuestion(q); err != nil {
			return eth.Reading{}, fmt.Errorf("question %d: %w", i, err)
		}
	}
	one, err := c.chain(chain)
	if err != nil {
		return eth.Reading{}, err
	}
	r, err := one.read(ctx, questions)
	return r, one.unreachable("read", err)
}

// VerifySignature implements eth.Chains. A contract wallet is asked at the
// newest block, whatever the confirmations: a key that was taken out of a
// wallet must not sign in. An account with delegated code (EIP-7702) is also
// its key's.
func (c *Chains) VerifySignature(ctx context.Context, chain uint64, signer eth.Address, hash [32]byte, signature []byte) error {
	one, err := c.chain(chain)
	if err != nil {
		return err
	}
	return one.unreachable("verify a signature", one.verify(ctx, signer, hash, signature))
}

// Head implements eth.Chains.
func (c *Chains) Head(ctx context.Context, chain uint64) (eth.Block, error) {
	one, err := c.chain(chain)
	if err != nil {
		return eth.Block{}, err
	}
	b, err := one.head(ctx)
	return b, one.unreachable("ask for the head", err)
}

// Follow implements eth.Chains.
func (c *Chains) Follow(ctx context.Context, chain uint64, from uint64, contracts []eth.Address) (eth.Followed, error) {
	one, err := c.chain(chain)
	if err != nil {
		return eth.Followed{}, err
	}
	seen, err := one.follow(ctx, from, contracts)
	return seen, one.unreachable("ask for the head", err)
}

// Ancestors implements eth.Chains.
func (c *Chains) Ancestors(ctx context.Context, chain uint64, head eth.Block, numbers ...uint64) ([]eth.Block, error) {
	one, err := c.chain(chain)
	if err != nil {
		return nil, err
	}
	list, _, err := agree(ctx, one, one.ahead(), func(ctx context.Context, e *endpoint) ([]eth.Block, error) {
		return e.ancestors(ctx, head, numbers)
	}, blocksKey)
	return list, one.unreachable(fmt.Sprintf("ask for blocks before %d", head.Number), err)
}

// Transfers implements eth.Chains. A Transfer with neither From nor To says
// that anybody's holding may have changed: the contract logged more than can
// be listed, or what cannot be read.
func (c *Chains) Transfers(ctx context.Context, chain uint64, from uint64, to eth.Block, contracts []eth.Address) ([]eth.Transfer, error) {
	one, err := c.chain(chain)
	if err != nil {
		return nil, err
	}
	list, err := one.transfers(ctx, from, to, contracts)
	return list, one.unreachable(fmt.Sprintf("ask for the logs of blocks %d to %d", from, to.Number), err)
}

func (c *Chains) chain(id uint64) (*chain, error) {
	one, ok := c.chains[id]
	if !ok {
		return nil, fmt.Errorf("chain %d: %w", id, eth.ErrChainUnknown)
	}
	return one, nil
}

// unreachable turns the endpoints' faults into the contract's error.
func (c *chain) unreachable(doing string, err error) error {
	if err == nil || errors.Is(err, eth.ErrSignature) {
		return err
	}
	return fmt.Errorf("%s on chain %s: %w: %w", doing, c.cfg.Name, eth.ErrChainUnreachable, err)
}

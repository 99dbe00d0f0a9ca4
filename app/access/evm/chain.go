package evm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"streamgate/app/access/eth"
)

// chain is one configured chain and its endpoints, in order of preference.
type chain struct {
	cfg       ChainConfig
	endpoints []*endpoint
	sampler   sampler
	coder     coder
}

func newChain(cfg ChainConfig, m *metrics, log *slog.Logger) (*chain, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	c := &chain{cfg: cfg}
	names := map[string]int{}
	for i, raw := range cfg.URLs {
		name, err := endpointName(raw)
		if err != nil {
			return nil, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		if names[name]++; names[name] > 1 {
			name += "#" + strconv.Itoa(names[name])
		}
		e := newEndpoint(cfg, raw, name, m, log)
		e.rank = i
		c.endpoints = append(c.endpoints, e)
	}
	c.sampler.chain, c.coder.chain = c, c
	return c, nil
}

// complete checks the configuration and fills in what was left out.
func (cfg *ChainConfig) complete() error {
	switch {
	case cfg.ID == 0:
		return errors.New("the id is missing")
	case len(cfg.URLs) == 0:
		return errors.New("there is no endpoint")
	case cfg.Quorum < 0 || cfg.Quorum > len(cfg.URLs):
		return fmt.Errorf("a quorum of %d of %d endpoints cannot be", cfg.Quorum, len(cfg.URLs))
	case cfg.Timeout < 0 || cfg.Cooldown < 0 || cfg.MaxBlockAge < 0 || cfg.MaxRequestsPerSecond < 0 || math.IsNaN(cfg.MaxRequestsPerSecond):
		return errors.New("a time or a budget is negative")
	}
	if cfg.Name == "" {
		cfg.Name = strconv.FormatUint(cfg.ID, 10)
	}
	cfg.Quorum = max(cfg.Quorum, 1)
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Cooldown == 0 {
		cfg.Cooldown = DefaultCooldown
	}
	if cfg.MaxLogRange == 0 {
		cfg.MaxLogRange = DefaultMaxLogRange
	}
	if cfg.Multicall == (eth.Address{}) {
		cfg.Multicall = knownAddress(DefaultMulticall)
	}
	if cfg.DelegateRegistry == (eth.Address{}) {
		cfg.DelegateRegistry = knownAddress(DefaultDelegateRegistry)
	}
	return nil
}

// knownAddress reads an address that stands in this package.
func knownAddress(s string) eth.Address {
	var a account
	_ = a.UnmarshalJSON([]byte(`"` + s + `"`)) // a test reads both
	return eth.Address(a)
}

// agree asks the endpoints one question as the chain's policy says. With a
// quorum of 1 they are asked in turn until one answers; else all at once, until
// as many as the quorum have given answers of the same key. The source names
// who gave the answer.
func agree[T any](ctx context.Context, c *chain, order []*endpoint, do func(context.Context, *endpoint) (T, error), key func(T) string) (answer T, source string, err error) {
	if c.cfg.Quorum == 1 {
		return failOver(ctx, order, do)
	}
	return quorum(ctx, c.cfg.Quorum, order, do, key)
}

func failOver[T any](ctx context.Context, order []*endpoint, do func(context.Context, *endpoint) (T, error)) (answer T, source string, err error) {
	var faults []error
	for _, e := range order {
		if err := ctx.Err(); err != nil {
			faults = append(faults, err)
			break
		}
		got, err := do(ctx, e)
		if err == nil {
			return got, e.name, nil
		}
		faults = append(faults, err)
	}
	return answer, "", errors.Join(faults...)
}

// read reads the answers at the newest confirmed block. It tries twice: a
// block can be undone between asking for it and asking about it.
func (c *chain) read(ctx context.Context, questions []eth.Question) (eth.Reading, error) {
	reading, err := c.readOnce(ctx, questions)
	if err != nil && ctx.Err() == nil {
		reading, err = c.readOnce(ctx, questions)
	}
	return reading, err
}

func (c *chain) readOnce(ctx context.Context, questions []eth.Question) (eth.Reading, error) {
	early := c.readEarly(context.WithoutCancel(ctx), questions)
	heads, err := c.sampler.sample(ctx)
	if err != nil {
		return eth.Reading{}, err
	}
	if c.cfg.Quorum == 1 {
		// Each endpoint is asked at a block of its own: the next may not have it.
		reading, _, err := failOver(ctx, heads.order(), func(ctx context.Context, e *endpoint) (eth.Reading, error) {
			if early.of == e && early.at.head == heads[e] {
				if read := <-early.read; read.err == nil {
					return eth.Reading{Block: early.at.believed, Source: e.name, Answers: read.got}, nil
				}
			}
			b, err := c.confirmed(ctx, e, heads[e])
			if err != nil {
				return eth.Reading{}, err
			}
			list, err := c.answers(ctx, e, b, questions)
			return eth.Reading{Block: b, Source: e.name, Answers: list}, err
		})
		return reading, err
	}
	b, err := c.agreedHead(ctx, heads, c.cfg.Confirmations)
	if err != nil {
		return eth.Reading{}, err
	}
	list, source, err := c.agreedAnswers(ctx, b, questions)
	return eth.Reading{Block: b, Source: source, Answers: list}, err
}

// pair is an endpoint's newest block and the one that is believed because of
// it.
type pair struct{ head, believed eth.Block }

// early is a reading at the block that an endpoint said last, which is right if
// that is its newest still.
type early struct {
	of   *endpoint
	at   pair
	read <-chan said[[]eth.Answer]
}

// readEarly begins to read before it is known which block is the newest, so
// that a decision takes one round trip while there is no new one. Its requests
// end by their time-out: to cancel one would close its connection.
func (c *chain) readEarly(ctx context.Context, questions []eth.Question) early {
	e := c.ahead()[0]
	guess := e.guess.Load()
	if c.cfg.Quorum > 1 || guess == nil || !e.breaker.closed() {
		return early{}
	}
	return early{e, *guess, askAll(ctx, []*endpoint{e}, func(ctx context.Context, e *endpoint) ([]eth.Answer, error) {
		return c.answers(ctx, e, guess.believed, questions)
	})}
}

// head is the newest confirmed block.
func (c *chain) head(ctx context.Context) (eth.Block, error) {
	heads, err := c.sampler.sample(ctx)
	if err != nil {
		return eth.Block{}, err
	}
	if c.cfg.Quorum > 1 {
		return c.agreedHead(ctx, heads, c.cfg.Confirmations)
	}
	b, _, err := failOver(ctx, heads.order(), func(ctx context.Context, e *endpoint) (eth.Block, error) {
		return c.confirmed(ctx, e, heads[e])
	})
	return b, err
}

// confirmed is the block of an endpoint that has the confirmations.
func (c *chain) confirmed(ctx context.Context, e *endpoint, head eth.Block) (eth.Block, error) {
	if known := e.guess.Load(); known != nil && known.head == head {
		return known.believed, nil
	}
	b := head
	if c.cfg.Confirmations > 0 {
		var err error
		if b, err = e.block(ctx, quantity(head.Number-min(head.Number, c.cfg.Confirmations))); err != nil {
			return b, err
		}
	}
	e.guess.Store(&pair{head, b})
	return b, nil
}

// agreedHead is the newest block that a quorum has and that has the
// confirmations. If it is just being replaced, its parent is tried.
func (c *chain) agreedHead(ctx context.Context, heads heads, confirmations uint64) (eth.Block, error) {
	numbers := make([]uint64, 0, len(heads))
	for _, b := range heads {
		numbers = append(numbers, b.Number)
	}
	slices.Sort(numbers)
	if len(numbers) < c.cfg.Quorum {
		return eth.Block{}, &fault{endpoint: "quorum", reason: reasonDisagree,
			detail: fmt.Sprintf("%d endpoints answer, %d are needed", len(numbers), c.cfg.Quorum)}
	}
	number := numbers[len(numbers)-c.cfg.Quorum] // at least a quorum is there
	number -= min(number, confirmations)
	var faults []error
	for _, n := range []uint64{number, number - min(number, 1)} {
		b, _, err := agree(ctx, c, c.endpoints, func(ctx context.Context, e *endpoint) (eth.Block, error) {
			if known, ok := heads[e]; ok && known.Number == n {
				return known, nil
			}
			return e.block(ctx, quantity(n))
		}, blockKey)
		if err == nil {
			return b, nil
		}
		faults = append(faults, err)
	}
	return eth.Block{}, errors.Join(faults...)
}

func blocksKey(list []eth.Block) string {
	var key strings.Builder
	for _, b := range list {
		key.WriteString(blockKey(b))
	}
	return key.String()
}

// blockKey is what two endpoints must say alike about a block.
func blockKey(b eth.Block) string {
	return string(b.Hash[:]) + string(b.Parent[:]) + quantity(b.Number) + b.Time.UTC().Format(time.RFC3339)
}

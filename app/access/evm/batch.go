package evm

import (
	"context"
	"slices"

	"streamgate/app/access/eth"
)

const (
	// callGas caps what one contract may burn.
	callGas = 300_000
	// maxAggregate is how many calls one aggregate3 carries at most.
	maxAggregate = 80
	// aggregateGas is what the aggregate itself needs.
	aggregateGas = 1_000_000
)

// What is known of multicall's code at an endpoint.
const (
	multicallUnknown = iota
	multicallThere
	multicallMissing
)

// at names a block by its hash for eth_call and its like (EIP-1898). A block
// that is no longer canonical is an error, not an old answer.
func at(b eth.Block) any {
	return map[string]any{"blockHash": encodeHex(b.Hash[:]), "requireCanonical": true}
}

// pinned has do ask an endpoint at one block: by its hash, or, if the endpoint
// knows blocks by their number only, by its number, between two looks at it
// that show the same block. The look before is that in which the endpoint said
// that b is its newest, if it was that.
func (e *endpoint) pinned(ctx context.Context, b eth.Block, do func(block any) error) error {
	if !e.numbers.Load() {
		if err := do(at(b)); !is(err, reasonParams) {
			return err
		}
	}
	if said := e.said.Load(); said == nil || *said != b {
		if err := e.stands(ctx, b); err != nil {
			return err
		}
	}
	if err := do(quantity(b.Number)); err != nil {
		return err
	}
	if err := e.stands(ctx, b); err != nil {
		return err
	}
	if !e.numbers.Swap(true) {
		e.log.Warn("The chain endpoint does not take a block's hash (EIP-1898); blocks are named by their number, which takes a request more. Another endpoint is quicker.")
	}
	return nil
}

// stands is nil if the endpoint has b at its number.
func (e *endpoint) stands(ctx context.Context, b eth.Block) error {
	return e.ask(ctx, func(replies []reply) error { return e.onBranch(b, replies[0]) }, blockCall(quantity(b.Number)))
}

// answers reads the answers to all questions at one block of one endpoint.
func (c *chain) answers(ctx context.Context, e *endpoint, b eth.Block, questions []eth.Question) ([]eth.Answer, error) {
	var todo []probe
	for _, q := range questions {
		todo = append(todo, probes(q, c.cfg.DelegateRegistry)...)
	}
	var got []outcome
	err := e.pinned(ctx, b, func(block any) (err error) {
		got, err = c.run(ctx, e, block, todo)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]eth.Answer, len(questions))
	for i, q := range questions {
		n := len(probes(q, c.cfg.DelegateRegistry))
		list[i], got = answer(q, got[:n]), got[n:]
	}
	return list, nil
}

// run runs the probes: several by multicall where it is, else as batches.
func (c *chain) run(ctx context.Context, e *endpoint, block any, todo []probe) ([]outcome, error) {
	got := make([]outcome, len(todo))
	each := make([]int, len(todo)) // the probes that are asked one by one
	for i := range each {
		each[i] = i
	}
	if len(todo) > 1 {
		there, err := c.hasMulticall(ctx, e, block)
		if err != nil {
			return nil, err
		}
		if there {
			if each, err = c.aggregate(ctx, e, block, todo, got); err != nil {
				return nil, err
			}
		}
	}
	for part := range slices.Chunk(each, maxBatch) {
		if err := e.batch(ctx, block, todo, part, got); err != nil {
			return nil, err
		}
	}
	return got, e.explain(ctx, block, todo, got)
}

// hasMulticall says whether there is code at multicall's address. Once there,
// it stays; where it is missing, it is not looked for again.
func (c *chain) hasMulticall(ctx context.Context, e *endpoint, block any) (bool, error) {
	if known := e.multicall.Load(); known != multicallUnknown {
		return known == multicallThere, nil
	}
	code, err := e.code(ctx, c.cfg.Multicall, block)
	if err != nil {
		return false, err
	}
	if len(code) == 0 {
		e.multicall.Store(multicallMissing)
		return false, nil
	}
	e.multicall.Store(multicallThere)
	return true, nil
}

// aggregate runs the probes through multicall and returns those that must be
// asked one by one: a call that failed without a word may have found no gas
// because another burned it.
func (c *chain) aggregate(ctx context.Context, e *endpoint, block any, todo []probe, got []outcome) ([]int, error) {
	var again []int
	for first := 0; first < len(todo); first += maxAggregate {
		part := todo[first:min(first+maxAggregate, len(todo))]
		results, err := c.aggregateOne(ctx, e, block, part)
		if err != nil {
			return nil, err
		}
		for i := range part {
			switch {
			case results == nil || !results[i].success && len(results[i].data) == 0:
				again = append(again, first+i)
			case !results[i].success:
				got[first+i] = outcome{problem: problemReverted}
			default:
				got[first+i] = outcomeOf(results[i].data)
			}
		}
	}
	return again, nil
}

// aggregateOne is one call of aggregate3. It returns nil if the endpoint does
// not want it so: too much gas, too long an answer.
func (c *chain) aggregateOne(ctx context.Context, e *endpoint, block any, part []probe) ([]result3, error) {
	var results []result3
	err := e.ask(ctx, func(replies []reply) error {
		if replies[0].err != nil {
			if replies[0].err.execution() {
				return nil
			}
			return e.refused(replies[0].err)
		}
		data, err := decodeBytes(replies[0].result)
		if err != nil {
			return e.garbage("the answer to aggregate3 is not hex data")
		}
		if results, err = unpackAggregate3(data, len(part)); err != nil {
			return e.garbage("the answer to aggregate3 is not a list of results")
		}
		return nil
	}, ethCall(c.cfg.Multicall, packAggregate3(c.cfg.Multicall, part), aggregateGas+uint64(len(part))*callGas, block))
	if is(err, reasonTooLarge) {
		return nil, nil
	}
	return results, err
}

// batch runs some of the probes as one JSON-RPC batch. Answers that are too
// long together are asked for in halves, so that one is found out.
func (e *endpoint) batch(ctx context.Context, block any, todo []probe, part []int, got []outcome) error {
	calls := make([]call, len(part))
	for i, p := range part {
		calls[i] = todo[p].call(block)
	}
	err := e.ask(ctx, func(replies []reply) error {
		for i, p := range part {
			var err error
			if got[p], err = e.outcome(todo[p], replies[i]); err != nil {
				return err
			}
		}
		return nil
	}, calls...)
	if !is(err, reasonTooLarge) {
		return err
	}
	if len(part) == 1 {
		got[part[0]] = outcome{problem: problemTooLong}
		return nil
	}
	half := len(part) / 2
	if err := e.batch(ctx, block, todo, part[:half], got); err != nil {
		return err
	}
	return e.batch(ctx, block, todo, part[half:], got)
}

func (p probe) call(block any) call {
	if p.native() {
		return call{method: "eth_getBalance", params: []any{encodeHex(p.to[:]), block}}
	}
	return ethCall(p.to, p.data, callGas, block)
}

func ethCall(to eth.Address, data []byte, gas uint64, block any) call {
	return call{method: "eth_call", params: []any{map[string]string{
		"to": encodeHex(to[:]), "data": encodeHex(data), "gas": quantity(gas),
	}, block}}
}

// outcome reads the reply to a probe.
func (e *endpoint) outcome(p probe, r reply) (outcome, error) {
	switch {
	case r.err != nil && r.err.execution() && !p.native():
		return outcome{problem: problemReverted}, nil
	case r.err != nil:
		return outcome{}, e.refused(r.err)
	case p.native():
		balance, err := decodeBig(r.result)
		if err != nil {
			return outcome{}, e.garbage("the answer to eth_getBalance is not a number")
		}
		return outcome{value: wordOfBig(balance)}, nil
	}
	data, err := decodeBytes(r.result)
	if err != nil {
		return outcome{}, e.garbage("the answer to eth_call is not hex data")
	}
	return outcomeOf(data), nil
}

// explain tells contracts that answered nothing from addresses without one.
func (e *endpoint) explain(ctx context.Context, block any, todo []probe, got []outcome) error {
	var silent []int
	for i, o := range got {
		if o.problem == problemNoAnswer {
			silent = append(silent, i)
		}
	}
	for part := range slices.Chunk(silent, maxBatch) {
		calls := make([]call, len(part))
		for i, p := range part {
			calls[i] = codeCall(todo[p].to, block)
		}
		err := e.ask(ctx, func(replies []reply) error {
			for i, p := range part {
				code, err := e.readCode(replies[i])
				if err != nil {
					return err
				}
				if len(code) == 0 {
					got[p].problem = problemNoContract
				}
			}
			return nil
		}, calls...)
		if err != nil {
			return err
		}
	}
	return nil
}

// code asks for the code of an account.
func (e *endpoint) code(ctx context.Context, a eth.Address, block any) ([]byte, error) {
	var code []byte
	err := e.ask(ctx, func(replies []reply) (err error) {
		code, err = e.readCode(replies[0])
		return err
	}, codeCall(a, block))
	return code, err
}

func codeCall(a eth.Address, block any) call {
	return call{method: "eth_getCode", params: []any{encodeHex(a[:]), block}}
}

func (e *endpoint) readCode(r reply) ([]byte, error) {
	if r.err != nil {
		return nil, e.refused(r.err)
	}
	code, err := decodeBytes(r.result)
	if err != nil {
		return nil, e.garbage("the answer to eth_getCode is not hex data")
	}
	return code, nil
}

// result3 is one result of aggregate3.
type result3 struct {
	success bool
	data    []byte
}

// packAggregate3 encodes the calls (address target, bool allowFailure, bytes
// callData)[]; all may fail.
func packAggregate3(multicall eth.Address, part []probe) []byte {
	heads, tails := []byte{}, []byte{}
	for _, p := range part {
		to, data := p.to, p.data
		if p.native() {
			to, data = multicall, selEthBalance.pack(wordOfAddress(p.to))
		}
		offset := wordOfInt(32*len(part) + len(tails))
		heads = append(heads, offset[:]...)
		for _, w := range []word{wordOfAddress(to), wordOfInt(1), wordOfInt(96)} {
			tails = append(tails, w[:]...)
		}
		tails = append(tails, packBytes(data)...)
	}
	return slices.Concat(selAggregate3.pack(wordOfInt(32), wordOfInt(len(part))), heads, tails)
}

// unpackAggregate3 decodes (bool success, bytes returnData)[] of n results.
func unpackAggregate3(data []byte, n int) ([]result3, error) {
	start, err := reader(data).int(0)
	if err != nil || start > len(data) {
		return nil, errABI
	}
	count, err := reader(data[start:]).int(0)
	if err != nil || count != n {
		return nil, errABI
	}
	list := reader(data[start+32:])
	results := make([]result3, n)
	for i := range results {
		from, err := list.int(32 * i)
		if err != nil {
			return nil, err
		}
		tuple := list[from:]
		success, err := tuple.word(0)
		if err != nil {
			return nil, err
		}
		truth, ok := success.bool()
		if !ok {
			return nil, errABI
		}
		results[i].success = truth
		if results[i].data, err = tuple.bytes(32); err != nil {
			return nil, err
		}
	}
	return results, nil
}

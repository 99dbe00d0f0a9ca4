package evm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"streamgate/app/access/eth"
)

const (
	// maxAddresses is how many contracts one request for logs names at most.
	maxAddresses = 200
	// maxTransferBlocks bounds one Transfers, so that a watcher that was away
	// for long asks in steps.
	maxTransferBlocks = 1_000_000
)

// wireLog is a log on the wire.
type wireLog struct {
	Address *account   `json:"address"`
	Topics  []word     `json:"topics"`
	Data    bytesValue `json:"data"`
	Block   *uintValue `json:"blockNumber"`
	Index   *uintValue `json:"logIndex"`
	Hash    *word      `json:"blockHash"`
	Removed bool       `json:"removed"`
}

// event is a Transfer and its place in the block.
type event struct {
	eth.Transfer
	index uint64
}

// transfers implements eth.Chains.Transfers: chunk by chunk, each of one
// endpoint or agreed upon by a quorum.
func (c *chain) transfers(ctx context.Context, from uint64, to eth.Block, contracts []eth.Address) ([]eth.Transfer, error) {
	if from > to.Number {
		return nil, nil
	}
	if to.Number-from >= maxTransferBlocks {
		return nil, fmt.Errorf("%d blocks at once; %d is the most", to.Number-from+1, maxTransferBlocks)
	}
	of := c.logged(contracts)
	var list []eth.Transfer
	for start := from; start <= to.Number; start += c.cfg.MaxLogRange {
		end := min(start+c.cfg.MaxLogRange-1, to.Number)
		events, _, err := agree(ctx, c, c.ahead(), func(ctx context.Context, e *endpoint) ([]event, error) {
			return e.events(ctx, start, end, to, of)
		}, eventsKey)
		if err != nil {
			return nil, err
		}
		for _, v := range events {
			list = append(list, v.Transfer)
		}
	}
	return list, nil
}

// logged are the contracts whose logs are asked for: those, and the delegate
// registry.
func (c *chain) logged(contracts []eth.Address) []eth.Address {
	of := append(slices.Clone(contracts), c.cfg.DelegateRegistry)
	slices.SortFunc(of, func(a, b eth.Address) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(of)
}

// events collects the events of the blocks, in order. The span of blocks of
// one request halves when the endpoint finds it too long and grows again.
func (e *endpoint) events(ctx context.Context, from, to uint64, last eth.Block, of []eth.Address) ([]event, error) {
	var list []event
	span := to - from + 1
	if learned := e.span.Load(); learned > 0 {
		span = min(span, learned)
	}
	for from <= to {
		end := min(from+span-1, to)
		some, err := e.eventsOfAll(ctx, from, end, last, of)
		if tooMuch(err) && end > from {
			span = (end - from + 1) / 2
			e.span.Store(span)
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
		from = end + 1
		span *= 2
		e.span.Store(span)
	}
	sortEvents(list)
	return list, nil
}

func sortEvents(list []event) {
	slices.SortStableFunc(list, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.index, b.index))
	})
}

// eventsOfAll asks for some addresses at a time.
func (e *endpoint) eventsOfAll(ctx context.Context, from, to uint64, last eth.Block, of []eth.Address) ([]event, error) {
	var list []event
	for part := range slices.Chunk(of, maxAddresses) {
		some, err := e.eventsOf(ctx, from, to, last, part)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}

// eventsOf is one request. In a single block that is too much for one answer
// the addresses are halved; what a single contract logs too much of in a
// single block becomes one Transfer of anybody.
func (e *endpoint) eventsOf(ctx context.Context, from, to uint64, last eth.Block, of []eth.Address) ([]event, error) {
	list, err := e.getLogs(ctx, from, to, last, of)
	switch {
	case !tooMuch(err) || from < to:
		return list, err
	case len(of) > 1:
		half := len(of) / 2
		left, err := e.eventsOf(ctx, from, to, last, of[:half])
		if err != nil {
			return nil, err
		}
		right, err := e.eventsOf(ctx, from, to, last, of[half:])
		return append(left, right...), err
	default:
		return []event{{Transfer: eth.Transfer{Block: from, Contract: of[0]}}}, nil
	}
}

// tooMuch says whether an endpoint might answer if it were asked for less.
func tooMuch(err error) bool { return is(err, reasonTooLarge) || is(err, reasonTooMany) }

// getLogs asks for the last block of all along with the logs: an endpoint that
// does not have it yet, or is on another branch, would leave logs out in
// silence.
func (e *endpoint) getLogs(ctx context.Context, from, to uint64, last eth.Block, of []eth.Address) ([]event, error) {
	var list []event
	err := e.ask(ctx, func(replies []reply) error {
		if err := e.onBranch(last, replies[0]); err != nil {
			return err
		}
		if err := replies[1].err; err != nil {
			return e.refusedLogs(err, from < to)
		}
		var logs []wireLog
		if err := json.Unmarshal(replies[1].result, &logs); err != nil {
			return e.garbage("the answer to eth_getLogs is not a list of logs")
		}
		var err error
		list, err = e.readLogs(logs, from, to, of)
		return err
	}, blockCall(quantity(last.Number)), logsCall(quantity(from), quantity(to), of))
	e.lacksLogs.Store(is(err, reasonNoLogs))
	return list, err
}

// logsCall comes after the calls for the blocks to which the logs belong.
func logsCall(from, to string, of []eth.Address) call {
	addresses := make([]string, len(of))
	for i, a := range of {
		addresses[i] = encodeHex(a[:])
	}
	return call{after: true, method: "eth_getLogs", params: []any{map[string]any{
		"fromBlock": from, "toBlock": to, "address": addresses, "topics": []any{topics()},
	}}}
}

// refusedLogs tells "too many at once" from an endpoint that gives no logs.
// There is no common code, so any refusal of several blocks is taken for the
// former, but that of the method itself; of one block, only what says so.
func (e *endpoint) refusedLogs(err *rpcError, several bool) error {
	if err.Code != codeNoMethod && (several || err.limited()) {
		return e.fault(reasonTooMany, err.said())
	}
	return e.fault(reasonNoLogs, err.said())
}

// readLogs makes events of logs and refuses those that were not asked for.
func (e *endpoint) readLogs(logs []wireLog, from, to uint64, of []eth.Address) ([]event, error) {
	list := make([]event, 0, len(logs))
	for _, l := range logs {
		if l.Address == nil || l.Block == nil || l.Index == nil || len(l.Topics) == 0 || l.Removed {
			return nil, e.garbage("the answer to eth_getLogs has a log without its address, block, index or topics")
		}
		block, contract := uint64(*l.Block), eth.Address(*l.Address)
		if block < from || block > to || !slices.Contains(of, contract) {
			return nil, e.garbage("a log that was not asked for")
		}
		list = append(list, event{l.transfer(block, contract), uint64(*l.Index)})
	}
	return list, nil
}

func eventsKey(list []event) string { return fmt.Sprint(list) }

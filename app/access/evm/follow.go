package evm

import (
	"context"
	"encoding/json"

	"streamgate/app/access/eth"
)

// follow asks all endpoints for their newest block and, at the same time, the
// one that was ahead last for the logs up to its newest. Those count if it is
// ahead still; else, and with a quorum or confirmations, there is the head
// alone.
func (c *chain) follow(ctx context.Context, from uint64, contracts []eth.Address) (eth.Followed, error) {
	e := c.ahead()[0]
	said, of := e.said.Load(), c.logged(contracts)
	if c.cfg.Quorum > 1 || c.cfg.Confirmations > 0 || said == nil || from == 0 || said.Number < from-1 ||
		said.Number-from+1 >= c.cfg.MaxLogRange || len(of) > maxAddresses || e.lacksLogs.Load() || !e.breaker.closed() {
		head, err := c.head(ctx)
		return eth.Followed{Head: head}, err
	}
	logs := make(chan eth.Followed, 1)
	go func() { logs <- e.since(context.WithoutCancel(ctx), from, of) }()
	heads, err := c.sampler.sample(ctx)
	if err != nil {
		return eth.Followed{}, err
	}
	ahead := heads.order()[0]
	if _, answers := heads[e]; !answers {
		return eth.Followed{Head: heads[ahead]}, nil
	}
	seen := <-logs
	if !seen.Whole || seen.Head.Number < heads[ahead].Number {
		return eth.Followed{Head: heads[ahead]}, nil
	}
	e.guess.Store(&pair{seen.Head, seen.Head})
	return seen, nil
}

// since asks for the newest block, the block before from and the logs after
// it, in one request. The logs of that block come along: an endpoint that
// answers the calls of a batch at the same time may lack its newest logs.
func (e *endpoint) since(ctx context.Context, from uint64, of []eth.Address) eth.Followed {
	seen := eth.Followed{}
	_ = e.ask(ctx, func(replies []reply) (err error) { // what it does not answer is asked for again
		if seen.Head, err = e.readBlock("latest", replies[0]); err != nil {
			return err
		}
		if seen.Before, err = e.readBlock(quantity(from-1), replies[1]); err != nil {
			return err
		}
		if err := replies[2].err; err != nil {
			return e.refusedLogs(err, true)
		}
		var logs []wireLog
		if err := json.Unmarshal(replies[2].result, &logs); err != nil {
			return e.garbage("the answer to eth_getLogs is not a list of logs")
		}
		logs, same := upTo(logs, seen.Head)
		events, err := e.readLogs(logs, from-1, seen.Head.Number, of)
		if err != nil || !same {
			return err
		}
		sortEvents(events)
		for _, v := range events {
			seen.Transfers = append(seen.Transfers, v.Transfer)
		}
		seen.Whole = true
		return nil
	}, blockCall("latest"), blockCall(quantity(from-1)), logsCall(quantity(from-1), "latest", of))
	return seen
}

// upTo leaves out the logs after head, which came up meanwhile; same says
// whether those of the head's number are of the head.
func upTo(logs []wireLog, head eth.Block) (list []wireLog, same bool) {
	for _, l := range logs {
		switch {
		case l.Block == nil || uint64(*l.Block) < head.Number:
		case uint64(*l.Block) > head.Number:
			continue
		case l.Hash != nil && *l.Hash != head.Hash:
			return nil, false
		}
		list = append(list, l)
	}
	return list, true
}

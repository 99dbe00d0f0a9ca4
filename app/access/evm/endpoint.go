package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"streamgate/app/access/eth"
)

const (
	// maxResponse bounds what is read of a response, in bytes. It holds the
	// longest answer that one contract call can buy with callGas.
	maxResponse = 8 << 20
	// maxBatch is how many calls one request carries at most.
	maxBatch = 50
	// maxConnections bounds the connections to one endpoint.
	maxConnections = 32
	// chainChecked is for how long an endpoint's chain id is believed.
	chainChecked = time.Minute
)

// endpoint is one JSON-RPC server of a chain.
type endpoint struct {
	rank    int    // in the order of preference
	name    string // for people: the host, without secrets
	url     string // secret
	chain   uint64
	timeout time.Duration
	maxAge  time.Duration // of the newest block; 0: no limit
	client  *http.Client
	budget  *budget
	breaker *breaker
	metrics gauge
	log     *slog.Logger

	guess     atomic.Pointer[pair]      // the last block that was believed of it
	said      atomic.Pointer[eth.Block] // its newest block, when it last said
	stale     atomic.Bool               // its newest block was too old
	checked   atomic.Int64              // Unix time in nanoseconds when the chain id was right
	multicall atomic.Int32              // what is known of multicall's code: see batch.go
	span      atomic.Uint64             // blocks that a request for logs spanned lately: see logs.go
	maxCalls  atomic.Int32              // calls that it takes in one request; 0: it has refused none
	lacksLogs atomic.Bool               // it listed no logs when it was asked last
	numbers   atomic.Bool               // it knows blocks by their number only: see pinned
}

func newEndpoint(cfg ChainConfig, raw, name string, m *metrics, log *slog.Logger) *endpoint {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: cfg.Timeout,
		MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxConnections, IdleConnTimeout: time.Minute,
	}
	return &endpoint{
		name: name, url: raw, chain: cfg.ID, timeout: cfg.Timeout, maxAge: cfg.MaxBlockAge,
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // an endpoint is where the operator said, nowhere else
		}},
		budget:  newBudget(cfg.MaxRequestsPerSecond),
		breaker: &breaker{base: cfg.Cooldown},
		metrics: m.of(cfg.Name, name), log: log.With("chain", cfg.Name, "endpoint", name),
	}
}

// endpointName is the URL's host, the only part that holds no secret.
func endpointName(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", errors.New("not an http or https URL")
	}
	return u.Host, nil
}

// ask sends the calls in one request and has read make sense of the replies,
// which are in the calls' order. An error is a *fault of the endpoint; what read
// returns counts for its health too.
func (e *endpoint) ask(ctx context.Context, read func([]reply) error, calls ...call) error {
	if e.stale.Load() {
		return e.fault(reasonStale, "")
	}
	return e.askAnyway(ctx, read, calls...)
}

// askAnyway is ask, of an endpoint that may be stale.
func (e *endpoint) askAnyway(ctx context.Context, read func([]reply) error, calls ...call) error {
	if !e.breaker.allow(time.Now()) {
		return e.fault(reasonOpen, "")
	}
	replies, err := e.askChain(ctx, calls)
	if err == nil {
		err = read(replies)
	}
	e.settle(err)
	return err
}

// askChain asks for the chain id along with the calls, if it is due.
func (e *endpoint) askChain(ctx context.Context, calls []call) ([]reply, error) {
	if time.Since(time.Unix(0, e.checked.Load())) < chainChecked {
		return e.send(ctx, calls)
	}
	replies, err := e.send(ctx, append([]call{{method: "eth_chainId"}}, calls...))
	if err != nil {
		return nil, err
	}
	if first := replies[0]; first.err != nil {
		return nil, e.refused(first.err)
	}
	id, err := decodeUint(replies[0].result)
	if err != nil {
		return nil, e.fault(reasonGarbage, "the answer to eth_chainId is not a number")
	}
	if id != e.chain {
		return nil, e.fault(reasonChain, strconv.FormatUint(id, 10))
	}
	e.checked.Store(time.Now().UnixNano())
	return replies[1:], nil
}

func (e *endpoint) fault(r reason, detail string) *fault {
	return &fault{endpoint: e.name, reason: r, detail: detail}
}

// refused is the fault of a call that the endpoint did not want to answer.
func (e *endpoint) refused(err *rpcError) *fault {
	if err.Code == codeInvalidParams {
		return e.fault(reasonParams, err.said())
	}
	return e.fault(reasonRefused, err.said())
}

// garbage is the fault of an answer that is not what its method says.
func (e *endpoint) garbage(format string, args ...any) *fault {
	return e.fault(reasonGarbage, fmt.Sprintf(format, args...))
}

// settle tells the breaker how a request went.
func (e *endpoint) settle(err error) {
	var f *fault
	if !errors.As(err, &f) {
		e.works()
		return
	}
	e.metrics.failed(f.reason)
	switch {
	case f.reason == reasonCancelled || f.reason == reasonBudget || f.reason == reasonWallet:
		e.breaker.abandon()
	case f.unhealthy():
		e.fails(f)
	default:
		e.works() // it answered, if not what was hoped for
	}
}

func (e *endpoint) works() {
	if e.breaker.succeed() {
		if !e.stale.Load() {
			e.metrics.up.Set(1)
		}
		e.log.Info("chain endpoint works again")
	}
}

func (e *endpoint) fails(f *fault) {
	if f.reason == reasonChain {
		f.wait = maxCooldown
	}
	if e.breaker.fail(time.Now(), f.wait) {
		e.checked.Store(0) // it may be another server when it is back
		e.maxCalls.Store(0)
		e.numbers.Store(false)
		e.metrics.up.Set(0)
		e.log.Warn("chain endpoint is left alone for a while", "err", f.Error())
	}
}

// wireBlock is a block header on the wire.
type wireBlock struct {
	Number *uintValue `json:"number"`
	Hash   *word      `json:"hash"`
	Parent *word      `json:"parentHash"`
	Time   *uintValue `json:"timestamp"`
}

// block asks for the header of a block, by its quantity.
func (e *endpoint) block(ctx context.Context, number string) (eth.Block, error) {
	var b eth.Block
	err := e.ask(ctx, func(replies []reply) (err error) {
		b, err = e.readBlock(number, replies[0])
		return err
	}, blockCall(number))
	return b, err
}

// newest asks for the newest block. If that is too old, the endpoint no longer
// follows its chain, and is asked for nothing else until it does.
func (e *endpoint) newest(ctx context.Context) (eth.Block, error) {
	var b eth.Block
	err := e.askAnyway(ctx, func(replies []reply) (err error) {
		if b, err = e.readBlock("latest", replies[0]); err != nil {
			return err
		}
		e.said.Store(&b)
		age := time.Since(b.Time).Round(time.Second)
		stale := e.maxAge > 0 && age > e.maxAge
		if was := e.stale.Swap(stale); was != stale {
			e.noteStale(stale, age)
		}
		if stale {
			return e.fault(reasonStale, fmt.Sprintf("the newest block is of %s ago", age))
		}
		return nil
	}, blockCall("latest"))
	return b, err
}

func (e *endpoint) noteStale(stale bool, age time.Duration) {
	if stale {
		e.metrics.up.Set(0)
		e.log.Warn("chain endpoint does not follow its chain and is not believed", "age", age)
		return
	}
	e.metrics.up.Set(1)
	e.log.Info("chain endpoint follows its chain again")
}

// ancestors asks for blocks of the branch that ends in head. The head is asked
// for along with them: an endpoint on another branch would answer otherwise.
func (e *endpoint) ancestors(ctx context.Context, head eth.Block, numbers []uint64) ([]eth.Block, error) {
	list := make([]eth.Block, 0, len(numbers))
	for part := range slices.Chunk(numbers, maxBatch-1) {
		calls := []call{blockCall(quantity(head.Number))}
		for _, n := range part {
			calls = append(calls, blockCall(quantity(n)))
		}
		err := e.ask(ctx, func(replies []reply) error {
			if err := e.onBranch(head, replies[0]); err != nil {
				return err
			}
			for i, n := range part {
				b, err := e.readBlock(quantity(n), replies[i+1])
				if err != nil {
					return err
				}
				list = append(list, b)
			}
			return nil
		}, calls...)
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// onBranch reads the reply to a call for the head's block, which must be the
// head.
func (e *endpoint) onBranch(head eth.Block, r reply) error {
	b, err := e.readBlock(quantity(head.Number), r)
	if err == nil && b.Hash != head.Hash {
		err = e.fault(reasonMissing, "block "+quantity(head.Number)+" of that branch")
	}
	return err
}

func blockCall(number string) call {
	return call{method: "eth_getBlockByNumber", params: []any{number, false}}
}

// readBlock reads the reply to blockCall.
func (e *endpoint) readBlock(number string, r reply) (eth.Block, error) {
	if r.err != nil {
		return eth.Block{}, e.refused(r.err)
	}
	if string(r.result) == "null" {
		return eth.Block{}, e.fault(reasonMissing, "block "+number)
	}
	var b wireBlock
	if err := json.Unmarshal(r.result, &b); err != nil || b.Number == nil || b.Hash == nil || b.Parent == nil || b.Time == nil {
		return eth.Block{}, e.garbage("the answer for block %s is not a block", number)
	}
	if got := quantity(uint64(*b.Number)); number != "latest" && got != number {
		return eth.Block{}, e.garbage("block %s instead of %s", got, number)
	}
	return eth.Block{Number: uint64(*b.Number), Hash: *b.Hash, Parent: *b.Parent, Time: time.Unix(int64(*b.Time), 0)}, nil
}

package evm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"streamgate/app/access/eth"
)

const (
	// checkTime bounds the check of one endpoint.
	checkTime = time.Minute
	// checkRounds is how many requests the speed is measured by.
	checkRounds = 5
	// farAway is from where an endpoint is so slow that viewers notice.
	farAway = 500 * time.Millisecond
	// oldHead is from what age a newest block is worth a word where none is
	// configured.
	oldHead = 10 * time.Minute
)

// Finding is what a check found about one thing that an endpoint must do.
type Finding struct {
	Chain    string `json:"chain"`          // its name
	Endpoint string `json:"endpoint"`       // its host
	What     string `json:"what"`           // in a word or two
	Works    bool   `json:"works"`          // the gate works with it
	State    string `json:"state"`          // what was found, a sentence
	Mend     string `json:"mend,omitempty"` // what would mend or better it; "" if nothing need be
}

// Check tries each endpoint of a chain for all that the gate needs of it, all
// at once; the findings are in the endpoints' order. It fails only on a
// configuration that New refuses.
func Check(ctx context.Context, cfg ChainConfig) ([]Finding, error) {
	m, err := newMetrics(nil)
	if err != nil {
		return nil, err
	}
	c, err := newChain(cfg, m, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	found := make([][]Finding, len(c.endpoints))
	var all sync.WaitGroup
	for i, e := range c.endpoints {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkTime)
			defer cancel()
			k := check{c: c, e: e}
			k.run(ctx)
			found[i] = k.found
		})
	}
	all.Wait()
	return slices.Concat(found...), nil
}

// check is the check of one endpoint.
type check struct {
	c     *chain
	e     *endpoint
	found []Finding
}

func (k *check) run(ctx context.Context) {
	head, ok := k.head(ctx)
	if !ok {
		return
	}
	k.batches(ctx)
	k.calls(ctx, head)
	k.multicall(ctx)
	k.wallets(ctx)
	k.logs(ctx, head)
	k.speed(ctx)
	k.limits()
}

func (k *check) note(what string, works bool, mend, format string, args ...any) {
	k.found = append(k.found, Finding{k.c.cfg.Name, k.e.name, what, works, fmt.Sprintf(format, args...), mend})
}

// head asks for the chain id and the newest block; ok says whether it is worth
// going on.
func (k *check) head(ctx context.Context) (head eth.Block, ok bool) {
	head, err := k.e.newest(ctx)
	switch {
	case is(err, reasonChain):
		k.note("chain id", false, fmt.Sprintf("Use an endpoint of chain %d, or set chains[].id to what this one says.", k.c.cfg.ID),
			"The endpoint is one of another chain than %d: %s.", k.c.cfg.ID, detail(err))
		return head, false
	case is(err, reasonStale):
		k.note("newest block", false, "Ask its operator whether it follows the chain, or use another endpoint; chains[].max_block_age says how old a block may be.",
			"The endpoint does not follow its chain: %s.", detail(err))
		return head, false
	case err != nil:
		k.note("answer", false, "Look whether the URL and its key are right, and whether this machine may reach it.",
			"The endpoint gives no answer that can be used: %s.", detail(err))
		return head, false
	}
	k.note("chain id", true, "", "The chain id is %d.", k.c.cfg.ID)
	age := time.Since(head.Time).Round(time.Second)
	if age > oldHead {
		k.note("newest block", true, "Look whether the chain makes blocks; chains[].max_block_age has the gate refuse an endpoint that does not follow it.",
			"The newest block, %d, is %s old.", head.Number, age)
		return head, true
	}
	k.note("newest block", true, "", "The newest block, %d, is %s old.", head.Number, max(age, 0))
	return head, true
}

// batches finds out how many calls one request may carry.
func (k *check) batches(ctx context.Context) {
	calls := make([]call, maxBatch)
	for i := range calls {
		calls[i] = call{method: "eth_chainId"}
	}
	_, err := k.e.send(ctx, calls)
	switch learned := int(k.e.maxCalls.Load()); {
	case err != nil:
		k.note("batches", true, "Use an endpoint that takes batches of JSON-RPC calls.", "Many calls at once are not answered: %s.", detail(err))
	case learned == 1:
		k.note("batches", true, "Use an endpoint that takes batches of JSON-RPC calls; decisions are quicker with one.",
			"The endpoint takes no batches; calls are sent one by one.")
	case learned > 0:
		k.note("batches", true, "", "The endpoint takes batches of %d calls, and refuses larger ones.", learned)
	default:
		k.note("batches", true, "", "The endpoint takes batches of %d calls, the most that are sent.", maxBatch)
	}
}

// calls reads an account's balance and code at the head, by hash or number.
func (k *check) calls(ctx context.Context, head eth.Block) {
	todo := []probe{{to: k.c.cfg.DelegateRegistry, data: selCheckContract.pack(word{}, word{}, word{}, word{})}, {to: k.c.cfg.DelegateRegistry}}
	err := k.e.pinned(ctx, head, func(block any) error {
		return k.e.batch(ctx, block, todo, []int{0, 1}, make([]outcome, 2))
	})
	switch {
	case err != nil:
		k.note("contract calls", false, "Use an endpoint that answers eth_call and eth_getBalance at a block given by hash (EIP-1898) or number.",
			"Holdings cannot be read: %s.", detail(err))
	case k.e.numbers.Load():
		k.note("contract calls", true, "Use an endpoint that takes a block's hash (EIP-1898); decisions are quicker with one.",
			"Holdings can be read at a block given by number, but not by hash (EIP-1898).")
	default:
		k.note("contract calls", true, "", "Holdings can be read at a block given by its hash.")
	}
}

func (k *check) multicall(ctx context.Context) {
	there, err := k.c.hasMulticall(ctx, k.e, "latest")
	switch {
	case err != nil:
		k.note("multicall", false, "Use an endpoint that answers eth_getCode; no wallet can sign in without it.", "Code cannot be read: %s.", detail(err))
	case !there:
		k.note("multicall", true, "Set chains[].multicall to where Multicall3 is on this chain.",
			"There is no Multicall3 at %s; calls are sent as batches.", k.c.cfg.Multicall)
	default:
		k.note("multicall", true, "", "Multicall3 is there, so that many holdings are read in one call.")
	}
}

// wallets runs the check of a contract wallet's signature, which takes the
// most gas.
func (k *check) wallets(ctx context.Context) {
	data, err := packValidator(eth.Address{}, [32]byte{}, wrapper{})
	if err == nil {
		_, err = k.e.validate(ctx, data, "latest")
	}
	if err != nil {
		k.note("contract wallets", true, fmt.Sprintf("Use an endpoint that runs an eth_call of %d gas without an address to call.", validatorGas),
			"Contract wallets cannot sign in; keys can. The endpoint says: %s.", detail(err))
		return
	}
	k.note("contract wallets", true, "", "Signatures of contract wallets can be checked.")
}

// logs asks for the logs of the newest block, then of as many as the watcher
// asks for at most.
func (k *check) logs(ctx context.Context, head eth.Block) {
	of := []eth.Address{k.c.cfg.DelegateRegistry}
	if _, err := k.e.getLogs(ctx, head.Number, head.Number, head, of); err != nil {
		k.note("logs", true, "Use an endpoint that answers eth_getLogs; one of several is enough.",
			"Logs cannot be read, so that sessions are asked again at each new block instead, which takes more requests: %s.", detail(err))
		return
	}
	span := min(k.c.cfg.MaxLogRange, head.Number+1)
	switch _, err := k.e.getLogs(ctx, head.Number+1-span, head.Number, head, of); {
	case tooMuch(err):
		k.note("logs", true, "", "Logs can be read; of %d blocks at once they are refused, so that fewer are asked for.", span)
	case err != nil:
		k.note("logs", true, "Use an endpoint that keeps the logs of the last days.", "Logs can be read of the newest block, but not of the last %d: %s.", span, detail(err))
	default:
		k.note("logs", true, "", "Logs can be read, of %d blocks at once.", span)
	}
}

// speed measures requests as they are, without the pauses of the budget.
func (k *check) speed(ctx context.Context) {
	var took []time.Duration
	var last error
	for range 2 * checkRounds {
		begun := time.Now()
		if _, err := k.e.post(ctx, []call{{method: "eth_chainId"}}); err != nil {
			last = err
			continue
		}
		if took = append(took, time.Since(begun)); len(took) == checkRounds {
			break
		}
	}
	if len(took) == 0 {
		k.note("speed", true, "Use an endpoint that allows more requests, or one that is more reliable.", "Requests in quick succession are not answered: %s.", detail(last))
		return
	}
	slices.Sort(took)
	middle := took[len(took)/2].Round(time.Millisecond)
	if middle > farAway {
		k.note("speed", true, "Use an endpoint that is nearer; each decision takes at least one round trip.", "A request takes %s.", middle)
		return
	}
	k.note("speed", true, "", "A request takes %s.", middle)
}

// limits tells whether the endpoint refused any of all that for its number.
func (k *check) limits() {
	if k.e.budget.lowered() {
		k.note("request limit", true, "Use an endpoint that allows more, or set chains[].requests_per_second to what it allows.",
			"The endpoint refused requests because there were too many; they were sent again.")
	}
}

// detail is what an endpoint did wrong, without its name.
func detail(err error) string {
	var f *fault
	if !errors.As(err, &f) {
		return err.Error()
	}
	return f.plain()
}

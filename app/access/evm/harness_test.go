package evm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/app/apptest"
	"streamgate/cmd/devchain/devnet"
)

// newNet starts a development chain for one test.
func newNet(t *testing.T) *devnet.Net {
	t.Helper()
	n, err := devnet.Start(t.Context(), devnet.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// made is a step that returns a value and must not fail.
func made[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// configOf is a chain's configuration with the development chain's contracts.
func configOf(n *devnet.Net, urls ...string) evm.ChainConfig {
	return evm.ChainConfig{
		ID: n.ChainID, Name: "dev", URLs: urls, Timeout: 2 * time.Second, Cooldown: 20 * time.Millisecond,
		Multicall: eth.Address(n.Multicall), DelegateRegistry: eth.Address(n.Registry),
	}
}

func newChains(t *testing.T, cfg ...evm.ChainConfig) *evm.Chains {
	t.Helper()
	log := &apptest.Log{} // an endpoint that is late is not waited for, and may say so after the test
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log)
		}
	})
	c, err := evm.New(evm.Config{Chains: cfg, Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: prometheus.NewRegistry()})
	must(t, err)
	return c
}

// mode is how a proxy is faulty.
type mode int

const (
	honest     mode = iota
	hangs           // does not answer until the test ends
	garbage         // no JSON
	nonsense        // JSON-RPC, but no result is what its method says
	shortBatch      // leaves replies out
	wrongChain      // says another chain id
	limited         // 429
	broken          // 503
	stale           // knows no block after the one where it froze
	liar            // says that every contract call brings 1, and every account is rich
	forger          // invents hashes of blocks
	logless         // has no eth_getLogs
	logsFail        // answers every eth_getLogs with an error
	noBatchGas      // reverts big calls, as endpoints with a small gas cap do
	fewLogs         // refuses logs of more than 4 blocks
	endless         // never stops sending
	stringIDs       // answers ids as strings
)

// proxy stands before a chain and is faulty on demand.
type proxy struct {
	*httptest.Server
	upstream string
	mode     atomic.Int32
	calls    atomic.Int64 // JSON-RPC calls that came
	requests atomic.Int64 // HTTP requests that came
	frozen   atomic.Uint64
	over     chan struct{}
	refuse   refusal // nil: what the mode says

	mu      sync.Mutex
	methods []string
}

func newProxy(t *testing.T, n *devnet.Net, m mode) *proxy {
	t.Helper()
	p := &proxy{upstream: n.URL, over: make(chan struct{})}
	p.set(m)
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.over)
		p.Close()
	})
	return p
}

// refusal answers calls in the place of the chain; false: it does not.
type refusal func(w http.ResponseWriter, calls []anyCall, batch bool) bool

// newRefusing starts an honest proxy that refuses some calls.
func newRefusing(t *testing.T, n *devnet.Net, refuse refusal) *proxy {
	t.Helper()
	p := &proxy{upstream: n.URL, over: make(chan struct{}), refuse: refuse}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.over)
		p.Close()
	})
	return p
}

func (p *proxy) set(m mode) { p.mode.Store(int32(m)) }

// freeze makes the proxy stale at the chain's block now.
func (p *proxy) freeze(t *testing.T, n *devnet.Net) {
	t.Helper()
	head, err := n.Head(t.Context())
	must(t, err)
	p.frozen.Store(head)
	p.set(stale)
}

type anyCall struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
	Rest   string            `json:"jsonrpc"`
}

type anyReply struct {
	ID      json.RawMessage `json:"id"`
	Version string          `json:"jsonrpc"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	body, _ := io.ReadAll(r.Body)
	var calls []anyCall
	single := !bytes.HasPrefix(body, []byte("["))
	if single {
		calls = make([]anyCall, 1)
		_ = json.Unmarshal(body, &calls[0])
	} else {
		_ = json.Unmarshal(body, &calls)
	}
	p.calls.Add(int64(len(calls)))
	p.mu.Lock()
	for _, c := range calls {
		p.methods = append(p.methods, c.Method)
	}
	p.mu.Unlock()
	m := mode(p.mode.Load())
	if p.refuse != nil && p.refuse(w, calls, !single) || p.refuses(w, r, m) {
		return
	}
	if m == stale {
		for i := range calls {
			p.turnBack(&calls[i])
		}
	}
	replies := p.forward(calls)
	for i := range replies {
		p.falsify(m, &calls[i], &replies[i])
	}
	if m == shortBatch {
		replies = replies[1:]
		single = false
	}
	w.Header().Set("Content-Type", "application/json")
	if single {
		_ = json.NewEncoder(w).Encode(replies[0])
		return
	}
	_ = json.NewEncoder(w).Encode(replies)
}

// refuses answers in the modes that forward nothing.
func (p *proxy) refuses(w http.ResponseWriter, r *http.Request, m mode) bool {
	switch m {
	case hangs:
		select {
		case <-p.over:
		case <-r.Context().Done():
		}
	case garbage:
		_, _ = io.WriteString(w, "<html>502 Bad Gateway</html>")
	case limited:
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	case broken:
		w.WriteHeader(http.StatusServiceUnavailable)
	case endless:
		for line := bytes.Repeat([]byte(" "), 1<<16); r.Context().Err() == nil; {
			if _, err := w.Write(line); err != nil {
				break
			}
		}
	default:
		return false
	}
	return true
}

// turnBack makes "latest" the block where the proxy froze, and leaves out the
// logs after it in silence.
func (p *proxy) turnBack(c *anyCall) {
	if c.Method == "eth_getLogs" {
		var filter map[string]any
		_ = json.Unmarshal(c.Params[0], &filter)
		if from, ok := filter["fromBlock"].(string); ok && number(from) <= int64(p.frozen.Load()) {
			filter["toBlock"] = "0x" + new(big.Int).SetUint64(p.frozen.Load()).Text(16)
			c.Params[0], _ = json.Marshal(filter)
		}
	}
	for i, param := range c.Params {
		if string(param) == `"latest"` {
			c.Params[i], _ = json.Marshal("0x" + new(big.Int).SetUint64(p.frozen.Load()).Text(16))
		}
	}
}

func (p *proxy) forward(calls []anyCall) []anyReply {
	replies := make([]anyReply, len(calls))
	for i, c := range calls {
		body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.ID, "method": c.Method, "params": c.Params})
		res, err := http.Post(p.upstream, "application/json", bytes.NewReader(body))
		if err != nil {
			replies[i] = anyReply{ID: c.ID, Error: json.RawMessage(`{"code":-32603,"message":"upstream is gone"}`)}
			continue
		}
		_ = json.NewDecoder(res.Body).Decode(&replies[i])
		res.Body.Close()
	}
	return replies
}

const one = `"0x0000000000000000000000000000000000000000000000000000000000000001"`

// falsify changes a reply in the modes that forward.
func (p *proxy) falsify(m mode, c *anyCall, r *anyReply) {
	fail := func(text string) { r.Result, r.Error = nil, json.RawMessage(text) }
	switch {
	case m == nonsense && c.Method != "eth_chainId":
		r.Result, r.Error = json.RawMessage(`{"number":[7]}`), nil
	case m == logless && c.Method == "eth_getLogs":
		fail(`{"code":-32601,"message":"the method eth_getLogs does not exist/is not available"}`)
	case m == logsFail && c.Method == "eth_getLogs":
		fail(`{"code":-32000,"message":"these contracts are not indexed"}`)
	case m == stringIDs:
		r.ID = json.RawMessage(`"` + string(c.ID) + `"`)
	case m == wrongChain && c.Method == "eth_chainId":
		r.Result = json.RawMessage(`"0x1"`)
	case m == liar && c.Method == "eth_call":
		r.Result, r.Error = json.RawMessage(one), nil
	case m == liar && c.Method == "eth_getBalance":
		r.Result = json.RawMessage(`"0xffffffffffffffff"`)
	case m == liar && c.Method == "eth_getLogs":
		r.Result = json.RawMessage(`[]`)
	case m == forger && c.Method == "eth_getBlockByNumber":
		r.Result = json.RawMessage(strings.Replace(string(r.Result), `"hash":"0x`, `"hash":"0xdead","was":"0x`, 1))
		r.Result = json.RawMessage(strings.Replace(string(r.Result), `"0xdead"`, `"0x`+strings.Repeat("de", 32)+`"`, 1))
	case m == noBatchGas && c.Method == "eth_call" && strings.Contains(string(c.Params[0]), "82ad56cb"):
		fail(`{"code":-32000,"message":"out of gas"}`)
	case m == fewLogs && c.Method == "eth_getLogs":
		var filter struct{ FromBlock, ToBlock string }
		_ = json.Unmarshal(c.Params[0], &filter)
		if number(filter.ToBlock)-number(filter.FromBlock) >= 4 {
			fail(`{"code":-32005,"message":"query returned more than 10000 results"}`)
		}
	case m == stale && c.Method == "eth_getBlockByNumber":
		var n string
		_ = json.Unmarshal(c.Params[0], &n)
		if number(n) > int64(p.frozen.Load()) {
			r.Result = json.RawMessage("null")
		}
	}
}

func number(hex string) int64 {
	n, _ := new(big.Int).SetString(strings.TrimPrefix(hex, "0x"), 16)
	if n == nil {
		return 0
	}
	return n.Int64()
}

package evm_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
)

// TestCheck: what is wrong with an endpoint is said, with the mend, and nothing
// else is.
func TestCheck(t *testing.T) {
	n := newNet(t)
	must(t, n.Mine(t.Context(), 5))
	var odd atomic.Int64
	for name, c := range map[string]struct {
		mode   mode
		refuse refusal
		change func(*evm.ChainConfig)
		broken string // what does not work
		note   string // what works, but could be better
		says   string
	}{
		"all is well": {},
		"wrong chain": {mode: wrongChain, broken: "chain id", says: "it says chain id 1"},
		"broken":      {mode: broken, broken: "answer", says: "HTTP status 503"},
		"garbage":     {mode: garbage, broken: "answer", says: "not JSON-RPC"},
		"hangs":       {mode: hangs, broken: "answer", says: "no answer in time"},
		"stale": {mode: stale, change: func(cfg *evm.ChainConfig) { cfg.MaxBlockAge = time.Hour },
			broken: "newest block", says: "does not follow its chain"},
		"no batches": {refuse: noBatches, note: "batches", says: "one by one"},
		"ten calls": {refuse: func(w http.ResponseWriter, calls []anyCall, _ bool) bool {
			if len(calls) > 10 {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
			return len(calls) > 10
		}, says: "batches of 6 calls"},
		"no logs":        {mode: logless, note: "logs", says: "asked again at each new block"},
		"few logs":       {mode: fewLogs, says: "fewer are asked for"},
		"no hashes":      {refuse: noObjects, note: "contract calls", says: "but not by hash"},
		"no multicall":   {change: func(cfg *evm.ChainConfig) { cfg.Multicall = eth.Address{1} }, note: "multicall", says: "no Multicall3 at 0x01"},
		"ids as strings": {mode: stringIDs},
		"429": {refuse: func(w http.ResponseWriter, _ []anyCall, _ bool) bool {
			if odd.Add(1)%2 == 0 {
				return false
			}
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, note: "request limit", says: "too many"},
		"far away": {refuse: func(http.ResponseWriter, []anyCall, bool) bool {
			<-time.After(600 * time.Millisecond)
			return false
		}, note: "speed", says: "A request takes 6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newRefusing(t, n, c.refuse)
			p.set(c.mode)
			cfg := configOf(n, p.URL+"/secret")
			if c.change != nil {
				c.change(&cfg)
			}
			found := made(evm.Check(t.Context(), cfg))(t)
			said := ""
			for _, f := range found {
				said += f.State + " " + f.Mend + "\n"
				switch {
				case !f.Works && f.What != c.broken, f.Works && f.Mend != "" && f.What != c.note:
					t.Errorf("%s: %s %s", f.What, f.State, f.Mend)
				case f.What == c.broken && f.Works, f.What == c.note && f.Mend == "":
					t.Errorf("%s is well: %s", f.What, f.State)
				}
			}
			if !strings.Contains(said, c.says) || strings.Contains(said, "secret") {
				t.Errorf("it does not say %q:\n%s", c.says, said)
			}
			if c.broken == "" && len(found) < 8 {
				t.Errorf("%d findings:\n%s", len(found), said)
			}
		})
	}
}

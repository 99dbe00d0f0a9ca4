package evm_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/cmd/devchain/devnet"
)

// useAll asks a chain for everything that the gate needs.
func useAll(t *testing.T, n *devnet.Net, chains *evm.Chains) {
	t.Helper()
	ctx := t.Context()
	questions := []eth.Question{
		{Fact: eth.FactERC721, Contract: at(n.NFT), Holder: at(n.Holder.Address)},
		{Fact: eth.FactERC721, Contract: at(n.NFT), Holder: at(n.Stranger.Address)},
		{Fact: eth.FactNative, Holder: at(n.Holder.Address)},
	}
	for len(questions) < 60 {
		questions = append(questions, questions[0])
	}
	reading := made(chains.Read(ctx, n.ChainID, questions))(t)
	if a := reading.Answers; a[0].Amount.Int64() != 1 || a[1].Amount.Sign() != 0 || a[2].Amount.Sign() <= 0 || a[59].Amount.Int64() != 1 {
		t.Errorf("answers %v", a[:3])
	}
	signature := made(n.Holder.Sign([32]byte{1}))(t)
	must(t, chains.VerifySignature(ctx, n.ChainID, at(n.Holder.Address), [32]byte{1}, signature))
	head := made(chains.Head(ctx, n.ChainID))(t)
	list := made(chains.Transfers(ctx, n.ChainID, 0, head, []eth.Address{at(n.NFT)}))(t)
	if len(list) != 1 || list[0].To != at(n.Holder.Address) {
		t.Errorf("transfers %v", list)
	}
	if blocks := made(chains.Ancestors(ctx, n.ChainID, head, 0, 1, 2))(t); len(blocks) != 3 || blocks[2].Number != 2 {
		t.Errorf("ancestors %v", blocks)
	}
}

// TestBatchLimit: the size of batches that an endpoint takes is learnt, and
// kept; contracts are asked as without multicall, which needs batches most.
func TestBatchLimit(t *testing.T) {
	n := newNet(t)
	_ = made(n.Mint721(t.Context(), n.Holder.Address))(t)
	must(t, n.Mine(t.Context(), 3))
	status := func(code int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		most   int
		refuse func(http.ResponseWriter)
	}{
		"an error object":          {1, status(200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch requests are not supported"}}`)},
		"HTTP 400":                 {1, status(400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}`)},
		"HTTP 400 and no JSON":     {3, status(400, "Bad Request")},
		"HTTP 403":                 {1, status(403, "Forbidden")},
		"HTTP 413":                 {10, status(413, "")},
		"HTTP 500":                 {3, status(500, `{"message":"Batch of more than 3 requests are not allowed","error":{"code":31,"message":"Batch of more than 3"}}`)},
		"an array of one error":    {5, status(200, `[{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"batch limit exceeded"}}]`)},
		"the first call's answer":  {1, status(200, `{"jsonrpc":"2.0","id":1,"result":"0x539"}`)},
		"an error object, of many": {20, status(200, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"too large a batch"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refused, most atomic.Int64
			p := newRefusing(t, n, func(w http.ResponseWriter, calls []anyCall, batch bool) bool {
				if batch && len(calls) > c.most {
					refused.Add(1)
					c.refuse(w)
					return true
				}
				most.Store(max(most.Load(), int64(len(calls))))
				return false
			})
			cfg := configOf(n, p.URL)
			cfg.Multicall = eth.Address{1}
			chains := newChains(t, cfg)
			useAll(t, n, chains)
			learning := refused.Load()
			if learning == 0 || learning > 12 {
				t.Errorf("%d requests were refused", learning)
			}
			useAll(t, n, chains)
			if again := refused.Load() - learning; again != 0 {
				t.Errorf("%d requests more were refused, though the limit was known", again)
			}
			if most.Load() < int64(c.most+1)/2 {
				t.Errorf("batches of %d are sent, %d are allowed", most.Load(), c.most)
			}
		})
	}
}

// TestRefusalIsNoBatchLimit: what refuses single calls too says nothing about
// batches.
func TestRefusalIsNoBatchLimit(t *testing.T) {
	n := newNet(t)
	var closed atomic.Bool
	closed.Store(true)
	var most atomic.Int64
	p := newRefusing(t, n, func(w http.ResponseWriter, calls []anyCall, _ bool) bool {
		if closed.Load() {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		most.Store(max(most.Load(), int64(len(calls))))
		return false
	})
	chains := newChains(t, configOf(n, p.URL))
	if _, err := chains.Head(t.Context(), n.ChainID); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("head: %v", err)
	}
	closed.Store(false)
	_ = made(chains.Head(t.Context(), n.ChainID))(t)
	if most.Load() < 2 {
		t.Error("calls are sent one by one")
	}
}

// TestIDsAsStrings: replies whose ids are strings are understood.
func TestIDsAsStrings(t *testing.T) {
	n := newNet(t)
	_ = made(n.Mint721(t.Context(), n.Holder.Address))(t)
	must(t, n.Mine(t.Context(), 3))
	useAll(t, n, newChains(t, configOf(n, newProxy(t, n, stringIDs).URL)))
}

// TestTooManyRequests: an endpoint that refuses every second request for their
// number is waited for.
func TestTooManyRequests(t *testing.T) {
	n := newNet(t)
	_ = made(n.Mint721(t.Context(), n.Holder.Address))(t)
	must(t, n.Mine(t.Context(), 3))
	for name, refuse := range map[string]func(http.ResponseWriter){
		"HTTP 429": func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) },
		"HTTP 429 and Retry-After": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"an error": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"daily request rate limit, slow down"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests, refused atomic.Int64
			p := newRefusing(t, n, func(w http.ResponseWriter, _ []anyCall, _ bool) bool {
				if requests.Add(1)%2 == 0 {
					return false
				}
				refused.Add(1)
				refuse(w)
				return true
			})
			useAll(t, n, newChains(t, configOf(n, p.URL)))
			if refused.Load() < 4 || refused.Load() > 12 {
				t.Errorf("%d of %d requests were refused", refused.Load(), requests.Load())
			}
		})
	}
}

// TestRetryAfterTooLong: a pause that does not end within the time-out of a
// request is not waited for.
func TestRetryAfterTooLong(t *testing.T) {
	n := newNet(t)
	p := newProxy(t, n, limited) // for 30 s
	start := time.Now()
	_, err := newChains(t, configOf(n, p.URL)).Head(t.Context(), n.ChainID)
	if err == nil || !strings.Contains(err.Error(), "rate_limited") || time.Since(start) > time.Second || p.requests.Load() != 1 {
		t.Errorf("after %v and %d requests: %v", time.Since(start), p.requests.Load(), err)
	}
}

// TestNoBlockObjects: an endpoint that knows no block by its hash is asked by
// its number, between two looks at it.
func TestNoBlockObjects(t *testing.T) {
	n := newNet(t)
	_ = made(n.Mint721(t.Context(), n.Holder.Address))(t)
	must(t, n.Mine(t.Context(), 3))
	for name, quorum := range map[string]int{"one": 1, "a quorum": 2} {
		t.Run(name, func(t *testing.T) {
			var urls []string
			for range quorum {
				urls = append(urls, newRefusing(t, n, noObjects).URL)
			}
			cfg := configOf(n, urls...)
			cfg.Quorum = quorum
			useAll(t, n, newChains(t, cfg))
		})
	}
	t.Run("the block is undone meanwhile", func(t *testing.T) {
		var undo atomic.Bool
		p := newRefusing(t, n, func(w http.ResponseWriter, calls []anyCall, batch bool) bool {
			if noObjects(w, calls, batch) {
				return true
			}
			if calls[len(calls)-1].Method == "eth_call" && undo.Swap(false) {
				must(t, n.Reorg(t.Context(), 1))
			}
			return false
		})
		chains := newChains(t, configOf(n, p.URL))
		undo.Store(true)
		reading := made(chains.Read(t.Context(), n.ChainID, sold(n)))(t)
		head := made(chains.Head(t.Context(), n.ChainID))(t)
		if undo.Load() || reading.Block.Hash != head.Hash {
			t.Errorf("read at %x, the head is %x", reading.Block.Hash, head.Hash)
		}
	})
	t.Run("nor by number", func(t *testing.T) {
		p := newRefusing(t, n, func(w http.ResponseWriter, calls []anyCall, batch bool) bool {
			if calls[len(calls)-1].Method != "eth_call" {
				return false
			}
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"only latest is supported"}}`, calls[0].ID)
			return true
		})
		_, err := newChains(t, configOf(n, p.URL)).Read(t.Context(), n.ChainID, sold(n))
		if err == nil || !strings.Contains(err.Error(), "only latest is supported") {
			t.Errorf("the error does not say what is lacking: %v", err)
		}
	})
}

// noObjects refuses calls at a block that is named by its hash.
func noObjects(w http.ResponseWriter, calls []anyCall, batch bool) bool {
	object := func(c anyCall) bool { return len(c.Params) == 2 && strings.HasPrefix(string(c.Params[1]), "{") }
	if !slices.ContainsFunc(calls, object) {
		return false
	}
	replies := make([]anyReply, len(calls))
	for i, c := range calls {
		replies[i] = anyReply{ID: c.ID, Version: "2.0",
			Error: json.RawMessage(`{"code":-32602,"message":"invalid argument 1: json: cannot unmarshal object into Go value of type string"}`)}
	}
	if batch {
		_ = json.NewEncoder(w).Encode(replies)
	} else {
		_ = json.NewEncoder(w).Encode(replies[0])
	}
	return true
}

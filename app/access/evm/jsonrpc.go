package evm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// call is one call of JSON-RPC 2.0.
type call struct {
	method string
	params []any
	after  bool // it must not be answered before the calls before it
}

// reply is what came back for a call: a result or an error.
type reply struct {
	result json.RawMessage
	err    *rpcError
}

// rpcError is JSON-RPC's error object.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// codeInvalidParams is the code of parameters that a server does not understand.
const codeInvalidParams = -32602

// codeNoMethod is the code of a method that a server does not have.
const codeNoMethod = -32601

// rateLimited says whether the error refuses a call for the number of calls in
// a time. Servers have no common code for it. A contract chooses the words of
// errors of execution alone.
func (e *rpcError) rateLimited() bool {
	if e == nil || e.execution() {
		return false
	}
	text := strings.ToLower(e.Message)
	return e.Code == 429 || strings.Contains(text, "rate limit") || strings.Contains(text, "too many requests") ||
		strings.Contains(text, "requests per second")
}

// said is the error's text, short enough for a log line.
func (e *rpcError) said() string {
	text := strings.ToValidUTF8(e.Message, "?")
	if len(text) > 120 {
		text = text[:120] + "…"
	}
	return fmt.Sprintf("%d %q", e.Code, text)
}

// execution says whether the contract failed, not the endpoint: it reverted,
// ran out of gas or hit an invalid instruction. Clients have no common code
// for that but 3, so the rest goes by the words of geth, Erigon, Nethermind,
// Besu and reth. A contract chooses the words after "execution reverted".
func (e *rpcError) execution() bool {
	if e.Code == 3 {
		return true
	}
	text := strings.ToLower(e.Message)
	for _, start := range []string{
		"execution reverted", "vm execution error", "reverted", "revert", "evm error", "out of gas", "outofgas",
		"invalid opcode", "invalid jump", "stack ", "gas uint64 overflow", "return data out of bounds",
		"write protection", "max call depth", "precompile",
	} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}

// limited says whether a request for logs asked for too much at once.
func (e *rpcError) limited() bool {
	if e.Code == -32005 {
		return true
	}
	text := strings.ToLower(e.Message)
	for _, word := range []string{"more than", "too many", "limit", "exceed", "too large", "size"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// wireRequest is a call on the wire.
type wireRequest struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

// wireReply is a reply on the wire.
type wireReply struct {
	ID     wireID          `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

// wireID is the number of a call in a reply, which some servers write as a
// string; 0 if there is none.
type wireID int

// UnmarshalJSON implements json.Unmarshaler.
func (id *wireID) UnmarshalJSON(raw []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err != nil {
		n = 0 // null, or what was not sent: a reply to no call
	}
	*id = wireID(n)
	return nil
}

// batchError is the refusal of a whole batch: one object instead of replies.
type batchError struct{ err *rpcError } // nil: a single result

func (b *batchError) Error() string {
	if b.err == nil {
		return "a single answer to several calls"
	}
	return b.err.said()
}

func (b *batchError) code() int {
	if b.err == nil {
		return 0
	}
	return b.err.Code
}

// encodeCalls makes a request's body: an object for one call, else a batch.
// The ids are 1, 2, 3 ….
func encodeCalls(calls []call) ([]byte, error) {
	batch := make([]wireRequest, len(calls))
	for i, c := range calls {
		params := c.params
		if params == nil {
			params = []any{}
		}
		batch[i] = wireRequest{Version: "2.0", ID: i + 1, Method: c.method, Params: params}
	}
	if len(batch) == 1 {
		return json.Marshal(batch[0])
	}
	return json.Marshal(batch)
}

// decodeReplies reads the replies to n calls, in the calls' order. A
// *batchError is the refusal of a batch: an object, or an array of one error.
func decodeReplies(body []byte, n int) ([]reply, error) {
	body = bytes.TrimSpace(body)
	if len(body) > 0 && body[0] == '[' {
		var batch []wireReply
		if err := json.Unmarshal(body, &batch); err != nil {
			return nil, errors.New("the batch is not JSON-RPC")
		}
		if n > 1 && len(batch) == 1 && batch[0].Error != nil {
			return nil, &batchError{batch[0].Error}
		}
		return sortReplies(batch, n)
	}
	var one wireReply
	if err := json.Unmarshal(body, &one); err != nil {
		return nil, errors.New("the answer is not JSON-RPC")
	}
	switch {
	case n > 1 && (one.Error != nil || one.Result != nil):
		return nil, &batchError{one.Error}
	case one.Error != nil:
		return []reply{{err: one.Error}}, nil
	}
	return sortReplies([]wireReply{one}, n)
}

func sortReplies(batch []wireReply, n int) ([]reply, error) {
	if len(batch) != n {
		return nil, fmt.Errorf("%d replies to %d calls", len(batch), n)
	}
	replies := make([]reply, n)
	for _, r := range batch {
		if r.ID < 1 || int(r.ID) > n {
			return nil, errors.New("a reply to no call")
		}
		to := &replies[r.ID-1]
		if to.result != nil || to.err != nil {
			return nil, errors.New("two replies to one call")
		}
		if (r.Result == nil) == (r.Error == nil) {
			return nil, errors.New("a reply without exactly one of result and error")
		}
		to.result, to.err = r.Result, r.Error
	}
	return replies, nil
}

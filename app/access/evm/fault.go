package evm

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"streamgate/app/access/eth"
)

// reason is why an endpoint gave no answer that can be used; the label of a
// metric.
type reason string

// The reasons.
const (
	reasonTransport reason = "transport"      // no connection, or it broke
	reasonTimeout   reason = "timeout"        // no answer in time
	reasonStatus    reason = "http_status"    // refused by HTTP
	reasonLimited   reason = "rate_limited"   // HTTP 429, or an error that says so
	reasonGarbage   reason = "garbage"        // not what JSON-RPC or the method says
	reasonTooLarge  reason = "too_large"      // longer than maxResponse
	reasonChain     reason = "wrong_chain"    // says another chain id
	reasonRefused   reason = "rpc_error"      // refused by JSON-RPC
	reasonParams    reason = "invalid_params" // … because of the parameters
	reasonBatch     reason = "batch_refused"  // takes no batch, or none of so many calls
	reasonNoLogs    reason = "no_logs"        // does not answer eth_getLogs
	reasonTooMany   reason = "too_many_logs"
	reasonMissing   reason = "missing"   // does not have the block (yet)
	reasonStale     reason = "stale"     // its newest block is too old
	reasonBudget    reason = "budget"    // our own budget is used up
	reasonOpen      reason = "open"      // the circuit breaker is open
	reasonCancelled reason = "cancelled" // the caller no longer wants to know
	reasonWallet    reason = "wallet"    // the code of a wallet that signs in took too long
	reasonDisagree  reason = "disagree"  // too few endpoints said the same
)

// fault is an endpoint's failure to answer. Its text holds no URL.
type fault struct {
	endpoint string
	reason   reason
	detail   string
	wait     time.Duration // reasonLimited: for how long the endpoint wants to be left alone
	code     int           // reasonBatch: the code of the error, if it had one
}

func (f *fault) Error() string {
	if f.detail == "" {
		return fmt.Sprintf("%s: %s", f.endpoint, f.reason)
	}
	return fmt.Sprintf("%s: %s: %s", f.endpoint, f.reason, f.detail)
}

// plain says the fault in English.
func (f *fault) plain() string {
	text := map[reason]string{
		reasonTransport: "there is no connection", reasonTimeout: "there was no answer in time",
		reasonStatus: "it refuses by HTTP status", reasonLimited: "it refuses because of the number of requests",
		reasonGarbage: "the answer is not what JSON-RPC says", reasonTooLarge: "the answer is too long",
		reasonChain: "it says chain id", reasonRefused: "it refuses the call", reasonParams: "it does not understand the parameters",
		reasonBatch: "it refuses several calls at once", reasonNoLogs: "it refuses to list logs", reasonTooMany: "it refuses to list so many logs",
		reasonMissing: "it does not have", reasonBudget: "chains[].requests_per_second leaves no room",
		reasonOpen: "it failed several times in a row", reasonCancelled: "the check took too long",
	}[f.reason]
	switch {
	case text == "": // the detail is a sentence already, or there is none
		return cmp.Or(f.detail, string(f.reason))
	case f.reason == reasonChain, f.reason == reasonMissing, f.reason == reasonStatus:
		return text + " " + f.detail
	case f.detail != "":
		return text + " (" + f.detail + ")"
	}
	return text
}

// unhealthy says whether the fault counts against the endpoint. What a
// contract or a caller can bring about does not.
func (f *fault) unhealthy() bool {
	switch f.reason {
	case reasonTransport, reasonTimeout, reasonStatus, reasonLimited, reasonGarbage, reasonChain:
		return true
	default:
		return false
	}
}

// Is makes a fault eth.ErrNoLogs, if it is one.
func (f *fault) Is(target error) bool { return target == eth.ErrNoLogs && f.reason == reasonNoLogs }

func is(err error, r reason) bool {
	var f *fault
	return errors.As(err, &f) && f.reason == r
}

package evm

import (
	"errors"
	"fmt"
	"time"

	"streamgate/app/access"
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

// Is makes a fault access.ErrNoLogs, if it is one.
func (f *fault) Is(target error) bool { return target == access.ErrNoLogs && f.reason == reasonNoLogs }

func is(err error, r reason) bool {
	var f *fault
	return errors.As(err, &f) && f.reason == r
}

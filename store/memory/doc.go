// Package memory keeps short-lived values in the process.
//
// # What
//
// Cache implements store.Cache: values with an end, one-time tokens and rate
// limits, for a node that stands alone.
//
// # Usage
//
//	cache := memory.NewCache(memory.Options{})
//
// # Guarantees
//
// Memory is bounded: each kind of entry (values; rate limits) has a fixed
// number of places, and the one used longest ago makes room for a new one. The
// kinds have places of their own, so a flood of clients that fills the rate
// limits cannot push a sign-in nonce out.
//
// # Testing
//
// The suite of store/storetest, with its own clock.
package memory

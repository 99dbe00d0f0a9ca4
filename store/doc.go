// Package store says what StreamGate remembers: plain records and the small
// contracts through which they are kept.
//
// # What
//
// Five contracts, each with one conformance suite in store/storetest that
// every backend runs:
//
//   - Table: records by id (videos, tasks, uploads, keys); Catalog bundles
//     the tables with the plans and the cells that exist.
//   - Queue: jobs, leased to workers with a fencing token.
//   - Database: both of these as a whole, to be moved to another backend.
//   - Objects: immutable files (sources, cells, stills).
//   - Cache: short-lived values, one-time tokens and rate limits.
//
// # Usage
//
// Services take the contracts they need. Only package node and a backend's
// own tests import a backend.
//
// # Guarantees
//
// A write that returned nil is durable (Cache excepted, and leases that are given or
// renewed, which a crash may end early). Every method honours its context. Errors are
// this package's sentinels, wrapped with what was being done; test them with
// errors.Is. Records returned are copies: changing one changes nothing that is stored.
// All times are UTC.
package store

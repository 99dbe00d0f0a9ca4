// Package node says where StreamGate runs: it reads the configuration, opens
// the backends and starts the services of this node's roles.
//
// # What
//
// A microkernel. A Node is a table of plugins (roles.go), started in order and
// stopped in reverse; a Kernel is what the plugins share while they run. A
// service becomes part of a node through one short file here, which takes the
// stores and peers it needs from the Kernel, puts its handlers on the Kernel's
// Mux and itself into the Kernel's Peers.
//
// # Usage
//
//	cfg, err := node.Load(node.Sources{File: path, Env: os.Environ()})
//	n, err := node.New(cfg, node.Options{Log: log, Version: version})
//	err = n.Run(ctx) // until ctx is done or a supervised loop fails
//
// A test sets the ports to 0 and asks Node.Addr where it listens.
//
// # Guarantees
//
// If Start fails, whatever had started is stopped again. A store that cannot be
// reached is no failure: Start tries again until it can be, and so does a loop that
// the store has ended; /readyz says what is waited for. The data directory is this
// node's alone, by a lock that ends with the process. Run returns nil after
// an orderly stop and an error otherwise; the service manager then restarts
// the node clean.
//
// The stop goes through the table from its end, and the order has a reason at
// each step:
//
//  1. Readiness turns false, the registry says draining and event streams end, so
//     that balancers, other nodes and browsers turn elsewhere.
//  2. The public servers stop accepting and let requests finish for a few
//     seconds: no new work may arrive while the old is being ended.
//  3. The services drain: running jobs may finish for up to 60 s, then their
//     leases are given back. This needs the stores and the bus.
//  4. Stores and bus close, in that order: the last writes are announced.
//  5. The last spans are sent, now that nothing makes any: 3 s at most.
//  6. The node leaves the registry: until its jobs have ended, others must be
//     able to see who holds them.
//  7. The operator's listener closes last: the whole stop can be watched.
//
// # Testing
//
// The kernel's order is tested with plugins that fail and stall; the node
// itself runs on port 0 with real backends, PostgreSQL and Redis among them
// (store/servertest). laws_test.go holds the laws of the
// whole module: which package may import which.
package node

// Package servertest runs the servers that StreamGate's backends need, for tests:
// PostgreSQL and Redis as Debian installs them, each on a socket in a scratch
// directory of its own, where nobody else finds it; and a MinIO and a
// Consul that were built.
//
// # Usage
//
//	pg := servertest.NeedPostgres(t, servertest.PostgresOptions{}) // or StartPostgres, outside of a test
//	db, err := postgres.Open(ctx, pg.Address("postgres"), postgres.Options{})
//
// Stop and Start, Kill and Start, are an outage: the address stays, and so does what
// a server has on its disk.
//
// # Guarantees
//
// A server ends with the process that started it.
package servertest

import "errors"

// ErrMissing means that the server's programs are not on this machine.
var ErrMissing = errors.New("not installed")

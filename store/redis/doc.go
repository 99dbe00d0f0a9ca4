// Package redis keeps short-lived values on a Redis server, for several nodes.
//
// # What
//
// Cache implements store.Cache: values with an end, one-time tokens and rate
// limits that all nodes share. Each call is one round trip, of a script that
// runs whole on the server (EVALSHA): of many nodes that take a nonce one gets
// it, and a limit is one limit.
//
// # Usage
//
//	cache, err := redis.NewCache(redis.Options{
//		URL: "redis://:password@10.0.0.5:6379/0", Local: memory.NewCache(memory.Options{}),
//	})
//	defer cache.Close()
//
// The URL is as https://www.iana.org/assignments/uri-schemes/prov/redis has it;
// rediss speaks TLS, and unix:///path is a socket of this machine.
//
// # Guarantees
//
// Time is the server's, so that nodes whose clocks differ agree. Keys begin with
// "streamgate/"; all of them end by themselves.
//
// While the server is away, limits are those of Options.Local, each node's own;
// values are neither kept nor found: every other call fails with store.ErrUnavailable, within
// Options.Timeout, and at once for a second after one that did. So without Redis
// no nonce is good, and nobody is admitted who should not be.
//
// The server may forget what it holds. One that evicts (maxmemory-policy other
// than noeviction) or fails over forgets nonces and limits early: a sign-in must
// be begun again, or a client gets its burst once more.
//
// # Testing
//
// The suite of store/storetest on Debian's redis-server, with its own clock, and
// a server that stops and comes back.
package redis

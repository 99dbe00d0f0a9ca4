// Package postgres keeps the queue and the catalog of many nodes in one
// PostgreSQL database, version 14 or newer.
//
// # What
//
// DB implements store.Queue and every contract of store.Catalog.
//
// # Usage
//
//	db, err := postgres.Open(ctx, "postgres://streamgate@db.example/streamgate", postgres.Options{})
//	…
//	defer db.Close()
//	queue, catalog := db.Queue(), db.Catalog()
//
// The address is a URL or a list of key=value, as libpq takes it. With several
// hosts and target_session_attrs=read-write it follows a failover. The database
// is the program's alone; its encoding is UTF8.
//
// # Guarantees
//
// A write that returned nil is committed, and as durable as the server's
// synchronous_commit says, but for leases that are given or renewed, which a crash of
// the server may end. store.ErrUnavailable is a database that cannot be
// reached now: a write that ended with it, or with its context's error, may have
// been kept. store.ErrFull is the server's full disk.
//
// Time is the database's, never a node's.
//
// A pooler in transaction mode may stand between: nothing is kept in a session,
// no statement is prepared under a name, nothing is listened for, and locks end
// with their transaction.
//
// Nodes of two versions may share a database: what an older one does not know of
// a record, it keeps (see merge). A database that a newer version has migrated is
// used by an older one unless what that one needs has changed, which the database
// says (see schema.go): then it is ErrSchema.
//
// # Layout
//
// The tables are in schema/, one file a version. Documents are of type json, not
// jsonb: that keeps them byte for byte, which a signed payload and the chain of
// the audit need, and takes the \u0000 that metadata of uploads may hold. Nothing
// is searched for in a document: what lists and filters need is a column.
//
// While the database is held or not in use (store.Database), each table has a trigger
// that refuses writes, whoever makes them.
//
// Names are compared as bytes (COLLATE "C"), as the order of ids wants it. Times
// of the queue are nanoseconds since 1970, since timestamptz has only
// microseconds.
//
// # Testing
//
// The suites of store/storetest run on a real server, also over two nodes by
// turns whose sessions forget all that they knew after each use, with calls that
// stall, and behind PgBouncer. Tests cut connections and kill transactions; without PostgreSQL's
// programs on the machine all of them but those of pure functions are skipped.
package postgres

// Package bolt keeps the queue and the catalog of one node in a single bbolt
// file.
//
// # What
//
// DB implements store.Queue and every contract of store.Catalog. It is the
// default of a node that stands alone.
//
// # Usage
//
//	db, err := bolt.Open(filepath.Join(dataDir, "streamgate.db"), bolt.Options{})
//	…
//	defer db.Close()
//	queue, catalog := db.Queue(), db.Catalog()
//
// # Guarantees
//
// A write that returned nil has been synced to the disk. A write that
// returned an error, its context's included, has changed nothing (but see
// writer: a disk that fails while it commits may have kept it). One process
// holds the file at a time; another gets ErrInUse. A full disk is
// store.ErrFull.
//
// Concurrent writers share one sync: see writer for how, and for why one
// caller's failure does not touch the others. That sync is of a redo log in two
// files beside the database (see durability), and the database's own pages may
// wait until somebody reads (see ahead): a copy of the database is whole only
// with the log, or after Close.
//
// # Layout
//
// Each index is a bucket of its own, and every key sorts as bytes in the
// order it is read (see keys.go):
//
//	jobs          id → job, JSON
//	jobs.backlog  lease order → id       a job is in exactly
//	jobs.later    run-at, id → id        one of these seven
//	jobs.ready    lease order → id
//	jobs.suspect  lease order → id
//	jobs.leased   expiry, id → id
//	jobs.paused   id → id
//	jobs.done     id → id
//	jobs.task     task, id → o (open) or d (done)
//	jobs.count    state → number of jobs
//	<table>       id → record, JSON      videos, tasks, uploads, keys, rules,
//	                                     sessions, codes, signouts, cursors,
//	                                     decisions, webhooks, deliveries, …
//	<table>.by    parent, id → state  and  state, id → parent
//	plans         video → plan, JSON
//	plans.due     video → when a retired rendition of its plan may be removed
//	cells         video, rendition → the set of its cells, JSON
//	secrets       name → bytes
//	meta          schema → the layout's version; paused, if the queue is;
//	              standing, if the database is not in use
//
// # Testing
//
// The suites of store/storetest run on a real file. writer_test.go covers
// isolation within a commit, power_test.go what a power cut leaves,
// ahead_test.go the pages that wait; the
// benchmarks measure the queue.
package bolt

package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// How often a statement or transaction is run at most.
const maxRuns = 5

// read runs fn, which changes nothing; again if its connection was lost.
func (db *DB) read(ctx context.Context, fn func() error) error {
	return db.run(ctx, fn, lost)
}

// write runs fn, which is one statement or transaction; again only if it is
// certain that nothing of it was kept: an answer that was lost is the caller's to
// think about.
func (db *DB) write(ctx context.Context, fn func() error) error {
	return db.run(ctx, fn, func(err error) bool { return rolledBack(err) || lost(err) && pgconn.SafeToRetry(err) })
}

func (db *DB) run(ctx context.Context, fn func() error, again func(error) bool) error {
	for runs := 1; ; runs++ {
		err := fn()
		if lost(err) && ctx.Err() == nil {
			db.pool.Reset() // the others will not be better
		}
		if err == nil || runs == maxRuns || ctx.Err() != nil || !again(err) || !pause(ctx, runs) {
			return failure(ctx, err)
		}
	}
}

// begin bounds how long the server keeps the locks of a node that has gone silent
// within a transaction.
const begin = `begin; set local idle_in_transaction_session_timeout = '30s'`

// transaction runs fn in one that is committed if fn returns nil. fn may run more
// than once.
func (db *DB) transaction(ctx context.Context, fn func(pgx.Tx) error) error {
	return db.write(ctx, func() error { return pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{BeginQuery: begin}, fn) })
}

// exec runs a statement and tells how many rows it changed.
func (db *DB) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = db.write(ctx, func() error {
		tag, err := db.pool.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// pause waits for some milliseconds, more with each try and never the same for
// two who collided. False if the context ended.
func pause(ctx context.Context, tries int) bool {
	most := time.Millisecond << min(tries, 6)
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"streamgate/store/internal/backend"
)

// Merge is merge.
func Merge(stored, before, after []byte) []byte { return merge(stored, before, after) }

// Failure is failure.
func Failure(ctx context.Context, err error) error { return failure(ctx, err) }

// OpenForgetful opens a database whose sessions forget all that they know after
// each use, as behind a pooler that hands them to others between transactions.
func OpenForgetful(ctx context.Context, address string, opts Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.AfterRelease = func(conn *pgx.Conn) bool {
		return conn.PgConn().Exec(context.Background(), "DISCARD ALL").Close() == nil
	}
	return open(ctx, config, opts)
}

// LaterSteps makes this program one of a version to come, until the test ends.
func LaterSteps(t *testing.T, files map[string]string) {
	t.Helper()
	laterSteps = ""
	t.Cleanup(func() { laterSteps = "" })
	if len(files) == 0 {
		return
	}
	laterSteps = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(laterSteps, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Transaction is transaction.
func (db *DB) Transaction(ctx context.Context, fn func(pgx.Tx) error) error {
	return db.transaction(ctx, fn)
}

// CheckOrder tells whether each job's place in order is what the job says.
func (db *DB) CheckOrder(ctx context.Context) error {
	jobs, _, err := db.readJobs(ctx, db.pool, `true`)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		var ord []byte
		if err := db.pool.QueryRow(ctx, `SELECT ord FROM jobs WHERE id = $1`, text(job.ID)).Scan(&ord); err != nil {
			return err
		}
		if want := backend.KeyOrder(&job); string(ord) != string(want) {
			return fmt.Errorf("job %s is at %x, want %x", job.ID, ord, want)
		}
	}
	return nil
}

// Triggers counts the triggers that refuse writes.
func (db *DB) Triggers(ctx context.Context) (n int, err error) {
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM pg_trigger WHERE tgname = 'refuse_write'`).Scan(&n)
	return n, err
}

// Kinds of calls.
const (
	Push   = push
	Finish = finish
	Renew  = renew
	Lease  = lease
)

// Relaxed tells whether a commit of such calls does not wait for the disk.
func (db *DB) Relaxed(kinds ...kind) bool {
	var calls []*call
	for i, k := range kinds {
		c := &call{kind: k, id: fmt.Sprint(i)}
		if k == push {
			c.rows = []newRow{{id: c.id}}
		}
		calls = append(calls, c)
	}
	return db.leases.batch(calls).QueuedQueries[0].SQL == relaxSQL
}

// Waiting is how many calls wait for the next commit of leases.
func (db *DB) Waiting() int {
	db.leases.mu.Lock()
	defer db.leases.mu.Unlock()
	return len(db.leases.waiting)
}

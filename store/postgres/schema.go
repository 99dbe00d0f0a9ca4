package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// schemaFiles are the steps from nothing to the tables of today. A file that was
// released never changes; a change is a new file, which leaves what the program
// before reads and writes as it was, since that one may still run.
//
//go:embed schema/*.sql
var schemaFiles embed.FS

// migrations are the statements of each step, in order. The version of a database
// is how many of them it has seen.
func migrations() (steps []string, err error) {
	names, err := fs.Glob(schemaFiles, "schema/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := schemaFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, string(data))
	}
	return steps, nil
}

// migrationLock is what nodes that start together take turns by; any number will
// do that nobody else uses in this database.
const migrationLock = 0x73747265616d

// migrate brings the database to the version of this program, all of it or
// nothing. One that is there already is only read.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		version, err := schemaVersion(ctx, tx)
		if err != nil || version == len(steps) {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, int64(migrationLock)); err != nil {
			return err
		}
		if version, err = schemaVersion(ctx, tx); err != nil { // another node may have been first
			return err
		}
		return runSteps(ctx, tx, steps, version)
	})
	return failure(ctx, err)
}

func runSteps(ctx context.Context, tx pgx.Tx, steps []string, version int) error {
	if version > len(steps) {
		return fmt.Errorf("%w: the database has version %d, this program knows none after %d; run the newer program", ErrSchema, version, len(steps))
	}
	if version == 0 {
		if _, err := tx.Exec(ctx, `CREATE TABLE schema_versions (
			version integer PRIMARY KEY,
			applied timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
	}
	for i := version; i < len(steps); i++ {
		// Several statements at once: only the simple protocol takes them.
		if err := tx.Conn().PgConn().Exec(ctx, steps[i]).Close(); err != nil {
			return fmt.Errorf("migrate to version %d: %w", i+1, err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO schema_versions (version) VALUES ($1)`, i+1); err != nil {
			return err
		}
	}
	return nil
}

// schemaVersion is 0 for an empty database.
func schemaVersion(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var made bool
	err = tx.QueryRow(ctx, `SELECT to_regclass('schema_versions') IS NOT NULL`).Scan(&made)
	if err != nil || !made {
		return 0, err
	}
	err = tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_versions`).Scan(&version)
	return version, err
}

package postgres

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// schemaFiles are the steps from nothing to the tables of today. A file that was
// released never changes; a change is a new file. Its first line says from which
// version of the tables on a program may use what it makes:
//
//	-- compatible 3
//
// is the word of a step that leaves what programs which know three steps read and
// write as it was, so that they go on beside newer ones. A step that takes something
// away names itself, and is not done while older programs run.
//
//go:embed schema/*.sql
var schemaFiles embed.FS

// step is one change of the tables.
type step struct {
	sql        string
	compatible int // the oldest version whose programs may use the tables after it
}

// firstTold is the step since which the database knows what its tables are
// compatible with. Those before fit every program.
const firstTold = 4

// migrations are the steps in order. The version of a database is how many of them
// it has seen.
func migrations() ([]step, error) {
	steps, err := readSteps(schemaFiles, "schema/*.sql")
	if err != nil || laterSteps == "" {
		return steps, err
	}
	later, err := readSteps(os.DirFS(laterSteps), "*.sql")
	return append(steps, later...), err
}

// laterSteps is a folder of further steps: a test of upgrades links it into the
// program of a version to come.
var laterSteps string

func readSteps(files fs.FS, pattern string) (steps []step, err error) {
	names, err := fs.Glob(files, pattern) // sorted
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		s := step{sql: string(data), compatible: 1}
		if strings.HasPrefix(s.sql, "-- compatible") {
			if _, err := fmt.Sscanf(s.sql, "-- compatible %d\n", &s.compatible); err != nil {
				return nil, fmt.Errorf("%s: its first line names no version: %w", name, err)
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// schema is what a database says of its tables.
type schema struct {
	version    int // 0 for an empty database
	compatible int // the oldest version whose programs may use them
}

// refusal is why a program that knows so many steps must not use the tables; nil if
// it may.
func (s schema) refusal(known int) error {
	if s.compatible <= known {
		return nil
	}
	return fmt.Errorf("%w: the database has version %d, which programs that know version %d can use, and this one knows none after %d; run the newer program",
		ErrSchema, s.version, s.compatible, known)
}

// migrationLock is what nodes that start together take turns by; any number will
// do that nobody else uses in this database.
const migrationLock = 0x73747265616d

// migrate brings the database to the version of this program, all of it or
// nothing, and returns that version. A database that has it is only read, and so is
// one that a newer program has migrated to what this one can use.
func migrate(ctx context.Context, pool *pgxpool.Pool, others func(compatible int) error) (known int, err error) {
	steps, err := migrations()
	if err != nil {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		has, err := readSchema(ctx, tx)
		if err != nil {
			return err
		}
		if has.version < len(steps) {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, int64(migrationLock)); err != nil {
				return err
			}
			if has, err = readSchema(ctx, tx); err != nil { // another node may have been first
				return err
			}
		}
		if has.version >= len(steps) {
			return has.refusal(len(steps))
		}
		return runSteps(ctx, tx, steps, has.version, others)
	})
	return len(steps), failure(ctx, err)
}

func runSteps(ctx context.Context, tx pgx.Tx, steps []step, version int, others func(int) error) error {
	if version == 0 {
		if _, err := tx.Exec(ctx, `CREATE TABLE schema_versions (
			version integer PRIMARY KEY,
			applied timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
	} else if others != nil {
		oldest := slices.MaxFunc(steps[version:], func(a, b step) int { return cmp.Compare(a.compatible, b.compatible) }).compatible
		if err := others(oldest); err != nil {
			return fmt.Errorf("migrate from version %d to %d: %w", version, len(steps), err)
		}
	}
	for i, s := range steps[version:] {
		number := version + i + 1
		// Several statements at once: only the simple protocol takes them.
		if err := tx.Conn().PgConn().Exec(ctx, s.sql).Close(); err != nil {
			return fmt.Errorf("migrate to version %d: %w", number, err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO schema_versions (version) VALUES ($1)`, number); err != nil {
			return err
		}
		if number < firstTold {
			continue
		}
		if _, err := tx.Exec(ctx, `UPDATE schema_versions SET compatible = $2 WHERE version = $1`, number, s.compatible); err != nil {
			return err
		}
	}
	return nil
}

func readSchema(ctx context.Context, on querier) (s schema, err error) {
	s.compatible = 1
	var made, told bool
	err = on.QueryRow(ctx, `SELECT to_regclass('schema_versions') IS NOT NULL, EXISTS (
		SELECT FROM pg_attribute WHERE attrelid = to_regclass('schema_versions') AND attname = 'compatible')`).Scan(&made, &told)
	if err != nil || !made {
		return s, err
	}
	if !told {
		err = on.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_versions`).Scan(&s.version)
		if s.version >= firstTold {
			s.compatible = s.version // whatever it is
		}
		return s, err
	}
	err = on.QueryRow(ctx, `SELECT coalesce(max(version), 0), coalesce(max(coalesce(compatible, version)), 1) FROM schema_versions`).Scan(&s.version, &s.compatible)
	return s, err
}

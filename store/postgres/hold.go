package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"streamgate/store"
)

// The codes of the trigger that refuses writes.
const (
	codeHeld  = "SGHLD"
	codeMoved = "SGMVD" // its message is the standing
)

// lockLimit is how long Hold waits for the writes under way. A transaction of this
// program takes milliseconds.
const lockLimit = "10s"

// Hold implements store.Database. To make a trigger waits for every transaction that
// has written to its table.
func (db *DB) Hold(ctx context.Context, ttl time.Duration) error {
	mine := db.held.Load()
	if mine != 0 {
		n, err := db.exec(ctx, `UPDATE whole SET held_until = clock_timestamp() + $2::bigint * interval '1 microsecond'
			WHERE held = $1 AND clock_timestamp() < held_until`, mine, ttl.Microseconds())
		if err == nil && n == 0 {
			err = store.ErrHoldLost
		}
		return err
	}
	err := db.transaction(ctx, func(tx pgx.Tx) error {
		if err := makeTriggers(ctx, tx); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `UPDATE whole SET held = nextval('revisions'), held_until = clock_timestamp() + $1::bigint * interval '1 microsecond'
			WHERE held = 0 OR held_until < clock_timestamp() RETURNING held`, ttl.Microseconds()).Scan(&mine)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w: another program holds it", store.ErrReadOnly)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("hold the database: %w", err)
	}
	db.held.Store(mine)
	return nil
}

func makeTriggers(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '`+lockLimit+`'`); err != nil {
		return err
	}
	for _, table := range store.Tables() {
		if _, err := tx.Exec(ctx, `CREATE OR REPLACE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE ON `+table+`
			FOR EACH STATEMENT EXECUTE FUNCTION refuse_write()`); err != nil {
			return err
		}
	}
	return nil
}

func dropTriggers(ctx context.Context, tx pgx.Tx) error {
	for _, table := range store.Tables() {
		if _, err := tx.Exec(ctx, `DROP TRIGGER IF EXISTS refuse_write ON `+table); err != nil {
			return err
		}
	}
	return nil
}

// Release implements store.Database. Writes go on with the first statement; without
// the triggers they cost what they did before.
func (db *DB) Release(ctx context.Context) error {
	mine := db.held.Swap(0)
	if mine == 0 {
		return nil
	}
	n, err := db.exec(ctx, `UPDATE whole SET held = 0 WHERE held = $1 AND standing IS NULL`, mine)
	if err == nil && n == 1 {
		err = db.transaction(ctx, func(tx pgx.Tx) error { return dropTriggers(ctx, tx) })
	}
	if err != nil {
		return fmt.Errorf("release the database: %w", err)
	}
	return nil
}

// dropOldHold drops the triggers of a hold that nobody gave up: they refuse nothing any
// more, and cost something.
func (db *DB) dropOldHold(ctx context.Context) error {
	var old bool
	err := db.read(ctx, func() error {
		return db.pool.QueryRow(ctx, `SELECT held <> 0 AND held_until < clock_timestamp() AND standing IS NULL FROM whole`).Scan(&old)
	})
	if err != nil || !old {
		return err
	}
	return db.transaction(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE whole SET held = 0 WHERE held <> 0 AND held_until < clock_timestamp() AND standing IS NULL`)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return dropTriggers(ctx, tx)
	})
}

// Standing implements store.Database.
func (db *DB) Standing(ctx context.Context) (s store.Standing, err error) {
	var text *string
	err = db.read(ctx, func() error {
		return db.pool.QueryRow(ctx, `SELECT standing FROM whole`).Scan(&text)
	})
	if err == nil && text != nil {
		err = json.Unmarshal([]byte(*text), &s)
	}
	if err != nil {
		return s, fmt.Errorf("read whether the database is in use: %w", err)
	}
	return s, nil
}

// SetStanding implements store.Database.
func (db *DB) SetStanding(ctx context.Context, s store.Standing) error {
	text, err := writeJSON(s, s.State == store.StandingInUse)
	if err != nil {
		return err
	}
	err = db.transaction(ctx, func(tx pgx.Tx) error {
		switch s.State {
		case store.StandingInUse:
			if err := dropTriggers(ctx, tx); err != nil {
				return err
			}
		case store.StandingMoved: // the triggers of the hold stay
		default:
			if err := makeTriggers(ctx, tx); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `UPDATE whole SET standing = $1 WHERE NOT $2 OR held = $3 AND clock_timestamp() < held_until`,
			text, s.State == store.StandingMoved, max(db.held.Load(), 1))
		if err == nil && tag.RowsAffected() == 0 {
			err = store.ErrHoldLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("set whether the database is in use: %w", err)
	}
	return nil
}

// moved is the error of a write to a database that is not in use.
func moved(err error) error {
	var s store.Standing
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || json.Unmarshal([]byte(refusal.Message), &s) != nil {
		return store.ErrMoved
	}
	return s.Refusal()
}

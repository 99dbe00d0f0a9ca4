package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ValidAddress tells whether an address can be one of a database.
func ValidAddress(address string) bool {
	_, err := pgxpool.ParseConfig(address)
	return err == nil
}

// OldestServer is the oldest server that will do, as server_version_num has it.
const OldestServer = 140000

// Report is what a look at a database finds.
type Report struct {
	Server   string        // its version, like 15.6
	Number   int           // the same as server_version_num, like 150006
	Encoding string        // of the database; UTF8 is wanted
	Schema   int           // the version of its tables; 0 if it has none
	Known    int           // the newest version of the tables that this program knows
	Usable   error         // why this program cannot use them; ErrSchema
	Ahead    time.Duration // how far its clock is ahead of this machine's
}

// Look looks at a database and changes nothing: store.ErrUnavailable.
func Look(ctx context.Context, address string) (Report, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return Report{}, fmt.Errorf("look at the database: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectLimit
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	var r Report
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was changed
		err = r.read(ctx, conn)
	}
	return r, failure(ctx, err)
}

func (r *Report) read(ctx context.Context, conn *pgx.Conn) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	r.Known = len(steps)
	err = conn.QueryRow(ctx, `SELECT split_part(current_setting('server_version'), ' ', 1),
		current_setting('server_version_num')::int, current_setting('server_encoding')`).Scan(&r.Server, &r.Number, &r.Encoding)
	if err != nil {
		return err
	}
	if r.Ahead, err = ahead(ctx, conn); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		has, err := readSchema(ctx, tx)
		r.Schema, r.Usable = has.version, has.refusal(r.Known)
		return err
	})
}

// Ahead tells how far the server's clock is ahead of this machine's. It is a
// question that the server answers at once, so it also tells whether there is one.
func (db *DB) Ahead(ctx context.Context) (by time.Duration, err error) {
	err = db.read(ctx, func() error {
		by, err = ahead(ctx, db.pool)
		return err
	})
	return by, err
}

// Usable tells whether the tables are such that this program can use them: not
// where a newer one has changed them since. ErrSchema, store.ErrUnavailable.
func (db *DB) Usable(ctx context.Context) error {
	var has schema
	err := db.read(ctx, func() (err error) {
		has, err = readSchema(ctx, db.pool)
		return err
	})
	return cmp.Or(err, has.refusal(db.known))
}

// Known is the newest version of the tables that this program knows.
func (db *DB) Known() int { return db.known }

// ahead compares the server's clock with the middle of the time that asking took.
func ahead(ctx context.Context, on querier) (time.Duration, error) {
	asked := time.Now()
	var theirs time.Time
	if err := on.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return 0, err
	}
	took := time.Since(asked)
	return theirs.Sub(asked.Add(took / 2)), nil
}

// Place names a database for people, without secrets.
func Place(address string) string {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return "PostgreSQL"
	}
	return fmt.Sprintf("%s on %s:%d", config.Database, config.Host, config.Port)
}

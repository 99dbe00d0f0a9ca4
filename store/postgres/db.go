package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"streamgate/store"
)

// The errors of this package; those of package store are returned as well.
var (
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("database closed")
	// ErrSchema: a newer version of the program has changed the tables, to what this
	// one cannot use.
	ErrSchema = errors.New("unknown database layout")
)

const (
	// defaultConns is few, since three connections commit for all callers of the
	// queue, and a server on few cores gets slower with more of them.
	defaultConns = 8
	// connectLimit bounds one attempt to connect if the address does not.
	connectLimit = 5 * time.Second
)

// Options tune a DB. The zero value is what a node uses.
type Options struct {
	// MaxConns is how many connections a node has at most; 0 is 8.
	MaxConns int
	// Now is the clock leases and run times are measured by; nil is the
	// database's. It is for tests, that want to move it.
	Now func() time.Time
	// NotInUse opens a database that is not in use as well, to move it.
	NotInUse bool
	// Others is asked before tables are changed that are there, with the oldest
	// version of them whose programs can use the new ones: its error is why they
	// must stay as they are. nil is for a program that is alone.
	Others func(compatible int) error
}

// DB is a database that a node uses with others.
type DB struct {
	pool     *pgxpool.Pool
	pushes   *committer // of pushed jobs
	leases   *committer // of leases that are given and ended
	renewals *committer // of leases that are renewed
	now      func() time.Time
	known    int          // the newest version of the tables that this program knows
	held     atomic.Int64 // the hold of this program; 0 for none
}

// Open connects to the database and brings its tables up to date. ErrSchema,
// store.ErrMoved, store.ErrUnavailable.
func Open(ctx context.Context, address string, opts Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err) // has no password in it
	}
	return open(ctx, config, opts)
}

func open(ctx context.Context, config *pgxpool.Config, opts Options) (*DB, error) {
	config.MaxConns = defaultConns
	if opts.MaxConns > 0 {
		config.MaxConns = int32(min(opts.MaxConns, 1000))
	}
	// The types of a statement's parameters are asked for once a connection, and
	// kept here: the server remembers nothing that a pooler could mix up.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectLimit
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "streamgate"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	known, err := migrate(ctx, pool, opts.Others)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database %s on %s: %w", config.ConnConfig.Database, config.ConnConfig.Host, err)
	}
	db := &DB{pool: pool, now: opts.Now, known: known}
	db.pushes, db.leases, db.renewals = newCommitter(db), newCommitter(db), newCommitter(db)
	standing, err := db.Standing(ctx)
	if err == nil && !opts.NotInUse {
		err = standing.Refusal()
	}
	if err == nil {
		err = db.dropOldHold(ctx)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open database %s on %s: %w", config.ConnConfig.Database, config.ConnConfig.Host, err)
	}
	return db, nil
}

// Close waits for the commits under way and disconnects. Later calls get
// ErrClosed.
func (db *DB) Close() {
	db.pushes.close()
	db.leases.close()
	db.renewals.close()
	db.pool.Close()
}

// Queue is the job queue in the database.
func (db *DB) Queue() store.Queue { return &queue{db} }

// Catalog is the records in the database.
func (db *DB) Catalog() store.Catalog {
	return store.Catalog{
		Videos:  &table[store.Video]{db, "videos"},
		Tasks:   &table[store.Task]{db, "tasks"},
		Uploads: &table[store.Upload]{db, "uploads"},
		Keys:    &table[store.Key]{db, "keys"},

		Removals: &table[store.Removal]{db, "removals"},

		Rules:    &table[store.Rule]{db, "rules"},
		Sessions: &table[store.Session]{db, "sessions"},
		Codes:    &table[store.Code]{db, "codes"},
		SignOuts: &table[store.SignOut]{db, "sign_outs"},
		Cursors:  &table[store.ChainCursor]{db, "chain_cursors"},

		Webhooks:        &table[store.Webhook]{db, "webhooks"},
		Deliveries:      &table[store.Delivery]{db, "deliveries"},
		People:          &table[store.Person]{db, "people"},
		SetupLinks:      &table[store.SetupLink]{db, "setup_links"},
		ConsoleSessions: &table[store.ConsoleSession]{db, "console_sessions"},
		Passkeys:        &table[store.Passkey]{db, "passkeys"},
		Wallets:         &table[store.Wallet]{db, "wallets"},
		Audit:           &table[store.AuditEntry]{db, "audit_entries"},
		AuditHeads:      &table[store.AuditHead]{db, "audit_heads"},
		Alerts:          &table[store.Alert]{db, "alerts"},
		Decisions:       &table[store.Decision]{db, "decisions"},

		Plans:   &plans{db},
		Secrets: &secrets{db},
	}
}

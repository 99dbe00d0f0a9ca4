package bolt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"streamgate/store"
)

// The errors of this package; those of package store are returned as well.
var (
	// ErrInUse: another process holds the database.
	ErrInUse = errors.New("database in use")
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("database closed")
	// ErrSchema: the file was written by a version with another layout.
	ErrSchema = errors.New("unknown database layout")
)

const (
	// schema is the version of the layout; bump it with a migration. Version 2
	// has a redo log beside the file, without which an older program would
	// read the file as it is.
	schema       = "2"
	schemaBefore = "1"
	// lockWait is how long Open waits for the file's lock, so that a node
	// restarted by systemd does not trip over its predecessor's last moment.
	lockWait = time.Second
	// mapBytes is the address space reserved for the file. While it fits, a
	// long read never blocks a writer. Less where addresses are 32 bits.
	mapBytes = int(min(8<<30, int64(math.MaxInt/4)))
)

// Options tune a DB. The zero value is what a node uses.
type Options struct {
	// Now is the clock leases and run times are measured by; nil is time.Now.
	Now func() time.Time
	// NotInUse opens a database that is not in use as well, to move it.
	NotInUse bool
}

// DB is an open database.
type DB struct {
	bolt *bbolt.DB
	w    *writer
	trim trimmer
	hold hold
	now  func() time.Time
}

// Open opens the database at path, making it if it is missing; its folder
// must exist. ErrInUse, ErrSchema, store.ErrMoved.
func Open(path string, opts Options) (*DB, error) {
	b, err := openRestored(path)
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s is held by another process; stop that one or use another data directory", ErrInUse, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, store.Full(err))
	}
	if err := prepare(b); err != nil {
		return nil, fmt.Errorf("prepare database %s: %w", path, errors.Join(store.Full(err), b.Close()))
	}
	standing, err := readStanding(b)
	if err == nil && !opts.NotInUse {
		err = standing.Refusal()
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, errors.Join(err, b.Close()))
	}
	disk, err := newDurability(b, path)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, errors.Join(err, b.Close()))
	}
	trim(b)
	db := &DB{bolt: b, w: newWriter(b, disk), trim: trimmer{bolt: b}, now: opts.Now}
	db.hold.standing = standing
	if db.now == nil {
		db.now = time.Now
	}
	return db, nil
}

// openRestored opens the file in the state that was last acknowledged.
func openRestored(path string) (*bbolt.DB, error) {
	unlock, err := lock(path)
	if err != nil {
		return nil, err
	}
	payloads, done, err := restore(path)
	if err := errors.Join(err, unlock()); err != nil {
		return nil, err
	}
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait,
		// A synced free list is rewritten whole with each commit, which makes
		// the file grow without bound under load; it is rebuilt at open instead.
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapBytes,
	})
	if err != nil {
		return nil, err
	}
	if err := replay(b, payloads); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := done(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close waits for the writes under way and closes the file. Later calls get
// ErrClosed.
func (db *DB) Close() error {
	return errors.Join(db.w.close(), db.bolt.Close())
}

// Queue is the job queue in the database.
func (db *DB) Queue() store.Queue { return &queue{db} }

// Catalog is the records in the database.
func (db *DB) Catalog() store.Catalog {
	return store.Catalog{
		Videos:   &table[store.Video]{db: db, name: bucketVideos},
		Tasks:    &table[store.Task]{db: db, name: bucketTasks},
		Uploads:  &table[store.Upload]{db: db, name: bucketUploads},
		Removals: &table[store.Removal]{db: db, name: bucketRemovals},
		Keys:     &table[store.Key]{db: db, name: bucketKeys},

		Rules:    &table[store.Rule]{db: db, name: bucketRules},
		Sessions: &table[store.Session]{db: db, name: bucketSessions},
		Codes:    &table[store.Code]{db: db, name: bucketCodes},
		SignOuts: &table[store.SignOut]{db: db, name: bucketSignOuts},
		Cursors:  &table[store.ChainCursor]{db: db, name: bucketCursors},

		Webhooks:        &table[store.Webhook]{db: db, name: bucketWebhooks},
		Deliveries:      &table[store.Delivery]{db: db, name: bucketDelivery},
		People:          &table[store.Person]{db: db, name: bucketPeople},
		SetupLinks:      &table[store.SetupLink]{db: db, name: bucketSetup},
		ConsoleSessions: &table[store.ConsoleSession]{db: db, name: bucketConsole},
		Passkeys:        &table[store.Passkey]{db: db, name: bucketPasskeys},
		Wallets:         &table[store.Wallet]{db: db, name: bucketWallets},
		Audit:           &table[store.AuditEntry]{db: db, name: bucketAudit},
		AuditHeads:      &table[store.AuditHead]{db: db, name: bucketHeads},
		Alerts:          &table[store.Alert]{db: db, name: bucketAlerts},
		Decisions:       &table[store.Decision]{db: db, name: bucketDecide},

		Plans:   &plans{db},
		Secrets: &secrets{db},
	}
}

// view runs fn in a read transaction. fn must not wait for anything: an open
// read keeps every page that is replaced meanwhile.
func (db *DB) view(ctx context.Context, fn func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := db.w.reading(ctx); err != nil {
		return err
	}
	err := db.bolt.View(fn)
	db.trim.used()
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// write runs fn in a write transaction that it may share with others; see
// writer for what fn must keep to.
func (db *DB) write(ctx context.Context, fn func(*change) error) error {
	db.hold.mu.RLock()
	defer db.hold.mu.RUnlock()
	if err := db.hold.refusal(time.Now()); err != nil {
		return err
	}
	defer db.trim.used()
	return db.w.do(ctx, fn)
}

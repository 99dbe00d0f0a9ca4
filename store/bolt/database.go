package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"go.etcd.io/bbolt"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

var _ store.Database = (*DB)(nil)

// metaStanding has the database's store.Standing; it is absent while that is in use.
const metaStanding = "standing"

func saveStanding(c *change, s store.Standing) error {
	if s.State == store.StandingInUse {
		return c.delete(bucketMeta, []byte(metaStanding))
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.put(bucketMeta, []byte(metaStanding), data)
}

func readStanding(b *bbolt.DB) (s store.Standing, err error) {
	err = b.View(func(tx *bbolt.Tx) error {
		if data := tx.Bucket([]byte(bucketMeta)).Get([]byte(metaStanding)); data != nil {
			return json.Unmarshal(data, &s)
		}
		return nil
	})
	return s, err
}

// whole is a table as it is dumped and restored.
type whole struct {
	bucket  string
	entry   func(key, value []byte) (id string, data []byte, err error)
	restore func(c *change, id string, data []byte) error
}

// tables are those of store.Tables, by name.
func (db *DB) tables() map[string]whole {
	c := db.Catalog()
	return map[string]whole{
		"videos": recordsOf(c.Videos), "tasks": recordsOf(c.Tasks), "uploads": recordsOf(c.Uploads), "keys": recordsOf(c.Keys), "removals": recordsOf(c.Removals),
		"rules": recordsOf(c.Rules), "sessions": recordsOf(c.Sessions), "codes": recordsOf(c.Codes), "sign_outs": recordsOf(c.SignOuts), "chain_cursors": recordsOf(c.Cursors),
		"webhooks": recordsOf(c.Webhooks), "deliveries": recordsOf(c.Deliveries), "people": recordsOf(c.People), "setup_links": recordsOf(c.SetupLinks),
		"console_sessions": recordsOf(c.ConsoleSessions), "passkeys": recordsOf(c.Passkeys), "wallets": recordsOf(c.Wallets),
		"audit_entries": recordsOf(c.Audit), "audit_heads": recordsOf(c.AuditHeads), "alerts": recordsOf(c.Alerts), "decisions": recordsOf(c.Decisions),
		store.TablePlans:   {bucketPlans, asItIs, restorePlan},
		store.TableCells:   {bucketCells, cellsEntry, restoreCells},
		store.TableSecrets: {bucketSecrets, secretEntry, restoreSecret},
		store.TableJobs:    {bucketJobs, jobEntry, restoreJob},
		store.TableQueue:   {bucketMeta, pausedEntry, restorePaused},
	}
}

func asItIs(key, value []byte) (string, []byte, error) {
	return string(key), bytes.Clone(value), nil
}

func recordsOf[T store.Record](t store.Table[T]) whole {
	mine := t.(*table[T])
	return whole{mine.name, asItIs, mine.restore}
}

// restore stores a record's document as it is.
func (t *table[T]) restore(c *change, id string, data []byte) error {
	var rec T
	if err := json.Unmarshal(data, &rec); err != nil {
		return err
	}
	row := rec.Row()
	if row.ID != id {
		return fmt.Errorf("its record's id is %q", row.ID)
	}
	return errors.Join(t.index(c, row), c.put(t.name, []byte(id), data))
}

func restorePlan(c *change, id string, data []byte) error {
	plan, err := readPlan(data, id)
	if err != nil {
		return err
	}
	return errors.Join(c.put(bucketPlans, []byte(id), data), noteRemoval(c, id, plan.RemovalDue()))
}

func cellsEntry(key, value []byte) (string, []byte, error) {
	n, size := binary.Uvarint(key)
	if size <= 0 || n > uint64(len(key)-size) {
		return "", nil, errors.New("it has no video")
	}
	video, rendition := key[size:size+int(n)], key[size+int(n):]
	return store.CellsID(string(video), string(rendition)), bytes.Clone(value), nil
}

func restoreCells(c *change, id string, data []byte) error {
	video, rendition, ok := strings.Cut(id, "/")
	if !ok {
		return errors.New("it has no rendition")
	}
	return c.put(bucketCells, cellsKey(video, rendition), data)
}

func secretEntry(key, value []byte) (string, []byte, error) {
	data, err := json.Marshal(value)
	return string(key), data, err
}

func restoreSecret(c *change, id string, data []byte) error {
	var value []byte
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	return c.put(bucketSecrets, []byte(id), value)
}

func jobEntry(key, value []byte) (string, []byte, error) {
	var job store.Job
	if err := json.Unmarshal(value, &job); err != nil {
		return "", nil, err
	}
	data, err := json.Marshal(backend.Dumped(job))
	return string(key), data, err
}

// restoreJob keeps the job's token, and sees that no job gets it again.
func restoreJob(c *change, id string, data []byte) error {
	var job store.Job
	if err := json.Unmarshal(data, &job); err != nil {
		return err
	}
	if job.ID != id {
		return fmt.Errorf("its id is %q", job.ID)
	}
	if last := c.tx.Bucket([]byte(bucketJobs)).Sequence(); job.Lease.Token > last {
		if err := c.setSequence(bucketJobs, job.Lease.Token); err != nil {
			return err
		}
	}
	return save(c, nil, &job)
}

// pausedEntry takes the mark of a paused queue out of what else is in its bucket.
func pausedEntry(key, _ []byte) (string, []byte, error) {
	if string(key) != metaPaused {
		return "", nil, nil
	}
	return store.QueuePausedID, []byte("true"), nil
}

func restorePaused(c *change, id string, data []byte) error {
	if id != store.QueuePausedID || string(data) != "true" {
		return nil
	}
	return c.put(bucketMeta, []byte(metaPaused), []byte("yes"))
}

const (
	// dumpEntries and dumpBytes bound what is read in one transaction, and restored
	// in one.
	dumpEntries = 1000
	dumpBytes   = 4 << 20
)

// Dump implements store.Database.
func (db *DB) Dump(ctx context.Context) iter.Seq2[store.Entry, error] {
	tables := db.tables()
	return func(yield func(store.Entry, error) bool) {
		for _, name := range store.Tables() {
			for from := []byte(nil); ; {
				page, next, err := db.page(ctx, name, tables[name], from)
				if err != nil {
					yield(store.Entry{}, fmt.Errorf("read all of %s: %w", name, err))
					return
				}
				for _, e := range page {
					if !yield(e, nil) {
						return
					}
				}
				if next == nil {
					break
				}
				from = next
			}
		}
	}
}

// page reads entries from a key on, and the key to go on from; nil at the end.
func (db *DB) page(ctx context.Context, name string, t whole, from []byte) (page []store.Entry, next []byte, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		page, next = nil, nil
		size := 0
		c := tx.Bucket([]byte(t.bucket)).Cursor()
		for k, v := c.Seek(from); k != nil; k, v = c.Next() {
			if len(page) == dumpEntries || size > dumpBytes {
				next = bytes.Clone(k)
				return nil
			}
			id, data, err := t.entry(k, v)
			if err != nil {
				return fmt.Errorf("%q: %w", k, err)
			}
			if data == nil {
				continue
			}
			size += len(data)
			page = append(page, store.Entry{Table: name, ID: id, Data: data})
		}
		return nil
	})
	return page, next, err
}

// Restore implements store.Database, in many commits: until the last of them the
// database is not in use.
func (db *DB) Restore(ctx context.Context, entries iter.Seq2[store.Entry, error]) error {
	if s, err := db.Standing(ctx); err != nil || s.State != store.StandingArriving {
		return errors.Join(err, fmt.Errorf("restore the database: its standing is %q, not %q", s.State, store.StandingArriving))
	}
	if err := db.clear(ctx); err != nil {
		return fmt.Errorf("clear the database: %w", err)
	}
	tables := db.tables()
	var batch []store.Entry
	size := 0
	flush := func() error {
		err := db.w.do(ctx, func(c *change) error {
			for _, e := range batch {
				t, ok := tables[e.Table]
				if !ok {
					return fmt.Errorf("restore %s: there is no such table", e.Table)
				}
				if err := t.restore(c, e.ID, e.Data); err != nil {
					return fmt.Errorf("restore %s in %s: %w", e.ID, e.Table, err)
				}
			}
			return nil
		})
		batch, size = batch[:0], 0
		return err
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		batch = append(batch, e)
		if size += len(e.Data); len(batch) == dumpEntries || size > dumpBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// clear removes everything but what the layout and the standing need.
func (db *DB) clear(ctx context.Context) error {
	for _, name := range buckets() {
		for left := true; left; {
			err := db.w.do(ctx, func(c *change) error {
				keys := keysToClear(c.tx.Bucket([]byte(name)), name)
				left = len(keys) == dumpEntries
				for _, key := range keys {
					if err := c.delete(name, key); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// keysToClear are the first keys of a bucket.
func keysToClear(b *bbolt.Bucket, name string) (keys [][]byte) {
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(keys) < dumpEntries; k, _ = c.Next() {
		if name != bucketMeta || string(k) == metaPaused {
			keys = append(keys, bytes.Clone(k))
		}
	}
	return keys
}

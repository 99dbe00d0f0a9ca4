package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

var _ store.Database = (*DB)(nil)

// whole is a table as it is dumped and restored.
type whole struct {
	// page selects an id and data after $1, at most $2 rows, in order.
	page string
	// columns and rows are what a restored entry becomes.
	columns []string
	rows    func(id string, data []byte) ([][]any, error)
}

var recordColumns = []string{"id", "parent", "state", "doc"}

func recordsOf[T store.Record](t store.Table[T]) whole {
	mine := t.(*table[T])
	return whole{
		page:    `SELECT id, doc::text FROM ` + mine.name + ` WHERE id > $1 ORDER BY id LIMIT $2`,
		columns: recordColumns,
		rows: func(id string, data []byte) ([][]any, error) {
			var rec T
			if err := json.Unmarshal(data, &rec); err != nil {
				return nil, err
			}
			row := rec.Row()
			if row.ID != id {
				return nil, fmt.Errorf("its record's id is %q", row.ID)
			}
			return [][]any{{text(id), text(row.Parent), text(row.State), string(data)}}, nil
		},
	}
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
		store.TablePlans: {
			page:    `SELECT video, doc::text FROM plans WHERE video > $1 ORDER BY video LIMIT $2`,
			columns: []string{"video", "due", "doc"}, rows: planRows,
		},
		store.TableCells: {
			page:    `SELECT DISTINCT video, '' FROM cells WHERE video > $1 ORDER BY video LIMIT $2`,
			columns: []string{"video", "rendition", "segment", "bytes"}, rows: cellRows,
		},
		store.TableSecrets: {
			page:    `SELECT name, to_json(translate(encode(value, 'base64'), E'\n', ''))::text FROM secrets WHERE name > $1 ORDER BY name LIMIT $2`,
			columns: []string{"name", "value"}, rows: secretRows,
		},
		store.TableJobs: {
			page:    `SELECT id, '' FROM jobs WHERE id > $1 ORDER BY id LIMIT $2`,
			columns: jobColumnNames, rows: jobRows,
		},
		store.TableQueue: {
			page: `SELECT '` + store.QueuePausedID + `', 'true' FROM queue WHERE paused AND $1 = '' LIMIT $2`,
		},
	}
}

func planRows(id string, data []byte) ([][]any, error) {
	var plan store.Plan
	if err := json.Unmarshal(data, &plan); err != nil {
		return nil, err
	}
	return [][]any{{text(id), dueKey(plan.RemovalDue()), string(data)}}, nil
}

// cellRows has a row for each cell. Of their sizes only the sum is kept elsewhere:
// the first cell gets what does not divide.
func cellRows(id string, data []byte) (rows [][]any, err error) {
	var set store.CellSet
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, err
	}
	video, rendition, ok := strings.Cut(id, "/")
	if !ok || set.Count == 0 {
		return nil, errors.New("it has no rendition, or no cell")
	}
	share := set.Bytes / int64(set.Count)
	for segment := range len(set.Bits) * 8 {
		if set.Bits[segment/8]>>(segment%8)&1 == 0 {
			continue
		}
		size := share
		if len(rows) == 0 {
			size = set.Bytes - share*int64(set.Count-1)
		}
		rows = append(rows, []any{text(video), text(rendition), int32(segment), size})
	}
	if len(rows) != set.Count {
		return nil, fmt.Errorf("it has %d cells, and says %d", len(rows), set.Count)
	}
	return rows, nil
}

func secretRows(id string, data []byte) ([][]any, error) {
	var value []byte
	if err := json.Unmarshal(data, &value); err != nil {
		return nil, err
	}
	return [][]any{{text(id), value}}, nil
}

var jobColumnNames = []string{
	"id", "task", "state", "ord", "rank", "priority", "backlog", "run_at", "leases", "failures", "kills", "deaths", "lone_deaths", "suspect",
	"progress", "token", "failure", "attempts", "doc",
}

func jobRows(id string, data []byte) ([][]any, error) {
	var j store.Job
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, err
	}
	row, err := rowOf(j)
	failure, err1 := writeJSON(j.Failure, j.Failure == nil)
	attempts, err2 := writeJSON(j.Attempts, j.Attempts == nil)
	if j.ID != id || j.State == store.JobLeased {
		err = errors.Join(err, fmt.Errorf("its id is %q, its state %s", j.ID, j.State))
	}
	return [][]any{{
		row.id, row.task, string(j.State), row.ord, row.rank, row.priority, row.backlog, stamp(j.RunAt), int32(j.Leases), int32(j.Failures), int32(j.Kills),
		int32(j.Deaths), int32(j.LoneDeaths), j.Suspect, j.Progress, int64(j.Lease.Token), failure, attempts, row.doc,
	}}, errors.Join(err, err1, err2)
}

// dumpEntries is how many rows are read at once; of videos with cells and of jobs,
// which are read once more, too.
const dumpEntries = 500

// Dump implements store.Database.
func (db *DB) Dump(ctx context.Context) iter.Seq2[store.Entry, error] {
	tables := db.tables()
	return func(yield func(store.Entry, error) bool) {
		for _, name := range store.Tables() {
			for after, more := "", true; more; {
				page, last, err := db.page(ctx, name, tables[name], after)
				if err != nil {
					yield(store.Entry{}, fmt.Errorf("read all of %s: %w", name, err))
					return
				}
				for _, e := range page {
					if !yield(e, nil) {
						return
					}
				}
				more, after = last != "", last
			}
		}
	}
}

// page reads entries after an id, and the one to go on after, "" at the end.
func (db *DB) page(ctx context.Context, name string, t whole, after string) (page []store.Entry, last string, err error) {
	var ids []string
	err = db.read(ctx, func() error {
		page, ids = nil, nil
		rows, err := db.pool.Query(ctx, t.page, after, int64(dumpEntries))
		if err != nil {
			return err
		}
		var id, data string
		_, err = pgx.ForEachRow(rows, []any{&id, &data}, func() error {
			ids = append(ids, id)
			page = append(page, store.Entry{Table: name, ID: untext(id), Data: json.RawMessage(data)})
			return nil
		})
		return err
	})
	if err != nil || len(ids) == 0 {
		return nil, "", err
	}
	if len(ids) == dumpEntries {
		last = ids[len(ids)-1]
	}
	switch name {
	case store.TableCells:
		page, err = db.dumpCells(ctx, ids)
	case store.TableJobs:
		page, err = db.dumpJobs(ctx, ids)
	}
	return page, last, err
}

// dumpCells are the entries of videos, in order.
func (db *DB) dumpCells(ctx context.Context, videos []string) (page []store.Entry, err error) {
	for _, video := range videos {
		cells, err := (&plans{db}).Cells(ctx, untext(video))
		if err != nil {
			return nil, err
		}
		for rendition, set := range cells {
			data, err := json.Marshal(set)
			if err != nil {
				return nil, err
			}
			page = append(page, store.Entry{Table: store.TableCells, ID: store.CellsID(untext(video), untext(rendition)), Data: data})
		}
	}
	slices.SortFunc(page, func(a, b store.Entry) int { return strings.Compare(a.ID, b.ID) })
	return page, nil
}

func (db *DB) dumpJobs(ctx context.Context, ids []string) (page []store.Entry, err error) {
	var jobs []store.Job
	err = db.read(ctx, func() error {
		jobs, _, err = db.readJobs(ctx, db.pool, `id = ANY($2::text[]) ORDER BY id`, ids)
		return err
	})
	for _, job := range jobs {
		data, jerr := json.Marshal(backend.Dumped(job))
		err = errors.Join(err, jerr)
		page = append(page, store.Entry{Table: store.TableJobs, ID: job.ID, Data: data})
	}
	return page, err
}

// untext is the name that text kept.
func untext(kept string) string {
	code, ok := strings.CutPrefix(kept, "\uffff")
	if !ok {
		return kept
	}
	name, err := hex.DecodeString(code)
	if err != nil {
		return kept
	}
	return string(name)
}

// Restore implements store.Database, in one transaction.
func (db *DB) Restore(ctx context.Context, entries iter.Seq2[store.Entry, error]) error {
	if s, err := db.Standing(ctx); err != nil || s.State != store.StandingArriving {
		return errors.Join(err, fmt.Errorf("restore the database: its standing is %q, not %q", s.State, store.StandingArriving))
	}
	err := pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('streamgate.restoring', 'on', true)`); err != nil {
			return err
		}
		others := slices.DeleteFunc(store.Tables(), func(name string) bool { return name == store.TableQueue })
		if _, err := tx.Exec(ctx, `TRUNCATE `+strings.Join(others, ", ")); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE queue SET paused = false`); err != nil {
			return err
		}
		return db.restore(ctx, tx, entries)
	})
	if err != nil {
		return fmt.Errorf("restore the database: %w", failure(ctx, err))
	}
	return nil
}

// restore copies the entries of each table in one stream.
func (db *DB) restore(ctx context.Context, tx pgx.Tx, entries iter.Seq2[store.Entry, error]) error {
	next, stop := iter.Pull2(entries)
	defer stop()
	tables := db.tables()
	e, err, more := next()
	for more {
		if err != nil {
			return err
		}
		t, ok := tables[e.Table]
		if !ok {
			return fmt.Errorf("there is no table %s", e.Table)
		}
		if e.Table == store.TableQueue {
			if _, err := tx.Exec(ctx, `UPDATE queue SET paused = $1`, bytes.Equal(e.Data, []byte("true"))); err != nil {
				return err
			}
			e, err, more = next()
			continue
		}
		name, rows := e.Table, [][]any(nil)
		_, cerr := tx.CopyFrom(ctx, pgx.Identifier{name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
			for len(rows) == 0 {
				if !more || err != nil || e.Table != name {
					return nil, err
				}
				if rows, err = t.rows(e.ID, e.Data); err != nil {
					return nil, fmt.Errorf("%s: %w", e.ID, err)
				}
				e, err, more = next()
			}
			row := rows[0]
			rows = rows[1:]
			return row, nil
		}))
		if cerr != nil {
			return fmt.Errorf("%s: %w", name, cerr)
		}
	}
	return nil
}

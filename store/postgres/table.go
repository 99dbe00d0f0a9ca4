package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// table implements store.Table on one table of the database.
type table[T store.Record] struct {
	db   *DB
	name string
}

// Create implements store.Table.
func (t *table[T]) Create(ctx context.Context, rec T) error {
	row := rec.Row()
	if row.ID == "" {
		return fmt.Errorf("create in %s: the record has no id", t.name)
	}
	doc, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("write %s in %s: %w", row.ID, t.name, err)
	}
	n, err := t.db.exec(ctx, `INSERT INTO `+t.name+` (id, parent, state, doc) VALUES ($1, $2, $3, $4::text::json) ON CONFLICT (id) DO NOTHING`,
		text(row.ID), text(row.Parent), text(row.State), string(doc))
	if err == nil && n == 0 {
		err = store.ErrExists
	}
	if err != nil {
		return fmt.Errorf("create %s in %s: %w", row.ID, t.name, err)
	}
	return nil
}

// Get implements store.Table.
func (t *table[T]) Get(ctx context.Context, id string) (T, error) {
	rec, _, err := t.load(ctx, id)
	return rec, err
}

// Update implements store.Table. fn runs between reading and writing; the write
// is only made if the record still has the revision that was read.
func (t *table[T]) Update(ctx context.Context, id string, fn func(*T) error) (T, error) {
	var none T
	for tries := 1; ; tries++ {
		rec, was, err := t.load(ctx, id)
		if err != nil {
			return none, err
		}
		before, err := json.Marshal(rec)
		if err != nil {
			return none, fmt.Errorf("write %s in %s: %w", id, t.name, err)
		}
		if err := fn(&rec); err != nil {
			return none, err
		}
		if rec.Row().ID != id {
			return none, fmt.Errorf("update %s in %s: the id was changed to %q", id, t.name, rec.Row().ID)
		}
		after, err := json.Marshal(rec)
		if err != nil {
			return none, fmt.Errorf("write %s in %s: %w", id, t.name, err)
		}
		if bytes.Equal(before, after) {
			return rec, nil
		}
		stored, err := t.replace(ctx, rec.Row(), was.revision, merge(was.doc, before, after))
		if err != nil {
			return none, fmt.Errorf("update %s in %s: %w", id, t.name, err)
		}
		if stored {
			return rec, nil
		}
		if !pause(ctx, tries) {
			return none, fmt.Errorf("update %s in %s: %w", id, t.name, ctx.Err())
		}
	}
}

// version is a document as it is stored.
type version struct {
	doc      []byte
	revision int64
}

func (t *table[T]) load(ctx context.Context, id string) (rec T, v version, err error) {
	err = t.db.read(ctx, func() error {
		return t.db.pool.QueryRow(ctx, `SELECT doc, revision FROM `+t.name+` WHERE id = $1`, text(id)).Scan(&v.doc, &v.revision)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal(v.doc, &rec)
	}
	if err != nil {
		return rec, v, fmt.Errorf("read %.100s in %s: %w", id, t.name, err)
	}
	return rec, v, nil
}

// replace stores a document if the record has the revision still.
func (t *table[T]) replace(ctx context.Context, row store.Row, revision int64, doc []byte) (bool, error) {
	n, err := t.db.exec(ctx, `UPDATE `+t.name+` SET parent = $3, state = $4, doc = $5::text::json, revision = nextval('revisions')
		WHERE id = $1 AND revision = $2`,
		text(row.ID), revision, text(row.Parent), text(row.State), string(doc))
	return n == 1, err
}

// Delete implements store.Table.
func (t *table[T]) Delete(ctx context.Context, id string) error {
	n, err := t.db.exec(ctx, `DELETE FROM `+t.name+` WHERE id = $1`, text(id))
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete %.100s in %s: %w", id, t.name, err)
	}
	return nil
}

// List implements store.Table.
func (t *table[T]) List(ctx context.Context, q store.Query) (recs []T, next string, err error) {
	before, err := backend.ParseCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := backend.PageSize(q.Limit)
	sql, args := t.page(q, before, limit+1)
	docs, err := t.docs(ctx, sql, args)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", t.name, err)
	}
	more := len(docs) > limit
	for _, doc := range docs[:min(limit, len(docs))] {
		var rec T
		if err := json.Unmarshal(doc, &rec); err != nil {
			return nil, "", fmt.Errorf("list %s: %w", t.name, err)
		}
		recs = append(recs, rec)
	}
	if more {
		next = backend.FormatCursor(recs[limit-1].Row().ID)
	}
	return recs, next, nil
}

// page is the statement of a list. The conditions that look needless say that an
// index that leaves out empty parents and states will do.
func (t *table[T]) page(q store.Query, before string, limit int) (sql string, args []any) {
	var where []string
	add := func(condition string, arg string) {
		args = append(args, text(arg))
		where = append(where, condition+" $"+strconv.Itoa(len(args)))
	}
	if q.Parent != "" {
		add("parent <> '' AND parent =", q.Parent)
	}
	if q.State != "" {
		add("state <> '' AND state =", q.State)
	}
	if before != "" {
		add("id <", before)
	}
	sql = `SELECT doc FROM ` + t.name
	if len(where) > 0 {
		sql += ` WHERE ` + strings.Join(where, ` AND `)
	}
	args = append(args, limit)
	return sql + ` ORDER BY id DESC LIMIT $` + strconv.Itoa(len(args)), args
}

func (t *table[T]) docs(ctx context.Context, sql string, args []any) (docs [][]byte, err error) {
	err = t.db.read(ctx, func() error {
		rows, err := t.db.pool.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		docs, err = pgx.CollectRows(rows, pgx.RowTo[[]byte])
		return err
	})
	return docs, err
}
